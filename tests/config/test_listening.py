"""The addresses to listen on: how they are written, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from roomd.config import (
    Config,
    ConfigError,
    ListenAddress,
    MetricsConfig,
    TcpAddress,
    UnixAddress,
    admin_socket,
    listen_addresses,
    load,
    local_url,
    metrics_address,
)


def refusal(**sources: Any) -> str:
    """Return what `load` says against these sources."""
    with pytest.raises(ConfigError) as caught:
        load(**sources)
    return str(caught.value)


LISTEN: dict[str, list[ListenAddress]] = {
    "127.0.0.1:8765": [TcpAddress("127.0.0.1", 8765)],
    "[::]:8765, localhost:0": [TcpAddress("::", 8765), TcpAddress("localhost", 0)],
    "unix:/run/roomd/http.sock": [UnixAddress("/run/roomd/http.sock")],
    "unix:http.sock,0.0.0.0:65535": [UnixAddress("http.sock"), TcpAddress("0.0.0.0", 65_535)],
    "": [TcpAddress("127.0.0.1", 8765)],
}


@pytest.mark.parametrize(("text", "addresses"), LISTEN.items())
def test_listen(text: str, addresses: list[ListenAddress]) -> None:
    """Entries are addresses of TCP and Unix sockets, and are written as they are read; without one, host and port."""
    server = load(environ={"ROOMD_SERVER_LISTEN": text}).server
    assert listen_addresses(server) == addresses
    assert not text or tuple(map(str, addresses)) == server.listen


FORMS = "write 127.0.0.1:8765, [::]:8765 or unix:/run/roomd/http.sock"
NO_ADDRESSES = {
    "8765": f"is no address to listen on; {FORMS}",
    "localhost": f"is no address to listen on; {FORMS}",
    ":8765": f"is no address to listen on; {FORMS}",
    "a:": f"is no address to listen on; {FORMS}",
    "a:x": f"is no address to listen on; {FORMS}",
    "a:65536": f"is no address to listen on; {FORMS}",
    "a:" + "1" * 5000: f"is no address to listen on; {FORMS}",
    "::1:8765": f"needs brackets around an IPv6 address; {FORMS}",
    "[a]:8765": f"has no IPv6 address in its brackets; {FORMS}",
    "unix:": f"names no file; {FORMS}",
    "unix:/run/roomd/": f"names no file; {FORMS}",
    "unix:~/roomd": "must be written in full; only a shell expands ~",
    "unix:/" + "x" * 107: "is too long: the path of a Unix socket has at most 107 bytes",
}


@pytest.mark.parametrize(("text", "problem"), NO_ADDRESSES.items())
def test_no_address_to_listen_on(text: str, problem: str) -> None:
    """The message says what is wrong with which entry."""
    said = refusal(flags={"server": {"listen": ["127.0.0.1:1", text]}})
    assert said == f"the command line: server.listen: {text!r} {problem}"


def test_listen_and_host() -> None:
    """No setting is ignored: both at once are refused, from whatever source they are, and so is an entry twice."""
    said = refusal(environ={"ROOMD_SERVER_LISTEN": "a:1"}, flags={"server": {"port": 2}})
    place = "the environment: server.listen and the command line: server.port"
    assert said == f"{place}: give either server.listen, or the host and the port"
    assert (
        refusal(flags={"server": {"listen": ["a:1", "a:1"]}}) == "the command line: server.listen: 'a:1' is there twice"
    )


@pytest.mark.parametrize("mode", ["66", "0o666", "888", "rw", "6666"])
def test_socket_mode(mode: str) -> None:
    """Access rights are three octal digits, with or without a 0 before them."""
    assert "server.socket_mode: is not of that form (Access rights" in refusal(flags={"server": {"socket_mode": mode}})
    assert load(environ={"ROOMD_SERVER_SOCKET_MODE": "0660"}).server.socket_mode == "0660"


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("", "ws://127.0.0.1:8765/ws"),
        ("unix:/run/http.sock,0.0.0.0:9000", "ws://127.0.0.1:9000/ws"),
        ("[::]:9000,127.0.0.1:9001", "ws://[::1]:9000/ws"),
        ("127.0.0.1:0,meet.example:9000", "ws://meet.example:9000/ws"),
    ],
)
def test_the_url_on_this_machine(listen: str, url: str) -> None:
    """It is that of the first address with a known port."""
    assert local_url(load(environ={"ROOMD_SERVER_LISTEN": listen}).server) == url


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"ROOMD_SERVER_LISTEN": "unix:/run/http.sock"}, "server.listen has only Unix sockets"),
        ({"ROOMD_SERVER_LISTEN": "127.0.0.1:0"}, "a port in server.listen is 0"),
        ({"ROOMD_SERVER_PORT": "0"}, "server.port is 0"),
    ],
)
def test_no_url_on_this_machine(environ: dict[str, str], why: str) -> None:
    """A port that the system chooses is not known, and a Unix socket has no URL: the message says what to give."""
    with pytest.raises(ConfigError, match=f"{why}.*--url"):
        local_url(load(environ=environ).server)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", TcpAddress("127.0.0.1", 9464)),
        (":9464", TcpAddress("127.0.0.1", 9464)),
        ("0.0.0.0:9464", TcpAddress("0.0.0.0", 9464)),
        ("[::]:9464", TcpAddress("::", 9464)),
        ("unix:/run/roomd/metrics.sock", UnixAddress("/run/roomd/metrics.sock")),
        (None, None),
    ],
)
def test_where_metrics_are_served(text: str | None, address: ListenAddress | None) -> None:
    """A port alone is one of this machine; without an address they are not served."""
    assert metrics_address(MetricsConfig(listen=text)) == address


def test_where_the_admin_socket_is() -> None:
    """Beside the database, with its name, or where it is configured."""
    assert admin_socket(Config()) == Path("var/roomd.sock")
    assert admin_socket(load(environ={"ROOMD_ADMIN_SOCKET": "/run/roomd/admin.sock"})) == Path("/run/roomd/admin.sock")
