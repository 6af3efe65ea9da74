"""Who one client is and where it sits: what its requests may be about, before any room is asked.

Pure: the wall clock comes in as `now`, in seconds since the epoch.
"""

from typing import NamedTuple

from roomd.commands import Caller
from roomd.errors import (
    GUEST_NAME_REQUIRED,
    INVALID_GUEST_NAME,
    ROOM_NOT_FOUND,
    UNAUTHENTICATED,
    WRONG_ROOM,
    WRONG_USER,
    Refused,
)
from roomd.frames import Participant
from roomd.names import clean_code, clean_name
from roomd.tokens import Identity

LONGEST_GUEST_NAME = 50


class Place(NamedTuple):
    """Where a client sits."""

    code: str
    participant: Participant
    owner: int
    """The number by which the seat is its own."""


class Session:
    """A client's identity, once a token has shown it, and its seat, once a room has given it one."""

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._identity: Identity | None = None
        self.place: Place | None = None
        self.has_joined = False
        """A room has let it in before."""

    def authenticate(self, identity: Identity) -> None:
        """Take a verified identity on, or renew it (docs/protocol.md, section 2).

        Raises `Refused` (403 `wrong_user`) when the connection is somebody else's already: another user's, or, by the
        seat it has, a guest's.
        """
        users = {self._identity.user_id} if self._identity is not None else set()
        if self.place is not None:
            users.add(self.place.participant.user_id or "")
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
        place, identity = self.place, self._identity
        seat_id, owner = (place.participant.id, place.owner) if place and place.code == code else (None, None)
        if identity is None:
            return Caller(seat_id, owner)
        return Caller(seat_id, owner, identity.user_id, identity.display_name, identity.admin)

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

    def sit(self, place: Place) -> Place | None:
        """Take a seat; answer with the one that is to be left for it, if there is one."""
        previous, self.place = self.place, place
        self.has_joined = True
        moved = previous is not None and previous.participant.id != place.participant.id
        return previous if moved else None

    def stand_up(self, participant_id: str) -> None:
        """Have this seat no longer, if it is the one that was had."""
        if self.place is not None and self.place.participant.id == participant_id:
            self.place = None

    def _sits_in(self, code: str) -> bool:
        return self.place is not None and self.place.code == code

    def _has_expired(self, identity: Identity, now: float) -> bool:
        return identity.expires_at + self._leeway <= now
