"""Where keys come from: configuration, files, the issuer's key set; and what outages and strangers cannot do."""

import asyncio
import contextlib
import json
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from roomd.config import AuthConfig, ConfigError
from roomd.errors import INVALID_TOKEN, UNAVAILABLE, Refused
from roomd.keys import FetchedKeys, KeySource, local_secret, local_secret_file, open_keys, policy
from roomd.tokens import Key, Policy, mint, verify

NOW = 1_772_534_100.0
CLAIMS = {"sub": "alice", "exp": NOW + 60}
SECRET = "0123456789abcdef0123456789abcdef"
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}

no_key_file = AuthConfig()


def pem(private: Any) -> bytes:
    """Write the public half of a key."""
    public: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public


def secret_file(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    file = folder / "secret"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    return file


def refusal(auth: AuthConfig, database: Path) -> str:
    """Return what `open_keys` says against this configuration."""
    with pytest.raises(ConfigError) as caught:
        open_keys(auth, database)
    return str(caught.value)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "var" / "roomd.db"


# Secrets


async def test_secret(database: Path) -> None:
    """A configured secret checks what it signed, and is the one to mint with."""
    auth = AuthConfig(secret=SECRET)
    source = open_keys(auth, database)
    minted = mint(SECRET.encode(), user="alice", ttl=60, now=NOW)
    assert verify(minted, await source.keys_for(minted), policy(auth), NOW).user_id == "alice"
    assert local_secret(auth, database) == SECRET.encode()
    await source.close()
    assert not database.parent.exists()


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f" \t{SECRET}\r\n"], ids=["bare", "line", "spaces"])
async def test_secret_file(tmp_path: Path, database: Path, content: str) -> None:
    """A secret file's white space at both ends is no part of the secret."""
    auth = AuthConfig(secret_file=str(secret_file(tmp_path, content)))
    assert await open_keys(auth, database).keys_for("") == (Key(SECRET.encode(), "HS256"),)
    assert local_secret(auth, database) == SECRET.encode()


BAD_SECRETS: dict[str, tuple[str | bytes, int, str]] = {
    "short": ("x" * 31, 0o600, "must be at least 32 bytes; `openssl rand -hex 32` makes one"),
    "short but for spaces": ("x" * 31 + "\n" * 9, 0o600, "must be at least 32 bytes"),
    "empty": ("", 0o600, "must be at least 32 bytes"),
    "read by the group": (SECRET, 0o640, "others can read it (mode 0640); run `chmod 600 {file}`"),
    "read by all": (SECRET, 0o604, "others can read it (mode 0604); run `chmod 600 {file}`"),
    "written by all": (SECRET, 0o602, "others can read it (mode 0602); run `chmod 600 {file}`"),
    "a public key": (
        pem(RSA),
        0o600,
        "holds a key for other algorithms, not a secret; `openssl rand -hex 32` makes one",
    ),
    "a JWK": (RSAAlgorithm.to_jwk(RSA.public_key()), 0o600, "holds a key for other algorithms, not a secret"),
}


@pytest.mark.parametrize(("content", "mode", "message"), BAD_SECRETS.values(), ids=BAD_SECRETS.keys())
def test_bad_secret_file(tmp_path: Path, database: Path, content: str | bytes, mode: int, message: str) -> None:
    """A secret file that is short, open to others or no secret stops the start: the key, the file, what to do."""
    file = secret_file(tmp_path, content, mode)
    text = refusal(AuthConfig(secret_file=str(file)), database)
    assert text.startswith(f"auth.secret_file: {file}: {message.format(file=file)}")
    assert SECRET not in text


FILES: dict[str, Callable[[str], AuthConfig]] = {
    "auth.secret_file": lambda file: AuthConfig(secret_file=file),
    "auth.public_key_file": lambda file: AuthConfig(public_key_file=file),
}


@pytest.mark.parametrize("key", FILES)
def test_unreadable_file(tmp_path: Path, database: Path, key: str) -> None:
    """A file that cannot be read is named with its key."""
    none = tmp_path / "none"
    assert refusal(FILES[key](str(none)), database) == f"{key}: {none}: cannot be read: No such file or directory"
    assert refusal(FILES[key](""), database) == f"{key}: .: cannot be read: Is a directory"


