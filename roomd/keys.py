"""Where the keys that tokens are checked with come from: the configuration, a file, or the issuer's key set.

Keys in the configuration and in files are read once, at the start, and everything wrong with them stops it with a
`ConfigError`. A key set at a URL is fetched when a token needs it, and these rules bound what strangers can cause:

- Keys are used for `lifetime` seconds; after that, or for a token with an unknown key id, the set is fetched again.
- Fetches start at least `interval` seconds apart, whatever became of the last one. In between, a token with an
  unknown key id is checked against the keys there are, and so refused.
- All that wait for keys wait for the same fetch, and one of them going away does not stop it for the others.
- A fetch that fails, or brings no usable key, keeps the old keys: an outage of the issuer is no outage of roomd.
- While there have never been keys, tokens get 503 `unavailable` with `retryAfter`. Not 401 `invalid_token`: its close
  4401 tells a client to throw away a token that may be good. And not the rights of a guest.
"""

import asyncio
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from roomd.config import Algorithm, AuthConfig, ConfigError
from roomd.errors import UNAVAILABLE, Refused
from roomd.tokens import Key, Policy, PublicKey, key_id

log = logging.getLogger("roomd.keys")

SHORTEST_SECRET = 32
"""Bytes; RFC 7518, section 3.2: a key as long as the hash."""
SMALLEST_RSA = 2048
"""Bits; RFC 7518, section 3.3."""
LARGEST_FILE = 65_536
FETCH_TIMEOUT = 5.0
"""Seconds for each step of a fetch."""

_HOW_TO_MAKE_ONE = "`openssl rand -hex 32` makes one"


class KeySource(Protocol):
    """Gives the keys a token may be signed with."""

    async def keys_for(self, token: str) -> Sequence[Key]:
        """Return the keys to verify `token` with.

        Raises `Refused`: `INVALID_TOKEN` for what is no token at all, `UNAVAILABLE` while there are no keys.
        """

    async def close(self) -> None:
        """Stop whatever is still being fetched. Closing twice is fine."""


class FixedKeys:
    """Keys that were read at the start."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys

    async def keys_for(self, token: str) -> Sequence[Key]:  # noqa: ARG002 - the same keys for every token
        """Return the keys."""
        return self._keys

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""


class FetchedKeys:
    """The issuer's JSON Web Key Set (RFC 7517), fetched by the rules at the top of this file.

    `clock` is monotonic; `lifetime` and `interval` are in its seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        lifetime: float = 300.0,
        interval: float = 30.0,
        timeout: float = FETCH_TIMEOUT,
    ) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout)
        self._clock = clock
        self._lifetime = lifetime
        self._interval = interval
        self._keys: tuple[Key, ...] = ()
        self._fresh_until = self._may_fetch_at = clock()
        self._fetching: asyncio.Task[None] | None = None
        self._downloading: asyncio.Task[tuple[Key, ...]] | None = None  # one thread at a time is given to the issuer
        self._timeout = timeout

    async def keys_for(self, token: str) -> Sequence[Key]:
        """Return the issuer's keys, fetched again first when that may help with this token."""
        wanted = key_id(token)
        known = any(wanted in (None, key.key_id) for key in self._keys)
        if not known or self._clock() >= self._fresh_until:
            fetching = self._refresh()
            if fetching is not None:
                # Shielded: a client that goes away must not take the fetch from the others that wait for it.
                await asyncio.shield(fetching)
        if not self._keys:
            wait = max(0.0, self._may_fetch_at - self._clock())
            raise Refused(UNAVAILABLE, "The keys to check tokens with are unavailable", retry_after=round(wait, 1))
        return self._keys

    async def close(self) -> None:
        """Stop waiting for a fetch; its thread ends with the fetch's timeout."""
        waiting = [task for task in (self._fetching, self._downloading) if task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _refresh(self) -> asyncio.Task[None] | None:
        """Answer with the fetch that is under way, begun if one may begin; None if none may."""
        now = self._clock()
        may_begin = self._fetching is None and now >= self._may_fetch_at
        if may_begin and (self._downloading is None or self._downloading.done()):
            self._may_fetch_at = now + self._interval
            self._fetching = asyncio.create_task(self._fetch(), name="fetch token keys")
        return self._fetching

    async def _fetch(self) -> None:
        """Take the keys of one download, unless it takes too long: its own timeout counts from byte to byte."""
        try:
            self._downloading = asyncio.create_task(asyncio.to_thread(self._download), name="download token keys")
            self._downloading.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, late or not
            await asyncio.wait({self._downloading}, timeout=self._timeout)
            if not self._downloading.done():
                raise TimeoutError("the issuer takes too long")
            self._keys = self._downloading.result()
        # An edge: what a stranger's server answers, read by three libraries. Nothing of it may stop roomd.
        except Exception as exc:  # noqa: BLE001
            fields = {"kept": len(self._keys), "error": type(exc).__name__, "reason": str(exc)}
            log.warning("token keys could not be fetched", fields)
        else:
            self._fresh_until = self._clock() + self._lifetime
        finally:
            self._fetching = None

    def _download(self) -> tuple[Key, ...]:
        """Fetch the set. Runs in a thread; raises `ValueError` when no key in it is usable."""
        found = [_from_jwk(jwk) for jwk in self._client.get_jwk_set(refresh=True).keys]
        if keys := tuple(key for key in found if key is not None):
            return keys
        raise ValueError("no RSA, EC P-256 or Ed25519 public key for signatures in the set")


def open_keys(auth: AuthConfig, database: Path) -> KeySource:
    """Open the configured source of keys; with none configured, the secret beside the database, made if missing.

    Raises `ConfigError` that names the key, the file and what to do.
    """
    if auth.jwks_url is not None:
        return FetchedKeys(auth.jwks_url)
    if auth.public_key_file is not None:
        return FixedKeys(_public_key(Path(auth.public_key_file), policy(auth)))
    secret = local_secret(auth, database)
    return FixedKeys(Key(_make_secret(local_secret_file(database)) if secret is None else secret, "HS256"))


def local_secret(auth: AuthConfig, database: Path) -> bytes | None:
    """Return the secret that tokens can be minted with; None where there is none (yet). Creates nothing.

    Raises `ConfigError` for one that is there and must not be used.
    """
    if auth.jwks_url is not None or auth.public_key_file is not None:
        return None
    if auth.secret is not None:
        return _check_secret(os.fsencode(auth.secret), "auth.secret")
    if auth.secret_file is not None:
        return _read_secret(Path(auth.secret_file), "auth.secret_file")
    file = local_secret_file(database)
    if file == database:
        raise ConfigError(f"database.path: {database}: this name is for the secret beside it; choose another")
    return _read_secret(file, "auth") if file.exists() else None


def local_secret_file(database: Path) -> Path:
    """Return where the secret beside `database` is kept."""
    return database.with_suffix(".secret")


def policy(auth: AuthConfig) -> Policy:
    """Say what the configuration asks of a token."""
    symmetric = auth.jwks_url is None and auth.public_key_file is None
    fitting = ("HS256",) if symmetric else tuple(name for name in get_args(Algorithm) if name != "HS256")
    return Policy(auth.algorithms or fitting, auth.issuer, auth.audience, auth.leeway)


def _read(file: Path, setting: str) -> tuple[bytes, int]:
    """Return a file's content and mode, both of the same open file."""
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_FILE), os.fstat(opened.fileno()).st_mode
    except OSError as exc:
        raise ConfigError(f"{setting}: {file}: cannot be read: {exc.strerror}") from None


