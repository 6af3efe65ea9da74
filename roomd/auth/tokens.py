"""Who a token says is asking: the rules for JSON Web Tokens (docs/protocol.md, section 2).

A token is judged in one order: it is signed by one of the keys, it is addressed to this server, it says who,
and only then the clock is asked. So `token_expired` always means: this very token was good once, get a new one.

What the token asks for decides nothing. Each key carries its one algorithm, the policy says which algorithms
are accepted, and a token whose header names another is refused before any signature is looked at: that is
what shuts out `none` and an HS256 signature made with a public key (RFC 8725, sections 2.1 and 3.1). PyJWT does
the cryptography; the claims are checked here, because PyJWT would ask its own clock.
"""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any, TypeGuard

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from roomd.protocol.errors import INVALID_TOKEN, TOKEN_EXPIRED, Refused
from roomd.protocol.text import clean_code, clean_name

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

LONGEST_TOKEN = 16_384
"""Characters; twice what common servers take in a header line, and a bound on the work a stranger can cause."""
LONGEST_USER_ID = 128
LONGEST_DISPLAY_NAME = 100

_LATEST = 253_402_300_799.0
"""The last second of the year 9999, the end of ISO 8601's calendar in Python."""


class Identity(msgspec.Struct, frozen=True):
    """Who is asking, and with which rights."""

    user_id: str
    display_name: str
    expires_at: float
    """Epoch seconds; at most the year 9999, so that it can be written as a date."""
    room: str | None = None
    """The only room code this token serves; None for all."""
    admin: bool = False
    """Host rights in every room."""


class Key(msgspec.Struct, frozen=True):
    """One key and the one algorithm it is used with."""

    material: bytes | PublicKey
    algorithm: str
    key_id: str | None = None
    """None fits tokens of any key id."""

    def __repr__(self) -> str:
        """Leave the material out: it may be a secret, and reprs end up in logs."""
        return f"Key(algorithm={self.algorithm!r}, key_id={self.key_id!r})"


class Policy(msgspec.Struct, frozen=True):
    """What a token must satisfy beside its signature."""

    algorithms: Sequence[str]
    issuer: str | None = None
    """Required value of `iss`; None leaves it unchecked."""
    audience: str | None = None
    """Required value of `aud`, or of one of its members; None leaves it unchecked."""
    leeway: float = 0.0
    """Seconds that clocks may differ."""


