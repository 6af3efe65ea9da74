"""Who one client is and where it sits or waits: what its requests may be about, before any room is asked.

Pure: the wall clock comes in as `now`, in seconds since the epoch.
"""

import msgspec

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
from roomd.rooms.commands import Caller

LONGEST_GUEST_NAME = 50


class Place(msgspec.Struct, frozen=True):
    """Where a client sits, or waits for a seat."""

    code: str
    participant: Participant
    owner: int
    """The number by which the place is its own."""


class Session:
    """A client's identity, once a token has shown it, and its places, once rooms have given it some.

    It sits in one room at most and waits in one at most; it may sit in one while it waits in another.
    """

    __slots__ = ("_identity", "_leeway", "has_joined", "place", "waiting")

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._identity: Identity | None = None
        self.place: Place | None = None
        self.waiting: Place | None = None
        self.has_joined = False
        """A room has let it in, or wait, before."""

    @property
    def places(self) -> list[Place]:
        """Where it sits and where it waits."""
        return [place for place in (self.place, self.waiting) if place is not None]

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
        """Answer with the client's identity, for requests that name no room.

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
        """Say who asks something of the room `code`.

        Being in a room outlives the token (docs/protocol.md, section 2): past its end it serves only there. Raises
        `Refused` (401 `unauthenticated`).
        """
        lapsed = self.lapse(code, now)
        if lapsed is not None:
            raise lapsed
        return self.holder(code)

    def lapse(self, code: str, now: float) -> Refused | None:
        """Say what a token past its end is refused with in the room `code`; None while it serves."""
        if self._identity is None or self._sits_in(code) or not self._has_expired(self._identity, now):
            return None
        return Refused(UNAUTHENTICATED)

    def holder(self, code: str) -> Caller:
        """Say who asks for what takes no token in force: a look at the room, or a seat by its resume token."""
        identity = self._identity
        here = next((place for place in (self.place, self.waiting) if place is not None and place.code == code), None)
        seat_id, owner = (here.participant.id, here.owner) if here is not None else (None, None)
        if identity is None:
            return Caller(seat_id, owner)
        admin = identity.admin and identity.room in (None, code)
        return Caller(seat_id, owner, identity.user_id, identity.display_name, admin)

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

    def here(self) -> Place:
        """Answer with the seat.

        Raises `Refused` (400 `not_in_room`).
        """
        if self.place is None:
            raise Refused(NOT_IN_ROOM)
        return self.place

    def sit(self, place: Place) -> list[Place]:
        """Take a seat; answer with the other places that are to be left for it."""
        if self.place is not None and self.place.participant.id == place.participant.id:
            self.place = place
            return []
        before, self.place, self.waiting = self.places, place, None
        self.has_joined = True
        return [other for other in before if other.participant.id != place.participant.id]

    def wait(self, place: Place) -> list[Place]:
        """Take a place in a queue; answer with the other one that is to be left for it, if there is one."""
        before, self.waiting = self.waiting, place
        self.has_joined = True
        return [before] if before is not None and before.participant.id != place.participant.id else []

    def stand_up(self, participant_id: str) -> None:
        """Have this place no longer, if it is one that was had."""
        if self.place is not None and self.place.participant.id == participant_id:
            self.place = None
        if self.waiting is not None and self.waiting.participant.id == participant_id:
            self.waiting = None

    def _sits_in(self, code: str) -> bool:
        return self.place is not None and self.place.code == code

    def _has_expired(self, identity: Identity, now: float) -> bool:
        return identity.expires_at + self._leeway <= now
