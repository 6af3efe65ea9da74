"""The settings of a node of a cluster."""

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from roomd.config.tables import RESTART, Section

SCHEMES = ("nats", "tls")


class ClusterConfig(Section, frozen=True):
    """This roomd as one of several nodes that serve the same rooms. It needs database.url."""

    nats: Annotated[
        tuple[str, ...],
        Meta(description="NATS servers, like nats://10.0.0.1:4222, or tls://nats.example:4222. Empty: this roomd is "
             "alone."),
        RESTART,
    ] = ()  # fmt: skip
    node: Annotated[
        str,
        Meta(pattern="^[A-Za-z0-9_-]{0,32}$", description="The name of this node, which no other node has: letters, "
             "digits, _ and -. It stays the same when the node is started again."),
        RESTART,
    ] = ""  # fmt: skip
    advertise: Annotated[
        str,
        Meta(description="Where others reach this node, like http://10.0.0.1:8765, as roomd status shows it."),
        RESTART,
    ] = ""  # fmt: skip
    subject: Annotated[
        str,
        Meta(pattern="^[A-Za-z0-9_-]{1,32}$", description="What all subjects in NATS begin with; another one for each "
             "cluster that shares the servers."),
        RESTART,
    ] = "roomd"  # fmt: skip
    credentials_file: Annotated[
        str | None, Meta(description="File of credentials for NATS, with a JWT and a key. It is read for each "
                         "connection, so it can be replaced before the JWT expires."), RESTART,
    ] = None  # fmt: skip
    ca_file: Annotated[
        str | None, Meta(description="File of the CA that signed the certificates of the NATS servers. Default: those "
                         "of the system. With it, or one address with tls://, no server without TLS is used."), RESTART,
    ] = None  # fmt: skip
    certificate_file: Annotated[
        str | None, Meta(description="File of the certificate that this node shows to NATS."), RESTART
    ] = None
    key_file: Annotated[str | None, Meta(description="File of the key of this certificate."), RESTART] = None


def server_problem(url: str) -> str | None:
    """Return what is wrong with the URL of a server. It may have a password in it, so it is not in the text."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "has an address that cannot be read; write it like nats://10.0.0.1:4222"
    if parts.scheme not in SCHEMES or not parts.hostname:
        return "must have addresses like nats://10.0.0.1:4222 or tls://nats.example:4222"
    return None


def server_password(servers: tuple[str, ...]) -> bool:
    """Return whether an address of a server has a password, or a token, in it."""
    return any(urlsplit(server).username is not None for server in servers)
