"""The URL of a database in PostgreSQL, and how a database is named to people."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from roomd.config.files import read_file
from roomd.config.sections import DatabaseConfig

SCHEMES = ("postgresql", "postgres")
FILES = {"sslrootcert": False, "sslcert": False, "sslkey": False, "passfile": True}
"""The parameters of a URL that name files, and whether nobody else may read them. libpq has their meaning."""


def database_name(config: DatabaseConfig) -> str:
    """Return the file of the database, or its URL without user, password and parameters."""
    if config.url is None:
        return config.path
    parts = urlsplit(config.url)
    folder = "".join(parse_qs(parts.query).get("host", []))
    return f"postgresql://{parts.netloc.rpartition('@')[2] or folder}{parts.path}"


def absolute_name(config: DatabaseConfig) -> str:
    """Return the same, a file with its whole path."""
    return database_name(config) if config.url is not None else str(Path(config.path).absolute())


def has_password(url: str) -> bool:
    """Return whether a URL has a password in it."""
    parts = urlsplit(url)
    return parts.password is not None or "password" in parse_qs(parts.query)


def server_urls(url: str) -> list[str]:
    """Return a URL for each server that a URL names, in their order: as postgresql://a:5432,b:5432/roomd does.

    They may also be parameters, `host` and `port`, with commas, as libpq takes them (PostgreSQL, 34.1.1.2).
    """
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," in hosts:
        return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]
    values = {key: ",".join(some) for key, some in parse_qs(parts.query).items()}
    names, ports = values.get("host", "").split(","), values.get("port", "").split(",")
    if len(names) == 1:
        return [url]
    ports = ports * len(names) if len(ports) == 1 else ports
    each = [{**values, "host": name, "port": port} for name, port in zip(names, ports, strict=True)]
    queries = [urlencode({key: value for key, value in one.items() if value}) for one in each]
    return [f"{parts.scheme}://{parts.netloc}{parts.path}?{query}" for query in queries]


def url_problem(url: str) -> str | None:
    """Return what is wrong with a URL. It may have a password in it, so it is not in the text."""
    try:
        parts = urlsplit(url)
        for host in parts.netloc.rpartition("@")[2].split(","):  # one server, or several
            _ = urlsplit(f"//{host}").port
        server_urls(url)
    except ValueError:
        return "cannot be read; write it like postgresql://roomd@db.example/roomd"
    if parts.scheme not in SCHEMES:
        return "must begin with postgresql://; a file of SQLite is database.path"
    if len(parts.path) < 2:
        return "must name the database, like /roomd at its end"
    return None


def check_url_files(config: DatabaseConfig) -> None:
    """Check that the files which the URL names can be read. Raises `ConfigError`.

    The driver ignores a password file that others may read.
    """
    named = parse_qs(urlsplit(config.url or "").query)
    for name, is_secret in FILES.items():
        for file in named.get(name, []):
            read_file(Path(file), f"database.url: {name}", is_secret=is_secret)
