"""The issuer's key set, from a real server: rotation, outages, and what strangers cannot do."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from roomd import __version__
from roomd.auth.jwks import FetchedKeys
from roomd.auth.keys import open_keys, policy
from roomd.auth.secret_files import local_secret
from roomd.auth.tokens import Policy, verify
from roomd.config import AuthConfig
from roomd.protocol.errors import INVALID_TOKEN, UNAVAILABLE, Refused
from tests.support.processes import PATIENCE

NOW = 1_772_534_100.0
CLAIMS = {"sub": "alice", "exp": NOW + 60}
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


class Issuer:
    """A real HTTP server with a key set, an answer to change, a count of fetches and a gate to hold them at."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.fetches = 0
        self.headers: Mapping[str, str] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                issuer.headers = dict(self.headers)
                issuer.asked.set()
                issuer.gate.wait(PATIENCE)
                status, body = issuer.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def serve(self, *keys: dict[str, Any]) -> None:
        """Answer with these keys."""
        self.answer = (200, json.dumps({"keys": keys}).encode())

    def close(self) -> None:
        """Stop serving, so that the next fetch finds nobody."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Clock:
    """A clock that stands until it is set forward."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Issuer()
    yield server
    server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def jwk(private: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """Write the public half of a key as a member of a key set."""
    algorithm = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    writer: Any = next((a for kind, a in algorithm.items() if isinstance(private, kind)), OKPAlgorithm)
    return {**writer.to_jwk(private.public_key(), as_dict=True), **({"kid": kid} if kid else {}), **more}


def token(kid: str | None = "k1", private: Any = EC, algorithm: str = "ES256") -> str:
    """Sign a token as the issuer does."""
    return jwt.encode(CLAIMS, private, algorithm, {"kid": kid} if kid else None)


async def ids(source: FetchedKeys, text: str) -> list[str | None]:
    """Return the ids of the keys there are for a token."""
    return [key.key_id for key in await source.keys_for(text)]


async def refused(source: FetchedKeys, text: str) -> Refused:
    """Return how a token is refused its keys."""
    with pytest.raises(Refused) as caught:
        await source.keys_for(text)
    return caught.value


async def test_key_set(issuer: Issuer, tmp_path: Path) -> None:
    """Keys of every accepted kind are fetched when the first token comes, and check it."""
    issuer.serve(jwk(RSA, "k1"), jwk(EC, "k2", use="sig", alg="ES256"), jwk(ED, "k3"))
    auth = AuthConfig(jwks_url=issuer.url)
    source = open_keys(auth, tmp_path / "roomd.db")
    assert issuer.fetches == 0
    for kid, (algorithm, private) in zip(["k1", "k2", "k3"], PRIVATE.items(), strict=True):
        text = token(kid, private, algorithm)
        assert verify(text, await source.keys_for(text), policy(auth), NOW).user_id == "alice"
    assert issuer.fetches == 1
    assert local_secret(auth, tmp_path / "roomd.db") is None
    await source.close()


UNUSABLE: dict[str, dict[str, Any]] = {
    "secret": {"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kid": "k1"},
    "for encryption": jwk(RSA, "k1", use="enc"),
    "for another algorithm": jwk(RSA, "k1", alg="PS256"),
    "small RSA": jwk(SMALL_RSA, "k1"),
    "another curve": jwk(ec.generate_private_key(ec.SECP384R1()), "k1"),
    "private": OKPAlgorithm.to_jwk(ED, as_dict=True) | {"kid": "k1"},
    "unknown kind": {"kty": "new", "kid": "k1"},
    "broken": {"kty": "RSA", "n": 5, "kid": "k1"},
    "id a number": jwk(EC, None) | {"kid": 5},
}


@pytest.mark.parametrize("member", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_unusable_members(issuer: Issuer, clock: Clock, member: dict[str, Any]) -> None:
    """Members of a key set that are no public keys for signatures are ignored; the others serve."""
    issuer.serve(member, jwk(EC, "k2"))
    assert await ids(FetchedKeys(issuer.url, clock=clock), token("k2")) == ["k2"]


async def test_tokens_and_keys_without_ids(issuer: Issuer, clock: Clock) -> None:
    """An issuer with one key need not name it."""
    issuer.serve(jwk(EC, None))
    source = FetchedKeys(issuer.url, clock=clock)
    for text in (token(None), token("k1")):
        assert verify(text, await source.keys_for(text), Policy(("ES256",)), NOW).user_id == "alice"
    assert issuer.fetches == 1


async def test_rotation(issuer: Issuer, clock: Clock) -> None:
    """A key the issuer adds is found with the first token that names it, once the interval allows a fetch."""
    issuer.serve(jwk(EC, "k1"))
    source = FetchedKeys(issuer.url, clock=clock, interval=30)
    assert await ids(source, token("k1")) == ["k1"]
    issuer.serve(jwk(EC, "k2"))
    clock.now += 29.9
    too_early = await refused(source, token("k2"))
    assert (too_early.kind, too_early.retry_after) == (UNAVAILABLE, 1.0)
    assert too_early.reason == "its key id is unknown, and the keys cannot be fetched again yet"
    clock.now += 0.1
    assert await ids(source, token("k2")) == ["k2"]
    assert issuer.fetches == 2


async def test_a_stranger_does_not_starve_a_rotation(issuer: Issuer, clock: Clock) -> None:
    """A made-up key id just before a rotation: good tokens of the new key get 503, then their key, never 401.

    The made-up key id itself is refused when a fetch that began after its token came did not find it.
    """
    issuer.serve(jwk(EC, "k1"))
    source = FetchedKeys(issuer.url, clock=clock, interval=30)
    assert await ids(source, token("k1")) == ["k1"]
    clock.now += 40
    assert await ids(source, token("nonsense")) == ["k1"], "checked with the known keys, and so refused"
    issuer.serve(jwk(EC, "k2"))
    for wait in (30.0, 20.0, 10.0):
        refusals = [await refused(source, token(kid)) for kid in ("k2", "nonsense")]
        assert [(one.kind, one.retry_after) for one in refusals] == [(UNAVAILABLE, wait)] * 2
        clock.now += 10
    assert await ids(source, token("k2")) == ["k2"]
    assert issuer.fetches == 3


async def test_an_unknown_id_while_the_issuer_is_down(issuer: Issuer, clock: Clock) -> None:
    """A fetch that fails finds nothing, so it refuses no token for its key id; known keys go on to serve."""
    issuer.serve(jwk(EC, "k1"))
    source = FetchedKeys(issuer.url, clock=clock, interval=30)
    assert await ids(source, token("k1")) == ["k1"]
    issuer.answer = (500, b"")
    clock.now += 30
    assert (await refused(source, token("k2"))).retry_after == 30.0
    assert await ids(source, token("k1")) == ["k1"]


async def test_who_joins_a_running_fetch(issuer: Issuer, clock: Clock) -> None:
    """A fetch that began before a token came may have missed its key: 503, and the next fetch finds it."""
    issuer.serve(jwk(EC, "k1"))
    issuer.gate.clear()
    source = FetchedKeys(issuer.url, clock=clock, interval=30)
    first = asyncio.create_task(ids(source, token("k1")))
    await asyncio.to_thread(issuer.asked.wait, PATIENCE)
    second = asyncio.create_task(refused(source, token("k2")))
    await asyncio.sleep(0)
    issuer.gate.set()
    assert await first == ["k1"]
    assert (await second).kind == UNAVAILABLE


async def test_header_fields(issuer: Issuer, clock: Clock) -> None:
    """A fetch says who asks and for what, as filters in front of issuers demand."""
    issuer.serve(jwk(EC, "k1"))
    await ids(FetchedKeys(issuer.url, clock=clock), token("k1"))
    assert issuer.headers["User-Agent"] == f"roomd/{__version__}"
    assert issuer.headers["Accept"] == "application/json"


async def test_lifetime(issuer: Issuer, clock: Clock) -> None:
    """A key the issuer withdraws is gone once the lifetime of what was fetched is over."""
    issuer.serve(jwk(EC, "k1"), jwk(EC, "k2"))
    source = FetchedKeys(issuer.url, clock=clock, lifetime=300)
    assert await ids(source, token("k1")) == ["k1", "k2"]
    issuer.serve(jwk(EC, "k2"))
    clock.now += 299.9
    assert await ids(source, token("k1")) == ["k1", "k2"]
    clock.now += 0.1
    assert await ids(source, token("k1")) == ["k2"]
    assert issuer.fetches == 2


async def test_flood_of_unknown_ids(issuer: Issuer, clock: Clock) -> None:
    """A hundred tokens with made-up key ids at once make one fetch, and as many later make none."""
    issuer.serve(jwk(EC, "k1"))
    source = FetchedKeys(issuer.url, clock=clock, interval=30)
    assert await ids(source, token("k1")) == ["k1"]
    clock.now += 30
    for _ in range(2):
        await asyncio.gather(*(source.keys_for(token(f"x{n}")) for n in range(100)), return_exceptions=True)
        assert issuer.fetches == 2


async def test_first_fetch_serves_all_that_wait(issuer: Issuer, clock: Clock) -> None:
    """All that come before the first keys wait for one fetch; one of them going away leaves it to the others."""
    issuer.serve(jwk(EC, "k1"))
    issuer.gate.clear()
    source = FetchedKeys(issuer.url, clock=clock)
    waiting = [asyncio.create_task(ids(source, token("k1"))) for _ in range(100)]
    await asyncio.to_thread(issuer.asked.wait, PATIENCE)
    waiting[0].cancel()
    issuer.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [["k1"]] * 99
    assert issuer.fetches == 1


OUTAGES: dict[str, tuple[int, bytes]] = {
    "server error": (500, b"sorry"),
    "not found": (404, b"{}"),
    "redirect": (302, b""),
    "no JSON": (200, b"<html>"),
    "not UTF-8": (200, b"\xff"),
    "nested": (200, b"[" * 100_000),
    "a list": (200, b"[]"),
    "no keys": (200, b'{"keys": []}'),
    "keys no list": (200, b'{"keys": "k1"}'),
    "keys no objects": (200, b'{"keys": [1, null, "x"]}'),
    "odd members": (200, b'{"keys": [{"kty": "RSA", "alg": ["RS256"]}]}'),
    "secrets only": (200, json.dumps({"keys": [UNUSABLE["secret"]]}).encode()),
}


@pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES.keys())
async def test_outage(issuer: Issuer, clock: Clock, answer: tuple[int, bytes]) -> None:
    """An issuer that answers with anything but keys leaves the old ones in use, and is asked no more often."""
    issuer.serve(jwk(EC, "k1"))
    source = FetchedKeys(issuer.url, clock=clock, lifetime=300, interval=30)
    assert await ids(source, token("k1")) == ["k1"]
    working, issuer.answer = issuer.answer, answer
    clock.now += 300
    for _ in range(3):
        assert await ids(source, token("k1")) == ["k1"]
    assert issuer.fetches == 2
    issuer.answer = working
    clock.now += 30
    assert await ids(source, token("k1")) == ["k1"]
    assert await ids(source, token("k1")) == ["k1"]
    assert issuer.fetches == 3


async def test_issuer_gone(issuer: Issuer, clock: Clock) -> None:
    """An issuer nobody reaches leaves the old keys in use."""
    issuer.serve(jwk(EC, "k1"))
    source = FetchedKeys(issuer.url, clock=clock)
    assert await ids(source, token("k1")) == ["k1"]
    issuer.close()
    clock.now += 1000
    assert await ids(source, token("k1")) == ["k1"]


async def test_never_any_keys(issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Until there are keys, tokens get 503 with the time until the next fetch, and fetches stay bounded."""
    issuer.answer = (500, b"")
    source = FetchedKeys(issuer.url, clock=clock, interval=30)
    first = await refused(source, token("k1"))
    assert (first.kind, first.message) == (UNAVAILABLE, "The keys to check tokens with are unavailable")
    assert first.retry_after == 30.0
    clock.now += 10
    assert (await refused(source, token(None))).retry_after == 20.0
    assert issuer.fetches == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    issuer.serve(jwk(EC, "k1"))
    clock.now += 20
    assert await ids(source, token("k1")) == ["k1"]


@pytest.mark.parametrize("text", ["", "guest", "e30.e30", "!.!.!"])
async def test_what_is_no_token_costs_no_fetch(issuer: Issuer, clock: Clock, text: str) -> None:
    """What cannot be a token is refused as one before anybody is asked for keys."""
    assert (await refused(FetchedKeys(issuer.url, clock=clock), text)).kind == INVALID_TOKEN
    assert issuer.fetches == 0


async def test_close(issuer: Issuer, clock: Clock) -> None:
    """Closing stops a fetch that is under way and whoever waits for it; closing twice is fine."""
    issuer.gate.clear()
    source = FetchedKeys(issuer.url, clock=clock)
    waiting = asyncio.create_task(source.keys_for(token("k1")))
    await asyncio.to_thread(issuer.asked.wait, PATIENCE)
    await source.close()
    await source.close()
    issuer.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long:"])
async def test_an_issuer_that_drips_is_not_waited_for(head: bytes) -> None:
    """A fetch has an end, whether the document comes byte by byte or its header does, and the next one begins then."""
    gone = asyncio.Event()
    fetches = 0

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal fetches
        fetches += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            while not gone.is_set():
                writer.write(b" ")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gone.wait(), 0.05)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = FetchedKeys(f"http://127.0.0.1:{port}/keys", interval=0.0, timeout=0.2)
    async with asyncio.timeout(PATIENCE):
        while fetches < 3:
            with pytest.raises(Refused) as caught:
                await source.keys_for(token("k1"))
            assert (caught.value.kind, caught.value.retry_after) == (UNAVAILABLE, 1.0)
            await asyncio.sleep(0)
    gone.set()
    await source.close()
    server.close()
    await server.wait_closed()
