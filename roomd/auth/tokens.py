"""Verify JSON Web Tokens (docs/protocol.md, section 2).

The checks have a fixed order: the signature, the issuer and the audience, the user, and last the times. So
`token_expired` always means that the token was valid before, and that the client needs a new one.

The header of a token does not select the algorithm. Each key has one algorithm, and the policy lists the accepted ones.
A token with another algorithm is refused before its signature is checked. This excludes `none`, and HS256 with a public
key as the secret (RFC 8725, sections 2.1 and 3.1). PyJWT checks the signature. The claims are checked here, because
PyJWT would read its own clock.
"""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeGuard

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import UNSET, UnsetType

from roomd.auth.orders import TokenOrder
from roomd.auth.signatures import SIGNATURES
from roomd.protocol.errors import INVALID_TOKEN, TOKEN_EXPIRED, Refused
from roomd.protocol.lengths import LONGEST_DISPLAY_NAME, LONGEST_USER_ID
from roomd.protocol.nesting import is_too_deep
from roomd.protocol.objects import Metadata
from roomd.protocol.text import clean_code, clean_name, display_name, is_user_id

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

LONGEST_TOKEN = 16_384
"""The characters that a token may have: twice the limit of common servers for a header line."""

LONGEST_TTL = 31_622_400.0
"""The seconds for which the token that is given for a ticket may be valid: a year."""

MOST_METADATA_BYTES = 2048
"""The bytes of JSON that metadata may have (docs/protocol.md, section 2)."""

_LATEST = 253_402_300_799.0
"""The last second of the year 9999, in seconds since the epoch. Python has no later dates."""
_NUMBERS = (int, float)


class Identity(msgspec.Struct, frozen=True):
    """The user of a verified token, and their rights."""

    user_id: str
    """The user id, from the claim `sub`."""
    display_name: str
    """The name that others see: the claim `name` if it is valid, else the user id."""
    expires_at: float
    """The time at which the token expires, in seconds since the epoch; at most the end of the year 9999."""
    room: str | None = None
    """The code of the only room that the token is for; None for all rooms."""
    is_admin: bool = False
    """Whether the user has host rights in every room that the token is for."""
    is_cohost: bool = False
    """Whether the user has host rights in `room`, which is set then."""
    may_create: bool = True
    """Whether the user may create rooms."""
    is_hidden: bool = False
    """Whether the user, who is an admin, is in rooms unseen."""
    metadata: Metadata | UnsetType = UNSET
    """What the issuer says of the user, for everybody in a room; never an empty object."""


class Key(msgspec.Struct, frozen=True):
    """A key and the only algorithm that it is used with."""

    material: bytes | PublicKey
    """The secret or the public key."""
    algorithm: str
    """The algorithm: HS256, RS256, ES256 or EdDSA."""
    key_id: str | None = None
    """The key id; None for a key that is used for tokens with any key id."""
    is_own: bool = False
    """Whether roomd signs with it itself, so that the policy's list of algorithms does not apply."""

    def __repr__(self) -> str:
        """Describe the key without its material, which may be secret: such texts may be logged."""
        return f"Key(algorithm={self.algorithm!r}, key_id={self.key_id!r})"


class Policy(msgspec.Struct, frozen=True):
    """The conditions that a token must meet, besides its signature."""

    algorithms: Sequence[str]
    """The accepted algorithms."""
    issuer: str | None = None
    """The required value of `iss`; None to not check it."""
    audience: str | None = None
    """The required value of `aud`, or of one of its members; None to not check it."""
    leeway: float = 0.0
    """The seconds by which the issuer's clock may differ."""


class Claims(NamedTuple):
    """The claims of a token or a ticket that was verified."""

    identity: Identity
    """The user, and the time at which the token or the ticket expires."""
    ticket: float | None
    """For a ticket that says so: the seconds for which the token that it is exchanged for is valid."""
    values: dict[str, Any]
    """All claims, by name."""


class _Grants(msgspec.Struct, frozen=True):
    """The claim `roomd`. Unknown keys are ignored: a later roomd, and others, may give them a meaning."""

    room: str | None = None
    admin: bool | None = None
    host: bool | None = None
    create: bool | None = None
    hidden: bool | None = None
    metadata: Metadata | None = None
    ticket: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_TTL)] | None = None


# jwt raises UnicodeEncodeError for a token with lone surrogates.
_UNREADABLE = (jwt.PyJWTError, UnicodeError)
_REASONS: dict[type[Exception], str] = {
    jwt.InvalidAlgorithmError: "its algorithm is not that of the key",
    jwt.InvalidSignatureError: "its signature is not by the key",
}
_MALFORMED = "it is no JSON Web Token, or uses what roomd does not support"
_USER_ID = f"1 to {LONGEST_USER_ID} characters, at least one of them visible and none hidden"