@pytest.mark.parametrize(("secret", "message"), [("x" * 31, "at least 32 bytes"), (pem(EC).decode(), "not a secret")])
def test_bad_secret(database: Path, secret: str, message: str) -> None:
    """A secret in the configuration is held to the same rules."""
    text = refusal(AuthConfig(secret=secret), database)
    assert text.startswith("auth.secret: ")
    assert message in text
    assert secret not in text


# The secret beside the database


async def test_made_secret(database: Path) -> None:
    """Without any key, the first start makes a random secret for its owner only; later starts use it again."""
    assert local_secret(no_key_file, database) is None
    assert not database.parent.exists()
    keys = await open_keys(no_key_file, database).keys_for("")
    file = database.parent / "roomd.secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) == 64
    assert bytes.fromhex(file.read_text())
    assert local_secret(no_key_file, database) == file.read_bytes() == keys[0].material
    assert await open_keys(no_key_file, database).keys_for("") == keys
    assert [entry.name for entry in database.parent.iterdir()] == ["roomd.secret"]


async def test_made_secrets_differ(tmp_path: Path) -> None:
    """No two databases share a made secret."""
    made = [await open_keys(no_key_file, tmp_path / name).keys_for("") for name in ("a.db", "b.db")]
    assert made[0] != made[1]


async def test_made_once_by_many(database: Path) -> None:
    """Processes that start at the same time agree on one secret."""
    barrier = threading.Barrier(8, timeout=10)

    def start() -> KeySource:
        barrier.wait()
        return open_keys(no_key_file, database)

    with ThreadPoolExecutor(8) as processes:
        sources = [started.result() for started in [processes.submit(start) for _ in range(8)]]
    assert len({(await source.keys_for(""))[0].material for source in sources}) == 1
    assert [entry.name for entry in database.parent.iterdir()] == ["roomd.secret"]


def test_made_secret_that_others_can_read(database: Path) -> None:
    """The secret beside the database is checked like any other, by the daemon and by the command line."""
    open_keys(no_key_file, database)
    file = local_secret_file(database)
    file.chmod(0o644)
    message = f"auth: {file}: others can read it (mode 0644); run `chmod 600 {file}`"
    assert refusal(no_key_file, database).startswith(message)
    with pytest.raises(ConfigError, match="others can read it"):
        local_secret(no_key_file, database)


def test_secret_that_cannot_be_made(tmp_path: Path) -> None:
    """Where no secret can be made, the message says where and what to do."""
    (tmp_path / "file").touch()
    assert refusal(no_key_file, tmp_path / "file" / "roomd.db").startswith(
        f"auth: {tmp_path / 'file' / 'roomd.secret'}: the secret cannot be made: "
    )


def test_database_with_the_secrets_name(tmp_path: Path) -> None:
    """A database is never taken for the secret beside it."""
    assert refusal(no_key_file, tmp_path / "roomd.secret").startswith("database.path: ")


# Public keys


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_public_key_file(tmp_path: Path, database: Path, algorithm: str) -> None:
    """A public key file checks tokens with the one algorithm of its kind of key, and mints none."""
    file = secret_file(tmp_path, pem(PRIVATE[algorithm]), 0o644)
    auth = AuthConfig(public_key_file=str(file))
    token = jwt.encode(CLAIMS, PRIVATE[algorithm], algorithm)
    keys = await open_keys(auth, database).keys_for(token)
    assert [key.algorithm for key in keys] == [algorithm]
    assert verify(token, keys, policy(auth), NOW).user_id == "alice"
    assert local_secret(auth, database) is None


PKCS8 = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PKCS1 = RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
NO_KEY = "must be an RSA, EC P-256 or Ed25519 public key in PEM"
BAD_KEYS = {
    "private": (PKCS8, "is a private key; give its public half: `openssl pkey -in {file} -pubout`"),
    "private, traditional": (PKCS1, "is a private key; give its public half"),
    "certificate": (CERTIFICATE, "is a certificate; give its key: `openssl x509 -in {file} -noout -pubkey`"),
    "small RSA": (pem(SMALL_RSA), f"{NO_KEY} (an RSA key of 1024 bits; at least 2048 are needed)"),
    "another curve": (pem(ec.generate_private_key(ec.SECP384R1())), f"{NO_KEY} (another kind of key)"),
    "Ed448": (pem(ed448.Ed448PrivateKey.generate()), f"{NO_KEY} (another kind of key)"),
    "DSA": (pem(dsa.generate_private_key(1024)), NO_KEY),
    "no PEM": (SECRET.encode(), NO_KEY),
    "empty": (b"", NO_KEY),
    "cut": (pem(RSA)[:80], NO_KEY),
}


