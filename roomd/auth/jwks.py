"""The issuer's JSON Web Key Set (RFC 7517), fetched when a token needs it.

These rules limit how many fetches clients can cause:

- Keys are used for `lifetime` seconds. After that, or for a token with an unknown key id, the set is fetched again.
- Fetches start at least `interval` seconds apart, also after a failed one. In between, a token with an unknown key id
  gets 503 `unavailable` with `retryAfter`: the issuer may have a new key. So one who sends invented key ids delays the
  first token of a new key by at most `interval`. A token is refused for its key id (401) only when a fetch that began
  after the token came has not found it.
- All clients that need keys wait for the same fetch. A client that disconnects does not cancel it for the others.
- After a fetch that fails, or that returns no usable key, the old keys are used. So roomd works without the issuer.
- A set of more than 1 MiB or more than 100 keys, or one that takes more than 10 seconds, is a fetch that fails.
- Until the first keys are fetched, tokens get 503 `unavailable` too. They do not get 401 `invalid_token`, because its
  close code 4401 makes a client discard a token that may be valid. Nor do they get the rights of a guest.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from roomd.auth.download import download
from roomd.auth.tokens import Key, PublicKey, key_id
from roomd.protocol.errors import UNAVAILABLE, Refused

log = logging.getLogger("roomd.auth.jwks")

SMALLEST_RSA = 2048
"""The bits that an RSA key must have (RFC 7518, section 3.3)."""
FETCH_TIMEOUT = 10.0
"""The seconds that a fetch may take in all."""
SHORTEST_WAIT = 1.0
"""The least `retryAfter`, in seconds: also while a fetch may start, and the one before it has not ended yet."""
MOST_KEYS = 100
"""The keys that a set may have: each one is tried for a token without a key id."""


class FetchedKeys:
    """The issuer's JSON Web Key Set (RFC 7517), fetched by the rules at the top of this file. It is a `KeySource`.

    `clock` is monotonic. `lifetime`, `interval` and `timeout` are in seconds.
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
        self.url = url
        """The address of the set."""
        self._clock = clock
        self._lifetime = lifetime
        self._interval = interval
        self._keys: tuple[Key, ...] = ()
        self._begun = 0  # the number of fetches that began
        self._fetched = 0  # the number of the fetch that the keys are from
        self._fresh_until = self._may_fetch_at = clock()
        self._fetching: asyncio.Task[None] | None = None
        self._downloading: asyncio.Task[tuple[Key, ...]] | None = None  # at most one thread waits for the issuer
        self._timeout = timeout

    def keys_at_hand(self, token: str) -> Sequence[Key] | None:
        """Return the issuer's keys; None if they are old, or if the token has an unknown key id.

        Raises `Refused`: 401 `invalid_token` for a token without a readable header.
        """
        wanted = key_id(token)
        is_known = any(wanted in (None, key.key_id) for key in self._keys)
        return self._keys if is_known and self._clock() < self._fresh_until else None

    async def keys_for(self, token: str) -> Sequence[Key]:
        """Return the issuer's keys. Fetch them first if they are old, or if the token has an unknown key id.

        Raises `Refused`: 401 `invalid_token` for a token without a readable header, 503 `unavailable` without any keys,
        and for an unknown key id when the keys were not fetched since.
        """
        if (found := self.keys_at_hand(token)) is not None:
            return found
        wanted, begun = key_id(token), self._begun
        fetching = self._refresh()
        if fetching is not None:
            # Shielded: a client that disconnects must not cancel the fetch for the others.
            await asyncio.shield(fetching)
        may_fit = any(wanted is None or key.key_id in (None, wanted) for key in self._keys)
        if may_fit or self._fetched > begun:
            return self._keys
        wait = max(SHORTEST_WAIT, self._may_fetch_at - self._clock())
        raise Refused(
            UNAVAILABLE,
            "The keys to check tokens with are unavailable",
            retry_after=round(wait, 1),
            reason="its key id is unknown, and the keys cannot be fetched again yet"
            if self._keys
            else "there are no keys",
        )

    async def close(self) -> None:
        """Cancel a running fetch. Its thread ends at the timeout of the download. Closing twice is fine."""
        waiting = [task for task in (self._fetching, self._downloading) if task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _refresh(self) -> asyncio.Task[None] | None:
        """Return the running fetch. Start one if none runs and one may start; else return None."""
        now = self._clock()
        may_begin = self._fetching is None and now >= self._may_fetch_at
        if may_begin and (self._downloading is None or self._downloading.done()):
            self._may_fetch_at = now + self._interval
            self._begun += 1
            self._fetching = asyncio.create_task(self._fetch(), name="fetch token keys")
        return self._fetching

    async def _fetch(self) -> None:
        """Download the keys, within the timeout. The thread ends then too, but when it still looks for the host."""
        try:
            self._downloading = asyncio.create_task(asyncio.to_thread(self._download), name="download token keys")
            # The exception must be retrieved, also after the timeout.
            self._downloading.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.wait({self._downloading}, timeout=self._timeout)
            if not self._downloading.done():
                raise TimeoutError("the issuer takes too long")
            self._keys = self._downloading.result()
            self._fetched = self._begun
        # An edge: three libraries read the response of another server. No error in it may stop roomd.
        except Exception as exc:  # noqa: BLE001
            fields = {"kept": len(self._keys), "error": type(exc).__name__, "reason": str(exc)}
            log.warning("cannot fetch token keys", fields)
        else:
            self._fresh_until = self._clock() + self._lifetime
        finally:
            self._fetching = None

    def _download(self) -> tuple[Key, ...]:
        """Download the set and return its usable keys. It runs in a thread.

        Raises `ValueError` when the set is too large or no key is usable, and the errors of `download` and of PyJWT.
        """
        members = json.loads(download(self.url, self._timeout))["keys"]
        if len(members) > MOST_KEYS:
            raise ValueError(f"it has more than {MOST_KEYS} keys")
        found = [_from_jwk(jwk) for jwk in jwt.PyJWKSet(members).keys]
        if keys := tuple(key for key in found if key is not None):
            return keys
        raise ValueError("no RSA, EC P-256 or Ed25519 public key for signatures in the set")


def from_public_key(key: object, kid: str | None = None) -> Key:
    """Return a public key with the algorithm that roomd uses it for.

    Raises `ValueError` for any other key, and for private keys.
    """
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
            raise ValueError("the type of the key is not supported")
    material: PublicKey = key
    return Key(material, algorithm, kid)


def _from_jwk(jwk: jwt.PyJWK) -> Key | None:
    """Return a key of the set; None unless it is a public key for signatures with the algorithm that roomd uses."""
    kid = jwk.key_id
    if jwk.public_key_use not in ("sig", None) or not isinstance(kid, str | None):
        return None
    try:
        key = from_public_key(jwk.key, kid)
    except ValueError:  # also symmetric and private keys: what everybody can fetch is no secret
        return None
    return key if key.algorithm == jwk.algorithm_name else None
