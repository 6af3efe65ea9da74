"""The issuer's JSON Web Key Set (RFC 7517), fetched when a token needs it; these rules bound what strangers can cause.

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
import time
from collections.abc import Callable, Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from roomd.auth.tokens import Key, PublicKey, key_id
from roomd.protocol.errors import UNAVAILABLE, Refused

log = logging.getLogger("roomd.auth.jwks")

SMALLEST_RSA = 2048
"""Bits; RFC 7518, section 3.3."""
FETCH_TIMEOUT = 5.0
"""Seconds for a fetch."""


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


def from_public_key(key: object, kid: str | None = None) -> Key:
    """Give a public key its algorithm. Raises `ValueError` for one roomd does not use, private ones included."""
    algorithm: str
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
        key = from_public_key(jwk.key, kid)
    except ValueError:  # oct and private keys among them: a secret that everyone can fetch is none
        return None
    return key if key.algorithm == jwk.algorithm_name else None