class _Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The claim `roomd`. Unknown keys are refused: a misspelt restriction would widen access."""

    room: str | None = None
    admin: bool | None = None


# jwt raises UnicodeEncodeError for a token with lone surrogates.
_UNREADABLE = (jwt.PyJWTError, UnicodeError)

_SIGNATURE_ONLY: Any = {
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False),
    "verify_jti": False,
    "enforce_minimum_key_length": True,
}


def verify(token: str, keys: Sequence[Key], policy: Policy, now: float) -> Identity:
    """Say who presents this token; `now` is in epoch seconds.

    Raises `Refused` with `TOKEN_EXPIRED` when only its time is over, with `INVALID_TOKEN` for all else, whatever
    the text.
    """
    claims = _signed_claims(token, keys, policy)
    _check_addressee(claims, policy)
    identity = _identity(claims)
    _check_times(claims, policy.leeway, now)
    return identity


def key_id(token: str) -> str | None:
    """Read which key the token claims to be signed with; None when it does not say.

    Raises `Refused` with `INVALID_TOKEN` when there is no header to read, or one that names extensions.
    """
    _check_length(token)
    try:
        header = jwt.get_unverified_header(token)
    except _UNREADABLE:
        raise Refused(INVALID_TOKEN) from None
    _check_extensions(header)
    kid: str | None = header.get("kid")  # jwt has refused any other type
    return kid


def mint(
    secret: bytes,
    *,
    user: str,
    name: str | None = None,
    ttl: float,
    admin: bool = False,
    room: str | None = None,
    issuer: str | None = None,
    audience: str | None = None,
    now: float,
) -> str:
    """Make an HS256 token that serves for `ttl` seconds from `now` (epoch seconds).

    Raises `ValueError` with a text for people when `verify` would refuse or change what it is asked to say.
    """
    optional = {"name": name, "iss": issuer, "aud": audience, "roomd": _grants_claim(room, admin)}
    claims = {"sub": user, "iat": math.floor(now), "exp": math.ceil(now + ttl)}
    claims |= {claim: value for claim, value in optional.items() if value is not None}
    if not _is_user_id(user):
        raise ValueError(f"user: must be 1 to {LONGEST_USER_ID} characters without control characters")
    if name is not None and clean_name(name, LONGEST_DISPLAY_NAME) is None:
        raise ValueError(f"name: must be 1 to {LONGEST_DISPLAY_NAME} printable characters")
    return jwt.encode(claims, secret, algorithm="HS256")


def _grants_claim(room: str | None, admin: bool) -> dict[str, Any] | None:
    grants: dict[str, Any] = {"admin": True} if admin else {}
    if room is not None:
        grants["room"] = clean_code(room)
        if grants["room"] is None:
            raise ValueError("room: must be a room code like abc-def-ghi")
    return grants or None


def _signed_claims(token: str, keys: Sequence[Key], policy: Policy) -> dict[str, Any]:
    _check_length(token)
    wanted = key_id(token) if any(key.key_id for key in keys) else None
    for key in keys:
        if key.algorithm not in policy.algorithms or (wanted and key.key_id and key.key_id != wanted):
            continue
        try:
            decoded = jwt.decode_complete(token, key.material, [key.algorithm], _SIGNATURE_ONLY)
        except _UNREADABLE:
            continue
        _check_extensions(decoded["header"])
        claims: dict[str, Any] = decoded["payload"]
        return claims
    raise Refused(INVALID_TOKEN)


def _check_length(token: str) -> None:
    if len(token) > LONGEST_TOKEN:
        raise Refused(INVALID_TOKEN)


def _check_extensions(header: dict[str, Any]) -> None:
    """Refuse extensions: `crit` that is not understood must be refused (RFC 7515, section 4.1.11); roomd knows none."""
    if "crit" in header:
        raise Refused(INVALID_TOKEN)


def _check_addressee(claims: dict[str, Any], policy: Policy) -> None:
    if policy.issuer is not None and claims.get("iss") != policy.issuer:
        raise Refused(INVALID_TOKEN)
    if policy.audience is not None:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if policy.audience not in named:
            raise Refused(INVALID_TOKEN)


def _identity(claims: dict[str, Any]) -> Identity:
    user_id = claims.get("sub")
    if not _is_user_id(user_id):
        raise Refused(INVALID_TOKEN)
    name = claims.get("name")
    grants = _grants(claims.get("roomd"))
    return Identity(
        user_id=user_id,
        display_name=(clean_name(name, LONGEST_DISPLAY_NAME) if isinstance(name, str) else None) or user_id,
        expires_at=min(_time(claims, "exp", None), _LATEST),
        room=grants.room,
        admin=grants.admin or False,
    )


def _is_user_id(value: Any) -> TypeGuard[str]:
    """Whether it is 1 to 128 characters that UTF-8 can carry (no category Cs), control characters (Cc) aside."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= LONGEST_USER_ID
        and {"Cc", "Cs"}.isdisjoint(unicodedata.category(char) for char in value)
    )


def _grants(claim: Any) -> _Grants:
    """Read the claim `roomd`; anything malformed in it refuses the token, so that it never widens access."""
    if claim is None:
        return _Grants()
    try:
        grants = msgspec.convert(claim, _Grants)
    except msgspec.ValidationError:
        raise Refused(INVALID_TOKEN) from None
    if grants.room is None:
        return grants
    code = clean_code(grants.room)
    if code is None:
        raise Refused(INVALID_TOKEN)
    return _Grants(room=code, admin=grants.admin)


def _check_times(claims: dict[str, Any], leeway: float, now: float) -> None:
    """Compare `nbf`, `iat` and `exp` with the clock: RFC 7519, sections 4.1.4 to 4.1.6."""
    if max(_time(claims, "nbf", now), _time(claims, "iat", now)) > now + leeway:
        raise Refused(INVALID_TOKEN)
    if _time(claims, "exp", None) <= now - leeway:
        raise Refused(TOKEN_EXPIRED)


def _time(claims: dict[str, Any], claim: str, absent: float | None) -> float:
    """Read a claim in epoch seconds.

    Raises `Refused` for what is no finite number, and for a missing claim when `absent` gives no value.
    """
    value = claims.get(claim, absent)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(INVALID_TOKEN)
    try:
        seconds = float(value)
    except OverflowError:  # an integer beyond 1e308
        raise Refused(INVALID_TOKEN) from None
    if not math.isfinite(seconds):
        raise Refused(INVALID_TOKEN)
    return seconds
