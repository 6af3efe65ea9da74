"""An nginx of the tests: what its configuration has around the lines of the documentation."""

import socket
from pathlib import Path


def configuration(folder: Path, port: int, location: str, *, http: str = "", top: str = "") -> str:
    """Return a configuration for a server at a port of loopback, whose files are in a folder.

    `location` is what the server has, `http` what is beside the server, and `top` what is beside `http`.
    """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n    ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"""{top}
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    {paths}
    {http}
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


def listens(port: int) -> bool:
    """Return whether somebody listens on a port of loopback."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
