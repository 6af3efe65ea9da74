"""Check the signatures of JSON Web Tokens, by PyJWT."""

import functools
import hmac
from collections.abc import Callable

import jwt
from jwt.algorithms import HMACAlgorithm


class _CheckedSecrets(HMACAlgorithm):
    """HS256 that checks each secret once. Checking it for every token would take a third of the time of a token."""

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)
        self._checked: Callable[[str | bytes], bytes] = functools.lru_cache(maxsize=8)(self._check)

    def prepare_key(self, key: str | bytes) -> bytes:
        """Return the secret, as the library wants it.

        Raises `jwt.InvalidKeyError` for a secret that is a public key, or is too short.
        """
        return self._checked(key)

    def check_key_length(self, key: bytes) -> str | None:
        """Return None: `prepare_key` has checked the length."""

    def sign(self, msg: bytes, key: bytes) -> bytes:
        """Return the signature (RFC 7515, appendix A.1)."""
        digest = _keyed(key).copy()
        digest.update(msg)
        return digest.digest()

    def _check(self, key: str | bytes) -> bytes:
        prepared = super().prepare_key(key)
        if problem := super().check_key_length(prepared):
            raise jwt.InvalidKeyError(problem)
        return prepared


@functools.lru_cache(maxsize=8)
def _keyed(secret: bytes) -> hmac.HMAC:
    """Return the empty digest of a secret. A copy takes half of the time of a new one (`resume_tokens.py`)."""
    return hmac.new(secret, digestmod="sha256")


SIGNATURES = jwt.PyJWS(("RS256", "ES256", "EdDSA"), {"enforce_minimum_key_length": True})
"""Checks signatures, with the algorithm that is given for the key: HS256, RS256, ES256 or EdDSA."""
SIGNATURES.register_algorithm("HS256", _CheckedSecrets())
