"""One attempt: where it may go, what counts as delivered, and what becomes of what an endpoint answers."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roomd import __version__
from roomd.eventlog.webhooks import sending
from roomd.eventlog.webhooks.sending import Outcome, Sender
from tests.support.attacks.on_webhooks import ENDLESS, listening
from tests.support.processes import free_port
from tests.support.receiver import ANSWERS, Receiver

NOW = 1_772_534_100.0
BODY = b'{"id":"e1"}'


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for an address: return what a server uses, and what a client that trusts it does."""
    key, today = generate_private_key(SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    chain = folder / f"{name}.pem"
    chain.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    return server, ssl.create_default_context(cadata=made.public_bytes(Encoding.PEM).decode())


async def post(
    url: str, *, is_private: bool = True, seconds: float = 30.0, tls: ssl.SSLContext | None = None
) -> Outcome:
    """Make one attempt."""
    sender = Sender(url, is_private=is_private, timeout=seconds, tls=tls or ssl.create_default_context())
    try:
        return await sender.post(BODY, {"webhook-id": "e1"}, NOW)
    finally:
        await sender.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An endpoint that does not look at signatures: what is sent here has none."""
    async with Receiver(is_checking=False) as receiver:
        yield receiver


async def test_what_is_sent(receiver: Receiver) -> None:
    """The body as it is, the query too, and roomd's version."""
    assert await post(receiver.url) == Outcome(204, "")
    (request,) = receiver.requests
    assert receiver.paths == ["/hooks?key=q"]
    assert request.body == BODY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"roomd/{__version__}"
    assert request.headers["webhook-id"] == "e1"


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """Of a known authority, and for the host of the URL; else nothing is sent."""
    server, trusting = certificate(tmp_path, "127.0.0.1")
    other, trusting_other = certificate(tmp_path, "127.0.0.2")
    for used, trusts, why in (
        (server, ssl.create_default_context(), "certificate verify failed"),
        (other, trusting_other, "IP address mismatch"),
    ):
        async with Receiver(tls=used) as secure:
            outcome = await post(secure.url, tls=trusts)
            assert outcome.status is None
            assert why in outcome.error
            assert secure.requests == []
    async with Receiver(tls=server, is_checking=False) as secure:
        assert await post(secure.url, tls=trusting) == Outcome(204, "")


async def test_the_address_that_is_checked_is_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once for a connection, so a second answer of another kind is of no use."""
    asked: list[str] = []
    found = ["127.0.0.1"]

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    url = f"http://backend.example:{receiver.port}/"
    outcome = await post(url, is_private=False)
    assert outcome.error == "the address is not public (127.0.0.1); if it is meant, set private = true for the endpoint"
    assert receiver.connections == 0
    assert asked == ["backend.example"]
    found[:] = ["127.0.0.9", "127.0.0.1"]  # nobody listens at the first one
    assert (await post(url)).status == 204
    assert asked == ["backend.example"] * 2


async def test_what_comes_back_is_not_followed_and_not_read(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect is a failure; a body without end delays the next attempt by a second at most."""
    monkeypatch.setattr(sending, "BODY_TIMEOUT", 0.01)
    receiver.plan.extend(["redirect", "endless"])
    assert (await post(receiver.url)).error == "status 307; redirects are not followed"
    assert await post(receiver.url) == Outcome(200, "")


@pytest.mark.parametrize("way", [way for way in ENDLESS if not ENDLESS[way].pause])
async def test_responses_without_end(way: str) -> None:
    """16 KiB are read: a response whose header is not complete then is no response; of another the status counts."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(ENDLESS[way].first)
        while True:
            writer.write(ENDLESS[way].part)
            await writer.drain()

    port = free_port()
    async with listening(port, serve):
        outcome = await post(f"http://127.0.0.1:{port}/")
    has_head = b"\r\n\r\n" in ENDLESS[way].first
    assert outcome == (Outcome(200, "") if has_head else Outcome(None, "the response has no end within 16,384 bytes"))


async def test_little_is_parsed_at_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library asks for, others are served after a kilobyte of a response."""
    asked: list[int] = []

    class Source(httpcore.AsyncNetworkStream):
        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the library's
            asked.append(max_bytes)
            return b"HTTP/1.1 103 Early Hints\r\n\r\n".ljust(max_bytes)[:max_bytes]

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the library's
            pass

        async def aclose(self) -> None:
            pass

    async def connect(*_: Any) -> Source:
        return Source()

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    await post(receiver.url)
    assert max(asked) == 1024


async def test_no_answer(receiver: Receiver) -> None:
    """The time-out, a closed connection, no HTTP, and no host: each in words."""
    receiver.plan.extend(["close", "nonsense", "hang"])
    for _ in range(2):
        assert "the connection was closed" in (await post(receiver.url)).error
    assert (await post(receiver.url, seconds=0.2)).error == "no response within 0.2 seconds"
    await receiver.stop()
    assert (await post(receiver.url)).error == "ConnectError: All connection attempts failed"
    assert (await post("http://name.invalid/")).error.startswith("the host has no address: ")


LATER = datetime.datetime.fromtimestamp(NOW + 90, datetime.UTC)
WAITS = {
    "0": 0, "17": 17, "100000": 3600, format_datetime(LATER, usegmt=True): 90, "Tue, 03 Mar 2020 10:00:00 GMT": 0,
    "": 0, "-5": 0, "soon": 0, "1e9": 0, "9" * 400: 3600, "²": 0,
}  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), WAITS.items())
async def test_retry_after(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    """Seconds or a date; at most an hour; nonsense counts as none."""
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n"
    monkeypatch.setitem(ANSWERS, "busy", answer)
    receiver.plan.append("busy")
    outcome = await post(receiver.url)
    assert (outcome.status, outcome.error) == (503, "status 503")
    assert outcome.retry_after == pytest.approx(seconds)