def verify(token: str, keys: Sequence[Key], policy: Policy, now: float) -> Identity:
    """Verify a token and return its identity. `now` is in seconds since the epoch.

    Raises `Refused`: `TOKEN_EXPIRED` for a token that is valid except for its expiry, `INVALID_TOKEN` for others. Its
    `reason` says why.
    """
    claims = read_claims(token, keys, policy, now)
    if claims.ticket is not None:
        raise _invalid("it is a ticket, which `authenticate` takes as `ticket`")
    return claims.identity


def read_claims(token: str, keys: Sequence[Key], policy: Policy, now: float) -> Claims:
    """Verify a token or a ticket and return what it claims. `now` is in seconds since the epoch.

    Raises `Refused` like `verify`.
    """
    values = _signed_claims(token, keys, policy)
    _check_addressee(values, policy)
    grants = _grants(values.get("roomd"))
    identity = _identity(values, grants)
    _check_times(values, identity.expires_at, policy.leeway, now)
    return Claims(identity, grants.ticket, values)


def key_id(token: str) -> str | None:
    """Return the key id in the token's header, which is not verified; None without one.

    Raises `Refused` (`INVALID_TOKEN`) when the header cannot be read, or names extensions.
    """
    _check_length(token)
    try:
        header = jwt.get_unverified_header(token)
    except _UNREADABLE:
        raise _invalid("it is no JSON Web Token: its header cannot be read") from None
    _check_extensions(header)
    kid: str | None = header.get("kid")  # jwt has refused any other type
    return kid


def mint(
    secret: bytes,
    order: TokenOrder,
    now: float,
    *,
    issuer: str | None = None,
    audience: str | None = None,
    key_id: str | None = None,
) -> str:
    """Sign an HS256 token or ticket, which is valid from `now` on, in seconds since the epoch.

    Raises `ValueError` with a text for people when `verify` would refuse or change something of the order.
    """
    optional = {
        "name": order.name, "iss": issuer, "aud": audience, "jti": order.jti, "roomd": _grants_claim(order),
    }  # fmt: skip
    claims = {"sub": order.user, "iat": math.floor(now), "exp": math.ceil(now + order.ttl)}
    claims |= {claim: value for claim, value in optional.items() if value is not None}
    if not _is_user_id(order.user):
        raise ValueError(f"user: must be {_USER_ID}")
    if order.name is not None and clean_name(order.name, LONGEST_DISPLAY_NAME) is None:
        raise ValueError(f"name: must be 1 to {LONGEST_DISPLAY_NAME} printable characters")
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key_id} if key_id is not None else None)


def _grants_claim(order: TokenOrder) -> dict[str, Any] | None:
    flags = {"admin": order.admin, "host": order.host, "hidden": order.hidden}
    grants: dict[str, Any] = {key: True for key, is_given in flags.items() if is_given}
    if not order.create:
        grants["create"] = False
    if order.metadata:
        grants["metadata"] = order.metadata
    if order.ticket is not None:
        grants["ticket"] = order.ticket
    if order.room is not None:
        grants["room"] = clean_code(order.room)
        if grants["room"] is None:
            raise ValueError("room: must be a room code like abc-def-ghi")
    try:
        _grants(grants)
    except Refused as refused:
        raise ValueError(refused.reason) from None
    return grants or None


def _signed_claims(token: str, keys: Sequence[Key], policy: Policy) -> dict[str, Any]:
    _check_length(token)
    wanted = key_id(token) if any(key.key_id for key in keys) else None
    reason = "there is no key with its key id and an accepted algorithm"
    for key in keys:
        is_accepted = key.is_own or key.algorithm in policy.algorithms
        if not is_accepted or (wanted and key.key_id and key.key_id != wanted):
            continue
        try:
            signed = SIGNATURES.decode_complete(token, key.material, [key.algorithm])
        except _UNREADABLE as exc:
            reason = next((text for kind, text in _REASONS.items() if isinstance(exc, kind)), _MALFORMED)
            continue
        _check_extensions(signed["header"])
        return _claims(signed["payload"])
    raise _invalid(reason)


def _invalid(reason: str) -> Refused:
    return Refused(INVALID_TOKEN, reason=reason)


