"""Who one client is and where it sits or waits: what its requests may be about, before any room is asked.

Pure: the wall clock comes in as `now`, in seconds since the epoch.
"""

from typing import Generic, Protocol, TypeVar

from roomd.auth.tokens import Identity
from roomd.protocol.errors import (
    GUEST_NAME_REQUIRED,
    INVALID_GUEST_NAME,
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


class Place(Protocol):
    """Where a client sits, or waits for a seat."""

    @property
    def code(self) -> str:
        """The room's code."""
        ...

    @property
    def participant(self) -> Participant:
        """Who the client is there, as it was last told."""
        ...

    @property
    def claim(self) -> int:
        """The claim by which the place is the client's."""
        ...


P = TypeVar("P", bound=Place)


class Session(Generic[P]):
    """A client's identity, once a token has shown it, and its places, once rooms have given it some.

    It has one seat at most and waits at one place at most; it may have a seat in one room while it waits in another.
    """

    __slots__ = ("_identity", "_leeway", "has_joined", "seat", "waiting")

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._identity: Identity | None = None
        self.seat: P | None = None
        """Where the client sits."""
        self.waiting: P | None = None
        """Where it waits for a seat."""
        self.has_joined = False
        """Whether a room has ever given it a seat or a place in a queue."""

    @property
    def places(self) -> list[P]:
        """Where it sits and where it waits."""
        return [place for place in (self.seat, self.waiting) if place is not None]

    def authenticate(self, identity: Identity) -> None:
        """Take a verified identity on, or renew it (docs/protocol.md, section 2).

        Raises `Refused` (403 `wrong_user`) when the connection is somebody else's already: another user's, or, by the
        place it has, a guest's.
        """
        users = {self._identity.user_id} if self._identity is not None else set()
        users |= {place.participant.user_id or "" for place in self.places}
        if users - {identity.user_id}:
            raise Refused(WRONG_USER)
        self._identity = identity

    def user(self, now: float) -> Identity:
        """Return the client's identity, for requests that name no room.

        Raises `Refused` (401 `unauthenticated`, 403 `wrong_room`).
        """
        if self._identity is None or self._has_expired(self._identity, now):
            raise Refused(UNAUTHENTICATED)
        if self._identity.room is not None:
            raise Refused(WRONG_ROOM)
        return self._identity

    def room_code(self, text: str) -> str:
        """Read a room code and check it against the token's grant.

        Raises `Refused` (404 `room_not_found`, 403 `wrong_room`).
        """
        code = clean_code(text)
        if code is None:
            raise Refused(ROOM_NOT_FOUND)
        if self._identity is not None and self._identity.room not in (None, code):
            raise Refused(WRONG_ROOM)
        return code

    def caller(self, code: str, now: float) -> Caller:
        """Return who asks something of the room `code`.

        A seat outlives the token (docs/protocol.md, section 2): an expired token still serves in that room. Raises
        `Refused` (401 `unauthenticated`).
        """
        expired = self.expiry(code, now)
        if expired is not None:
            raise expired
        return self.caller_by_seat(code)

    def expiry(self, code: str, now: float) -> Refused | None:
        """Return what an expired token is refused with in the room `code`; None while it serves."""
        if self._identity is None or self._sits_in(code) or not self._has_expired(self._identity, now):
            return None
        return Refused(UNAUTHENTICATED)

    def caller_by_seat(self, code: str) -> Caller:
        """Return who asks for what needs no valid token: to see the room, or to resume a seat by its resume token."""
        identity = self._identity
        here = next((place for place in (self.seat, self.waiting) if place is not None and place.code == code), None)
        seat_id, claim = (here.participant.id, here.claim) if here is not None else (None, None)
        if identity is None:
            return Caller(seat_id, claim)
        admin = identity.admin and identity.room in (None, code)
        return Caller(seat_id, claim, identity.user_id, identity.display_name, admin)

    def guest_name(self, text: str | None) -> str | None:
        """Clean a guest's name; a user's is ignored.

        Raises `Refused` (400 `guest_name_required` or `invalid_guest_name`).
        """
        if self._identity is not None:
            return None
        if text is None:
            raise Refused(GUEST_NAME_REQUIRED)
        name = clean_name(text, LONGEST_GUEST_NAME)
        if name is None:
            raise Refused(INVALID_GUEST_NAME)
        return name

    def own_seat(self) -> P:
        """Return the seat.

        Raises `Refused` (400 `not_in_room`).
        """
        if self.seat is None:
            raise Refused(NOT_IN_ROOM)
        return self.seat

    def sit(self, place: P) -> list[P]:
        """Take a seat; return the other places, which are to be left for it."""
        if self.seat is not None and self.seat.participant.id == place.participant.id:
            self.seat = place
            return []
        before, self.seat, self.waiting = self.places, place, None
        self.has_joined = True
        return [other for other in before if other.participant.id != place.participant.id]

    def wait(self, place: P) -> list[P]:
        """Take a place in a queue; return the other one, if any, which is to be left for it."""
        before, self.waiting = self.waiting, place
        self.has_joined = True
        return [before] if before is not None and before.participant.id != place.participant.id else []

    def release(self, participant_id: str) -> None:
        """Forget the place of this participant, where the client has it."""
        if self.seat is not None and self.seat.participant.id == participant_id:
            self.seat = None
        if self.waiting is not None and self.waiting.participant.id == participant_id:
            self.waiting = None

    def _sits_in(self, code: str) -> bool:
        return self.seat is not None and self.seat.code == code

    def _has_expired(self, identity: Identity, now: float) -> bool:
        return identity.expires_at + self._leeway <= now
