"""The addresses that roomd listens on, as the configuration writes them."""

import ipaddress
import os
from typing import NamedTuple

from roomd.config.sections import ConfigError, MetricsConfig, ServerConfig

UNIX_PREFIX = "unix:"
"""The start of an entry of `server.listen` that is a Unix socket."""
LONGEST_PATH = 107
"""The bytes that the path of a Unix socket has at most (unix(7))."""
_FORMS = "write 127.0.0.1:8765, [::]:8765 or unix:/run/roomd/http.sock"


class TcpAddress(NamedTuple):
    """A TCP address to listen on."""

    host: str
    """A name or an address, without brackets."""
    port: int
    """The port; 0 lets the system choose one."""

    def __str__(self) -> str:
        return f"{_in_brackets(self.host)}:{self.port}"


class UnixAddress(NamedTuple):
    """A Unix socket to listen on."""

    path: str
    """The path of the socket."""

    def __str__(self) -> str:
        return f"{UNIX_PREFIX}{self.path}"


ListenAddress = TcpAddress | UnixAddress


def parse_address(text: str) -> ListenAddress:
    """Read an entry of `server.listen`.

    Raises `ValueError` with what is wrong.
    """
    if text.startswith(UNIX_PREFIX):
        return _unix_address(text.removeprefix(UNIX_PREFIX))
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise ValueError(f"has no IPv6 address in its brackets; {_FORMS}")
    elif ":" in host:
        raise ValueError(f"needs brackets around an IPv6 address; {_FORMS}")
    if not (colon and host and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise ValueError(f"is no address to listen on; {_FORMS}")
    return TcpAddress(host, int(port))


def listen_addresses(server: ServerConfig) -> list[ListenAddress]:
    """Return every address to listen on: the entries of `server.listen`, or else `server.host` and `server.port`.

    Raises `ValueError` for an entry that `check` refuses.
    """
    return [parse_address(text) for text in server.listen] or [TcpAddress(server.host, server.port)]


def metrics_address(metrics: MetricsConfig) -> ListenAddress | None:
    """Return where metrics are served, None for nowhere. A port alone is one of this machine.

    Raises `ValueError` for an address that `check` refuses.
    """
    if metrics.listen is None:
        return None
    port = metrics.listen.removeprefix(":")
    return parse_address(f"127.0.0.1:{port}" if port.isdigit() else metrics.listen)


def is_every_address(host: str) -> bool:
    """Return whether a host stands for every address of the machine, those of IPv6 and of IPv4."""
    return _is_ipv6(host) and ipaddress.IPv6Address(host).is_unspecified


def local_url(server: ServerConfig) -> str:
    """Build the WebSocket URL for a client on the same machine.

    Raises `ConfigError` when the system chose the port, and when roomd listens on Unix sockets alone.
    """
    found = [address for address in listen_addresses(server) if isinstance(address, TcpAddress)]
    if not found:
        raise ConfigError("server.listen has only Unix sockets, which have no URL: give that of the proxy with --url")
    known = [address for address in found if address.port]
    if not known:
        key = "a port in server.listen" if server.listen else "server.port"
        raise ConfigError(f"{key} is 0, so only the daemon knows its port: give --url")
    return url_of(known[0], server.path)


def url_of(address: TcpAddress, path: str) -> str:
    """Build the WebSocket URL by which a client on the same machine reaches an address that is listened on."""
    host = address.host
    if host == "0.0.0.0":  # noqa: S104 - compared, not listened on
        host = "127.0.0.1"
    elif is_every_address(host):
        host = "::1"
    return f"ws://{_in_brackets(host)}:{address.port}{path}"


def _unix_address(path: str) -> UnixAddress:
    if path.startswith("~"):
        raise ValueError("must be written in full; only a shell expands ~")
    if not path or path.endswith("/") or "\0" in path:
        raise ValueError(f"names no file; {_FORMS}")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(f"is too long: the path of a Unix socket has at most {LONGEST_PATH} bytes")
    return UnixAddress(path)


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