def _read_secret(file: Path, setting: str) -> bytes:
    content, mode = _read(file, setting)
    if mode & 0o077:
        raise ConfigError(
            f"{setting}: {file}: others can read it (mode {stat.S_IMODE(mode):04o}); run `chmod 600 {file}`, and "
            "replace the secret if someone may have"
        )
    return _check_secret(content.strip(), f"{setting}: {file}")


def _check_secret(secret: bytes, source: str) -> bytes:
    if len(secret) < SHORTEST_SECRET:
        raise ConfigError(f"{source}: must be at least {SHORTEST_SECRET} bytes; {_HOW_TO_MAKE_ONE}")
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ConfigError(
            f"{source}: holds a key for other algorithms, not a secret; {_HOW_TO_MAKE_ONE}, "
            "and a public key belongs in auth.public_key_file"
        ) from None


def _make_secret(file: Path) -> bytes:
    """Make the secret beside the database; if another process makes it at the same time, theirs counts.

    It is complete before it has its name: a crash leaves either the whole secret or none.
    """
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(unfinished, secrets.token_hex(32).encode())
            os.link(unfinished, file)
        except FileExistsError:
            pass
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(file.parent)
    except OSError as exc:
        raise ConfigError(
            f"auth: {file}: the secret cannot be made: {exc.strerror}; make its folder writable or set auth.secret_file"
        ) from None
    return _read_secret(file, "auth")


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name in `folder` survive a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _public_key(file: Path, policy: Policy) -> Key:
    source = f"auth.public_key_file: {file}"
    content, _ = _read(file, "auth.public_key_file")
    if b"PRIVATE KEY-----" in content:
        raise ConfigError(f"{source}: is a private key; give its public half: `openssl pkey -in {file} -pubout`")
    if b"-----BEGIN CERTIFICATE-----" in content:
        raise ConfigError(f"{source}: is a certificate; give its key: `openssl x509 -in {file} -noout -pubkey`")
    try:
        key = _from_public_key(load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{source}: must be an RSA, EC P-256 or Ed25519 public key in PEM ({exc})") from None
    if key.algorithm not in policy.algorithms:
        raise ConfigError(
            f"auth.algorithms: {', '.join(policy.algorithms)} does not go with {file}; allowed: {key.algorithm}"
        )
    return key


def _from_public_key(key: object, kid: str | None = None) -> Key:
    """Give a public key its algorithm. Raises `ValueError` for one roomd does not use, private ones included."""
    algorithm: Algorithm
    match key:
        case RSAPublicKey():
            if key.key_size < SMALLEST_RSA:
                raise ValueError(f"an RSA key of {key.key_size} bits; at least {SMALLEST_RSA} are needed")
            algorithm = "RS256"
        case EllipticCurvePublicKey(curve=SECP256R1()):
            algorithm = "ES256"
        case Ed25519PublicKey():
            algorithm = "EdDSA"
        case _:
            raise ValueError("another kind of key")
    material: PublicKey = key
    return Key(material, algorithm, kid)


def _from_jwk(jwk: jwt.PyJWK) -> Key | None:
    """Return a member of the set that is a public key for signatures, declared for the algorithm roomd uses it with."""
    kid = jwk.key_id
    if jwk.public_key_use not in ("sig", None) or not isinstance(kid, str | None):
        return None
    try:
        key = _from_public_key(jwk.key, kid)
    except ValueError:  # oct and private keys among them: a secret that everyone can fetch is none
        return None
    return key if key.algorithm == jwk.algorithm_name else None
