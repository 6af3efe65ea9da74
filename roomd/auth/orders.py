"""What a token that roomd signs is to say. It imports no cryptography, so that commands start fast."""

import msgspec

from roomd.protocol.objects import Metadata

LONGEST_TICKET = 600.0
"""The seconds for which a ticket may be valid."""


class TokenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A token or a ticket that is to be signed: what it says of its user, and for how long."""

    user: str
    """The user id, the claim `sub`."""
    name: str | None = None
    """The name that others see, the claim `name`; None for none: then others see the user id."""
    ttl: float
    """The seconds for which it is valid."""
    admin: bool = False
    """Whether the user has host rights in every room that it is for."""
    host: bool = False
    """Whether the user is a co-host of `room`, which must be set."""
    create: bool = True
    """Whether the user may create rooms."""
    hidden: bool = False
    """Whether the user, who must be an admin, is in rooms unseen."""
    metadata: Metadata | None = None
    """What others in a room are told of the user; None for nothing."""
    room: str | None = None
    """The code of the only room that it is for, in any spelling; None for all rooms."""
    ticket: float | None = None
    """The seconds for which the token is valid that is given for this ticket; None for a token."""
    jti: str | None = None
    """The id of a ticket, the claim `jti`; None for a token."""

    def as_ticket(self, jti: str) -> "TokenOrder":
        """Return the order of the longest ticket for the token of this one. `jti` is the ticket's id."""
        return msgspec.structs.replace(self, ttl=LONGEST_TICKET, ticket=self.ttl, jti=jti)
