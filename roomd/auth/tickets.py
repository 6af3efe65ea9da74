"""Tickets: what a link carries in place of a token (docs/protocol.md, section 2).

A ticket is a JSON Web Token with `jti`, which is good for minutes, and once. Its client gets a token for it, which
roomd signs itself. So what stays of a link in a browser's history is worth nothing.

A ticket that the claim `roomd` calls one (`ticket`, the seconds for which the token is to be valid) is never accepted
as a token. For one without that, the token expires with the ticket: no token becomes more by being exchanged.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

from roomd.auth.orders import LONGEST_TICKET, TokenOrder
from roomd.auth.tokens import Claims, Identity, Key, Policy, mint, read_claims
from roomd.protocol.errors import INVALID_TOKEN, Refused

LONGEST_JTI = 128
"""The characters that the claim `jti` may have."""


class Ticket(msgspec.Struct, frozen=True):
    """A verified ticket, which may have been used before."""

    identity: Identity
    """The user, with the time at which the token will expire."""
    key: str
    """What the ticket is known by: the SHA-256, in hexadecimal, of its issuer and its `jti`."""
    valid_until: float
    """The time after which the ticket is refused, in seconds since the epoch."""


class UsedTickets(Protocol):
    """The tickets that were used, as far as they have not expired."""

    async def use_ticket(self, key: str, valid_until: float, now: float) -> bool:
        """Note that a ticket was used. Return False when it was used before. May raise `StorageFailed`."""
        ...


def read_ticket(text: str, keys: Sequence[Key], policy: Policy, now: float) -> Ticket:
    """Verify a ticket. `now` is in seconds since the epoch.

    Raises `Refused` (401 `invalid_token` or `token_expired`) with a `reason`.
    """
    claims = read_claims(text, keys, policy, now)
    jti, expires_at = claims.values.get("jti"), claims.identity.expires_at
    if not isinstance(jti, str) or not 1 <= len(jti) <= LONGEST_JTI:
        raise Refused(INVALID_TOKEN, reason=f"it is no ticket: the claim jti is not 1 to {LONGEST_JTI} characters")
    if expires_at > math.ceil(now + LONGEST_TICKET + policy.leeway):  # issuers round `exp` up to whole seconds
        raise Refused(INVALID_TOKEN, reason=f"it is no ticket: it is valid for more than {LONGEST_TICKET:.0f} seconds")
    identity = claims.identity
    if claims.ticket is not None:
        identity = msgspec.structs.replace(identity, expires_at=now + claims.ticket)
    return Ticket(identity, _key(claims, jti), expires_at + policy.leeway)


def mint_token(ticket: Ticket, key: Key, policy: Policy, now: float) -> str:
    """Sign the token for a ticket with roomd's own key. `now` is in seconds since the epoch."""
    identity = ticket.identity
    assert isinstance(key.material, bytes)  # noqa: S101 - HS256 has a secret
    order = TokenOrder(
        user=identity.user_id,
        name=identity.display_name if identity.display_name != identity.user_id else None,
        ttl=identity.expires_at - now,
        admin=identity.is_admin,
        room=identity.room,
        host=identity.is_cohost,
        create=identity.may_create,
        hidden=identity.is_hidden,
        metadata=identity.metadata or None,
    )
    return mint(key.material, order, now, issuer=policy.issuer, audience=policy.audience, key_id=key.key_id)


def _key(claims: Claims, jti: str) -> str:
    return hashlib.sha256(f"{claims.values.get('iss')!r} {jti}".encode(errors="surrogatepass")).hexdigest()