def _claims(payload: bytes) -> dict[str, Any]:
    """Read the claims: a JSON object (RFC 7519, section 7.2)."""
    try:
        claims = _decode_claims(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise _invalid("it is no JSON Web Token: its claims are no JSON object")
    return claims


def _decode_claims(payload: bytes) -> Any:
    """Decode JSON. What msgspec refuses and json accepts is rare: lone surrogates, numbers that are too large."""
    try:
        return msgspec.json.decode(payload)
    except ValueError:
        return json.loads(payload)


def _check_length(token: str) -> None:
    if len(token) > LONGEST_TOKEN:
        raise _invalid(f"it is longer than {LONGEST_TOKEN} characters")


def _check_extensions(header: dict[str, Any]) -> None:
    """Refuse a header with `crit`: roomd supports no extensions, and must refuse them (RFC 7515, section 4.1.11)."""
    if "crit" in header:
        raise _invalid("its header names extensions (crit), and roomd supports none")


def _check_addressee(claims: dict[str, Any], policy: Policy) -> None:
    if policy.issuer is not None and claims.get("iss") != policy.issuer:
        raise _invalid("the claim iss is not auth.issuer")
    if policy.audience is not None:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if policy.audience not in named:
            raise _invalid("auth.audience is not in the claim aud")


def _identity(claims: dict[str, Any], grants: _Grants) -> Identity:
    user_id = claims.get("sub")
    if not _is_user_id(user_id):
        raise _invalid(f"the claim sub is missing, or is not {_USER_ID}")
    name = claims.get("name")
    return Identity(
        user_id=user_id,
        display_name=display_name(name if isinstance(name, str) else None, LONGEST_DISPLAY_NAME, user_id),
        expires_at=min(_time(claims, "exp", None), _LATEST),
        room=grants.room,
        is_admin=grants.admin or False,
        is_cohost=grants.host or False,
        may_create=grants.create is not False,
        is_hidden=grants.hidden or False,
        metadata=grants.metadata or UNSET,
    )


def _is_user_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and is_user_id(value, LONGEST_USER_ID)


def _grants(claim: Any) -> _Grants:
    """Read the claim `roomd`. A malformed claim is refused, so that it never gives more rights."""
    if claim is None:
        return _Grants()
    try:
        grants = msgspec.convert(claim, _Grants)
    except msgspec.ValidationError:
        raise _invalid("a key in the claim roomd has a value of a wrong type") from None
    code = clean_code(grants.room) if grants.room is not None else None
    if grants.room is not None and code is None:
        raise _invalid("room in the claim roomd is no room code like abc-def-ghi")
    if grants.host and code is None:
        raise _invalid("host in the claim roomd needs room: a co-host is one of a single room")
    if grants.hidden and not grants.admin:
        raise _invalid("hidden in the claim roomd needs admin")
    metadata = read_metadata(grants.metadata) if grants.metadata else None
    return msgspec.structs.replace(grants, room=code, metadata=metadata)


def read_metadata(value: Metadata) -> Metadata:
    """Return metadata as JSON has it.

    Raises `Refused` (`INVALID_TOKEN`) when it is larger than `MOST_METADATA_BYTES`, or cannot be sent to clients.
    """
    try:
        text = msgspec.json.encode(value)
        if len(text) > MOST_METADATA_BYTES or is_too_deep(text.decode()):
            raise _invalid(
                f"metadata in the claim roomd has more than {MOST_METADATA_BYTES} bytes, or is nested too deep"
            )
        return msgspec.json.decode(text, type=Metadata)
    except (UnicodeError, RecursionError):
        raise _invalid("metadata in the claim roomd has text that JSON cannot carry") from None


def _check_times(claims: dict[str, Any], expires_at: float, leeway: float, now: float) -> None:
    """Compare `nbf`, `iat` and the time of `exp` with `now` (RFC 7519, sections 4.1.4 to 4.1.6)."""
    if max(_time(claims, "nbf", now), _time(claims, "iat", now)) > now + leeway:
        raise _invalid("the claim nbf or iat is in the future, so a clock is wrong or the token is not valid yet")
    if expires_at <= now - leeway:
        raise Refused(TOKEN_EXPIRED, reason="the claim exp is in the past")


def _time(claims: dict[str, Any], claim: str, absent: float | None) -> float:
    """Return a claim in seconds since the epoch; `absent` when the claim is missing.

    Raises `Refused` when the value is no finite number.
    """
    if absent is not None and claim not in claims:  # the usual case of `nbf` and `iat`
        return absent
    value = claims.get(claim)
    try:
        seconds = float(value) if isinstance(value, _NUMBERS) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer beyond 1e308
        seconds = math.nan
    if not math.isfinite(seconds):
        raise _invalid(f"the claim {claim} is missing, or is no number of seconds")
    return seconds
