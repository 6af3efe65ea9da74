"""The identity of one client and its places in rooms, with the checks that need no room.

This is pure code. `now` is the time in seconds since the epoch.
"""

from typing import Generic, Protocol, TypeVar

from roomd.auth.tokens import Identity
from roomd.protocol.errors import (
    GUEST_NAME_REQUIRED,
    INVALID_GUEST_NAME,
    NOT_ALLOWED,
    NOT_IN_ROOM,
    ROOM_NOT_FOUND,
    UNAUTHENTICATED,
    WRONG_ROOM,
    WRONG_USER,
    Refused,
)
from roomd.protocol.objects import Participant
from roomd.protocol.text import clean_code, clean_name
from roomd.rooms.model import Caller

LONGEST_GUEST_NAME = 50
"""The number of characters that a guest's name may have."""


class Place(Protocol):
    """A client's seat, or its place in a queue."""

    @property
    def code(self) -> str:
        """The room's code."""
        ...

    @property
    def participant(self) -> Participant:
        """The client's participant, as the client was last told."""
        ...

    @property
    def claim(self) -> int:
        """The claim of the client's sitting."""
        ...


P = TypeVar("P", bound=Place)


class Session(Generic[P]):
    """The identity of a client, if it has sent a token, and its places in rooms.

    A client has at most one seat and at most one place in a queue. It may have a seat in one room and wait in another.
    `leeway` is in seconds: an expired token is accepted for so long. `connection` is the number of the connection,
    `address_key` the key of its network address; None when that is not known.
    """

    __slots__ = ("_address_key", "_connection", "_identity", "_leeway", "has_joined", "seat", "waiting")

    def __init__(self, leeway: float, connection: int | None = None, address_key: str | None = None) -> None:
        self._leeway = leeway
        self._connection = connection
        self._address_key = address_key
        self._identity: Identity | None = None
        self.seat: P | None = None
        """The client's seat; None without one."""
        self.waiting: P | None = None
        """The client's place in a queue; None without one."""
        self.has_joined = False
        """Whether a room has ever given the client a seat or a place in a queue."""

    @property
    def is_stranger(self) -> bool:
        """Whether the client has no place and has sent no token."""
        return self._identity is None and self.seat is None and self.waiting is None

    @property
    def user_id(self) -> str | None:
        """The id of the client's user; None for a guest."""
        return self._identity.user_id if self._identity is not None else None

    @property
    def places(self) -> list[P]:
        """The seat and the place in a queue, as far as the client has them."""
        if self.waiting is None:
            return [self.seat] if self.seat is not None else []
        return [self.seat, self.waiting] if self.seat is not None else [self.waiting]

    def authenticate(self, identity: Identity) -> None:
        """Set the identity, which must be verified, or renew it (docs/protocol.md, section 2).

        Raises `Refused` like `check_user`.
        """
        self.check_user(identity)
        self._identity = identity

    def check_user(self, identity: Identity) -> None:
        """Check that the connection may have this identity.

        Raises `Refused` (403 `wrong_user`) when the connection already belongs to another user, or has the place of a
        guest.
        """
        if self.is_stranger:
            return
        users = {self._identity.user_id} if self._identity is not None else set()
        users |= {place.participant.user_id or "" for place in self.places}
        if users - {identity.user_id}:
            raise Refused(WRONG_USER)

    def identity(self, now: float) -> Identity:
        """Return the client's identity, of a token that is valid now.

        Raises `Refused` (401 `unauthenticated`).
        """
        if self._identity is None or self._has_expired(self._identity, now):
            raise Refused(UNAUTHENTICATED)
        return self._identity

    def valid_for(self, now: float) -> float:
        """Return the seconds for which the client's token is valid; 0 without one."""
        return max(0.0, self._identity.expires_at + self._leeway - now) if self._identity is not None else 0.0

    def user(self, now: float) -> Identity:
        """Return the client's identity, for requests that name no room.

        Raises `Refused` (401 `unauthenticated`, 403 `wrong_room`).
        """
        identity = self.identity(now)
        if identity.room is not None:
            raise Refused(WRONG_ROOM)
        return identity

    def creator(self, now: float) -> Identity:
        """Return the client's identity, to create a room.

        Raises `Refused` like `user`, and 403 `not_allowed` for a token that may create no rooms.
        """
        identity = self.user(now)
        if not identity.may_create:
            raise Refused(NOT_ALLOWED, "The token may not create rooms")
        return identity

    def room_code(self, text: str) -> str:
        """Return the room code in its normal form, if the token allows the room.

        Raises `Refused` (404 `room_not_found`, 403 `wrong_room`).
        """
        code = clean_code(text)
        if code is None:
            raise Refused(ROOM_NOT_FOUND)
        if self._identity is not None and self._identity.room not in (None, code):
            raise Refused(WRONG_ROOM)
        return code

    def caller(self, code: str, now: float) -> Caller:
        """Return the client as the caller of a command to the room `code`.

        A seat stays valid after the token has expired (docs/protocol.md, section 2). Its client is then like one
        without a token: what it may do, its seat says. Raises `Refused` (401 `unauthenticated`) for an expired token in
        a room where the client has no seat.
        """
        if self._identity is None or not self._has_expired(self._identity, now):
            return self.caller_by_seat(code)
        if not self._has_seat_in(code):
            raise Refused(UNAUTHENTICATED)
        return self._caller_without_token(code)

    def is_expired(self, now: float) -> bool:
        """Return whether the client's token has expired."""
        return self._identity is not None and self._has_expired(self._identity, now)

    def expiry(self, code: str, now: float) -> Refused | None:
        """Return the error of an expired token in the room `code`; None when there is no error."""
        if self._identity is None or self._has_seat_in(code) or not self._has_expired(self._identity, now):
            return None
        return Refused(UNAUTHENTICATED)

    def caller_by_seat(self, code: str) -> Caller:
        """Return the client as the caller of a command that needs no valid token: `GetRoom` and `Resume`."""
        identity = self._identity
        if identity is None:
            return self._caller_without_token(code)
        here = self._find(code)
        is_for_it = identity.room is None or identity.room == code
        return Caller(
            here.participant.id if here is not None else None,
            here.claim if here is not None else None,
            identity.user_id,
            identity.display_name,
            is_admin=is_for_it and identity.is_admin,
            is_cohost=is_for_it and identity.is_cohost,
            is_hidden=is_for_it and identity.is_hidden,
            metadata=identity.metadata,
            token_exp=identity.expires_at,
            connection=self._connection,
            address_key=self._address_key,
        )

    def guest_name(self, text: str | None, code: str) -> str | None:
        """Return a guest's name in its normal form; None for a user, whose name is in the token, or stored.

        `code` is that of the room to join, as a person typed it. Raises `Refused` (400 `guest_name_required` or
        `invalid_guest_name`).
        """
        if self._identity is not None:
            return None
        own = self._find(clean_code(code)) if self.seat is not None or self.waiting is not None else None
        if own is not None and own.participant.user_id is not None:
            return None
        if text is None:
            raise Refused(GUEST_NAME_REQUIRED)
        name = clean_name(text, LONGEST_GUEST_NAME)
        if name is None:
            raise Refused(INVALID_GUEST_NAME)
        return name

    def own_seat(self) -> P:
        """Return the client's seat.

        Raises `Refused` (400 `not_in_room`) when it has none.
        """
        if self.seat is None:
            raise Refused(NOT_IN_ROOM)
        return self.seat

    def sit(self, place: P) -> list[P]:
        """Set the seat. Return the client's other places, which the caller must leave."""
        if self.seat is not None and self.seat.participant.id == place.participant.id:
            self.seat = place
            return []
        before, self.seat, self.waiting = self.places, place, None
        self.has_joined = True
        return [other for other in before if other.participant.id != place.participant.id]

    def wait(self, place: P) -> list[P]:
        """Set the place in a queue. Return the previous one, if any, which the caller must leave."""
        before, self.waiting = self.waiting, place
        self.has_joined = True
        return [before] if before is not None and before.participant.id != place.participant.id else []

    def release(self, participant_id: str) -> None:
        """Forget the place of this participant, if the client has it."""
        if self.seat is not None and self.seat.participant.id == participant_id:
            self.seat = None
        if self.waiting is not None and self.waiting.participant.id == participant_id:
            self.waiting = None

    def _find(self, code: str | None) -> P | None:
        if self.seat is not None and self.seat.code == code:
            return self.seat
        return self.waiting if self.waiting is not None and self.waiting.code == code else None

    def _caller_without_token(self, code: str) -> Caller:
        here = self._find(code)
        seat_id, claim = (here.participant.id, here.claim) if here is not None else (None, None)
        return Caller(seat_id, claim, connection=self._connection, address_key=self._address_key)

    def _has_seat_in(self, code: str) -> bool:
        return self.seat is not None and self.seat.code == code

    def _has_expired(self, identity: Identity, now: float) -> bool:
        return identity.expires_at + self._leeway <= now