@pytest.mark.parametrize(("content", "message"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_bad_public_key_file(tmp_path: Path, database: Path, content: bytes, message: str) -> None:
    """A file that holds anything but a fit public key stops the start and says what it holds and what to do."""
    file = secret_file(tmp_path, content)
    text = refusal(AuthConfig(public_key_file=str(file)), database)
    assert text.startswith(f"auth.public_key_file: {file}: {message.format(file=file)}")


def test_key_without_its_algorithm(tmp_path: Path, database: Path) -> None:
    """A key that none of the accepted algorithms can use stops the start, for no token would ever pass."""
    file = secret_file(tmp_path, pem(EC))
    auth = AuthConfig(public_key_file=str(file), algorithms=("RS256", "EdDSA"))
    assert refusal(auth, database) == f"auth.algorithms: RS256, EdDSA does not go with {file}; allowed: ES256"


POLICIES: dict[str, tuple[AuthConfig, Policy]] = {
    "none": (no_key_file, Policy(("HS256",), leeway=10.0)),
    "secret": (AuthConfig(secret=SECRET, leeway=0.0), Policy(("HS256",))),
    "public key": (AuthConfig(public_key_file="k"), Policy(("RS256", "ES256", "EdDSA"), leeway=10.0)),
    "key set": (
        AuthConfig(jwks_url="http://k", algorithms=("ES256",), issuer="i", audience="a"),
        Policy(("ES256",), "i", "a", 10.0),
    ),
}


@pytest.mark.parametrize(("auth", "expected"), POLICIES.values(), ids=POLICIES.keys())
def test_policy(auth: AuthConfig, expected: Policy) -> None:
    """Unless configured, the accepted algorithms follow from the kind of key."""
    assert policy(auth) == expected


# The issuer's key set


class Issuer:
    """A real HTTP server with a key set, an answer to change, a count of fetches and a gate to hold them at."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.fetches = 0
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                issuer.asked.set()
                issuer.gate.wait(10)
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


async def test_key_set(issuer: Issuer, database: Path) -> None:
    """Keys of every accepted kind are fetched when the first token comes, and check it."""
    issuer.serve(jwk(RSA, "k1"), jwk(EC, "k2", use="sig", alg="ES256"), jwk(ED, "k3"))
    auth = AuthConfig(jwks_url=issuer.url)
    source = open_keys(auth, database)
    assert issuer.fetches == 0
    for kid, (algorithm, private) in zip(["k1", "k2", "k3"], PRIVATE.items(), strict=True):
        text = token(kid, private, algorithm)
        assert verify(text, await source.keys_for(text), policy(auth), NOW).user_id == "alice"
    assert issuer.fetches == 1
    assert local_secret(auth, database) is None
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
    assert await ids(source, token("k2")) == ["k1"]
    clock.now += 0.1
    assert await ids(source, token("k2")) == ["k2"]
    assert issuer.fetches == 2


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
        found = await asyncio.gather(*(ids(source, token(f"x{n}")) for n in range(100)))
        assert found == [["k1"]] * 100
        assert issuer.fetches == 2


async def test_first_fetch_serves_all_that_wait(issuer: Issuer, clock: Clock) -> None:
    """All that come before the first keys wait for one fetch; one of them going away leaves it to the others."""
    issuer.serve(jwk(EC, "k1"))
    issuer.gate.clear()
    source = FetchedKeys(issuer.url, clock=clock)
    waiting = [asyncio.create_task(ids(source, token("k1"))) for _ in range(100)]
    await asyncio.to_thread(issuer.asked.wait, 10)
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
    await asyncio.to_thread(issuer.asked.wait, 10)
    await source.close()
    await source.close()
    issuer.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_issuer_that_drips_is_not_waited_for() -> None:
    """A fetch has an end, byte by byte or not, and the next one does not wait for it either."""
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
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
    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await source.keys_for(token("k1"))
            assert caught.value.kind == UNAVAILABLE
    gone.set()
    await source.close()
    server.close()
    await server.wait_closed()
