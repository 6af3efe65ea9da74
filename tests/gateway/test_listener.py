"""The door: plain HTTP beside the WebSocket, origins, and what stands in the log."""

import asyncio
import http.client
import json
import os
import pty
import re
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from roomd import __version__
from tests.support.daemon import Daemon, error
from tests.support.forking import completed
from tests.support.processes import PATIENCE, at_most, free_port, spawned

JANE = {"guestName": "Jane"}
MakeDaemon = Callable[..., Daemon]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HEALTH = {"status": "ok", "version": __version__}


def fetch(
    daemon: Daemon, method: str, path: str, *, address: str = "127.0.0.1", **options: Any
) -> tuple[http.client.HTTPResponse, bytes]:
    """Make one plain HTTP request."""
    connection = http.client.HTTPConnection(address, daemon.port, timeout=PATIENCE)
    try:
        connection.request(method, path, **options)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def talk(daemon: Daemon, request: bytes) -> bytes:
    """Send bytes, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


PAGES: dict[str, tuple[str, int, str, str]] = {
    "health": ("/healthz", 200, "application/json", f'"version":"{__version__}"'),
    "welcome": ("/", 200, "text/plain; charset=utf-8", "docs/protocol.md"),
    "no upgrade": ("/ws", 426, "text/plain; charset=utf-8", "WebSocket"),
    "unknown": ("/nowhere", 404, "text/plain; charset=utf-8", "nothing here"),
    "almost": ("/healthz/", 404, "text/plain; charset=utf-8", "nothing here"),
    "with a query": ("/healthz?verbose=1", 200, "application/json", '"status":"ok"'),
}


@pytest.mark.parametrize(("path", "status", "kind", "text"), PAGES.values(), ids=PAGES.keys())
def test_get_and_head(daemon: Daemon, path: str, status: int, kind: str, text: str) -> None:
    """A few pages are served on the WebSocket's port; HEAD is answered as GET is, without the body."""
    response, body = fetch(daemon, "GET", path)
    assert (response.status, response.headers["Content-Type"]) == (status, kind)
    assert text in body.decode()
    assert response.headers["Content-Length"] == str(len(body))
    assert response.headers["Upgrade"] == ("websocket" if status == 426 else None)
    head = talk(daemon, f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    lines, _, nothing = head.partition(b"\r\n\r\n")
    assert lines.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"Content-Length: {len(body)}".encode() in lines
    assert nothing == b""


def test_health(daemon: Daemon) -> None:
    """`/healthz` says that it is well, and its version."""
    assert json.loads(fetch(daemon, "GET", "/healthz")[1]) == HEALTH


@pytest.mark.parametrize("headers", ["", "Host: x\r\n", "Connection: keep-alive\r\n"], ids=["none", "host", "keep"])
def test_health_over_http_1_0(daemon: Daemon, headers: str) -> None:
    """Old probes, which speak HTTP/1.0, are answered too."""
    answer = talk(daemon, f"GET /healthz HTTP/1.0\r\n{headers}\r\n".encode())
    status, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 200 ", status)
    assert json.loads(body) == HEALTH


METHODS: dict[str, tuple[str, bytes | None]] = {
    "POST": ("POST", None),
    "POST with a body": ("POST", b'{"code": "abc-def-ghi"}'),
    "POST with a long body": ("POST", b"x" * 1_000_000),
    "PUT": ("PUT", b"x"),
    "DELETE": ("DELETE", None),
    "OPTIONS": ("OPTIONS", None),
    "PATCH": ("PATCH", b"{}"),
}


@pytest.mark.parametrize(("method", "body"), METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("path", ["/", "/ws", "/healthz"])
def test_other_methods(daemon: Daemon, method: str, body: bytes | None, path: str) -> None:
    """A method other than GET and HEAD is answered 405 and told which are allowed, whatever its body."""
    response, _ = fetch(daemon, method, path, body=body)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def test_a_request_in_pieces(daemon: Daemon) -> None:
    """A request is read as a whole, however the network cuts it."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"PO", b"ST / HT", b"TP/1.1\r\nHost: x\r\n\r\n"):
            connection.sendall(piece)
            fetch(daemon, "GET", "/healthz")  # once this is answered, the piece has been read
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 405 ")


NO_HTTP = {
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "words": b"hello there\r\n\r\n",
    "no headers": b"GET\r\n\r\n",
    "long line": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
}


@pytest.mark.parametrize("request_", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http(daemon: Daemon, request_: bytes) -> None:
    """Whatever is no HTTP request gets a 4xx or a closed door, never a 500 or a traceback."""
    try:
        answer = talk(daemon, request_)
    except ConnectionResetError:
        answer = b""
    assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer)
    assert fetch(daemon, "GET", "/healthz")[0].status == 200
    assert "Traceback" not in daemon.log.read_text()


@pytest.mark.parametrize("path", ["/nowhere", "/ws/"])
async def test_upgrade_elsewhere(daemon: Daemon, path: str) -> None:
    """A WebSocket is served under its own path only."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{daemon.port}{path}")
    assert refused.value.response.status_code == 404


async def test_allowed_origins(make_daemon: MakeDaemon) -> None:
    """Pages of other origins are turned away with 403; programs, which send none, are let in."""
    daemon = make_daemon(ROOMD_SERVER_ALLOWED_ORIGINS="https://meet.example, https://b.example")
    for origin in ("https://meet.example", "https://b.example", None):
        async with daemon.client(origin=Origin(origin) if origin else None) as client:
            await client.nothing_more()
    for origin in ("https://evil.example", "http://meet.example", "null"):
        with pytest.raises(InvalidStatus) as refused:
            async with daemon.client(origin=Origin(origin)):
                pass
        assert refused.value.response.status_code == 403


async def test_any_origin_by_default(daemon: Daemon) -> None:
    """With no origins configured, pages of any may connect."""
    async with daemon.client(origin=Origin("https://anywhere.example")) as client:
        await client.nothing_more()


async def test_path_and_port_are_settings(make_daemon: MakeDaemon) -> None:
    """The WebSocket is served where the configuration says."""
    daemon = make_daemon(ROOMD_SERVER_PATH="/rooms")
    assert fetch(daemon, "GET", "/ws")[0].status == 404
    assert fetch(daemon, "GET", "/rooms")[0].status == 426
    assert b"/rooms" in fetch(daemon, "GET", "/")[1]


async def test_log(make_daemon: MakeDaemon) -> None:
    """The log has a line of JSON per connection, join and refusal, with ids; no names, tokens or frame bodies."""
    daemon = make_daemon()
    room = await daemon.room()
    token = daemon.token("bob", name="Robert Secretname")
    async with daemon.client() as guest, daemon.client(token=token) as bob, daemon.client(token="bad.to.ken") as bad:
        joined = await guest.join(room["code"], guestName="Jane Secretname")
        seat = await bob.join(room["code"])
        assert await bob.ask("update-room", code=room["code"], name="Secretname") == error("not_host")
        await bob.websocket.send('{"type": "Secretname", "text": "Secretname"}')
        await bob.events()
        assert await bad.ask("join-room", code="Secretname", guestName="Secretname") == error("invalid_token")
        assert await bad.closed() == 4401
    await asyncio.to_thread(daemon.stop)
    text = daemon.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert TIME.fullmatch(line["time"])
        assert {"level", "logger", "event"} <= line.keys()
    connected = [line["connection"] for line in lines if line["event"] == "connected"]
    assert {1, 4} <= set(connected) <= {1, 2, 3, 4}  # 1 and 4 take no seat
    assert len(set(connected)) == len(connected)
    assert {line["address"] for line in lines if line["event"] in {"connected", "joined"}} == {"127.0.0.1"}
    people = [reply["participant"] for reply in (joined, seat)]
    told = [(line["room"], line["participant"]) for line in lines if line["event"] == "joined"]
    assert told == [(who["roomId"], who["id"]) for who in people]
    refused = [line["codes"] for line in lines if line["event"] == "refusals"]
    assert sorted(refused, key=len) == [{"invalid_token": 1}, {"not_host": 1, "unknown_type": 1}]
    reasons = [(line["connection"], line["code"], line["reason"]) for line in lines if line["event"] == "token refused"]
    assert reasons == [(4, "invalid_token", "it is no JSON Web Token, or uses what roomd does not support")]
    for secret in ("Secretname", token, "bad.to.ken", joined["resumeToken"], seat["resumeToken"], daemon.secret):
        assert secret not in text
    assert not re.search("traceback", text, re.IGNORECASE)


@pytest.mark.parametrize("host", ["::", "0:0::0"])
async def test_every_address(make_daemon: MakeDaemon, host: str) -> None:
    """`--host ::` serves IPv6 and IPv4 on one port, and the log says so."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    daemon = make_daemon(ROOMD_SERVER_HOST=host)
    for address in ("127.0.0.1", "::1"):
        assert fetch(daemon, "GET", "/healthz", address=address)[0].status == 200
    for shown in ("::", "0.0.0.0"):
        await asyncio.to_thread(daemon.wait_for_log, f'"event":"listening","host":"{shown}","port":{daemon.port}')


async def test_log_level(make_daemon: MakeDaemon) -> None:
    """The log level is a setting."""
    daemon = make_daemon(ROOMD_SERVER_LOG_LEVEL="error")
    await daemon.room()
    await asyncio.to_thread(daemon.stop)
    assert daemon.log.read_text() == ""


def test_log_on_a_terminal(tmp_path: Any) -> None:
    """On a terminal the log is for people: time, level, event and fields, no JSON."""
    daemon = Daemon(tmp_path)
    ours, theirs = pty.openpty()
    with spawned([sys.executable, "-m", "roomd", "serve"], env=daemon.environ, stderr=theirs) as process:
        os.close(theirs)
        text = b""
        with at_most(PATIENCE, process):
            while b"listening" not in text or not text.endswith(b"\n"):
                text += os.read(ours, 4096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    line = next(line for line in text.decode().splitlines() if "listening" in line)
    assert re.fullmatch(rf"\S+Z info +listening host=127\.0\.0\.1 port={daemon.port} path=/ws", line.strip())


async def test_an_address_in_use(daemon: Daemon, tmp_path: Any) -> None:
    """A daemon that cannot listen says so in one line and ends with exit code 1: it may pass."""
    environ = {**daemon.environ, "ROOMD_DATABASE_PATH": str(tmp_path / "other.db")}
    result = await asyncio.to_thread(completed, ["serve"], environ)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"roomd: server: cannot listen on 127.0.0.1:{daemon.port}: ")
    assert "Traceback" not in result.stderr


async def test_a_second_daemon_on_the_database(daemon: Daemon) -> None:
    """A second daemon on the same database is refused with a clear message."""
    environ = {**daemon.environ, "ROOMD_SERVER_PORT": str(free_port())}
    result = await asyncio.to_thread(completed, ["serve"], environ)
    assert result.returncode == 1
    expected = f"roomd: {daemon.database}: another roomd is serving this database; stop it or choose another file"
    assert result.stderr.splitlines()[-1] == expected
