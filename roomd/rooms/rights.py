"""Who may do what in a room. Each check raises `Refused`, or returns what the command goes on with."""

from roomd.protocol.errors import (
    BANNED,
    NOT_HOST,
    NOT_IN_ROOM,
    PARTICIPANT_NOT_FOUND,
    ROOM_INACTIVE,
    WRONG_USER,
    Refused,
)
from roomd.rooms.model import Caller, Seat
from roomd.rooms.room import Room


def is_host(room: Room, caller: Caller) -> bool:
    """Return whether the caller has host rights here: as the room's host, or as an admin."""
    return caller.admin or (caller.user_id is not None and caller.user_id == room.settings.host_id)


def check_host(room: Room, caller: Caller) -> None:
    """Refuse anyone but hosts (403 `not_host`)."""
    if not is_host(room, caller):
        raise Refused(NOT_HOST)


def check_active(room: Room) -> None:
    """Refuse what an ended room cannot do (400 `room_inactive`)."""
    if not room.settings.is_active:
        raise Refused(ROOM_INACTIVE)


def check_ban(room: Room, caller: Caller) -> None:
    """Refuse a banned user (403 `banned`)."""
    if caller.user_id in room.bans:
        raise Refused(BANNED)


def member_or_host(room: Room, caller: Caller) -> Seat | None:
    """Return the caller's seat; None for a host without one. Refuse anyone else (400 `not_in_room`)."""
    seat = room.place_of_caller(caller)
    if seat is not None and seat.waits_for is None:
        return seat
    if not is_host(room, caller):
        raise Refused(NOT_IN_ROOM)
    return None


def claimed_seat(room: Room, participant_id: str, claim: int) -> Seat:
    """Return a seat if the claim is its own. Refuse otherwise (400 `not_in_room`)."""
    seat = room.seats.get(participant_id)
    if seat is None or seat.claim != claim:
        raise Refused(NOT_IN_ROOM)
    return seat


def target_of(room: Room, caller: Caller, participant_id: str) -> Seat:
    """Return the seat, or the place in the queue, that a host acts on.

    Refuse anyone but hosts, an unknown participant (404 `participant_not_found`), and hosts who mean themselves
    (403 `wrong_user`).
    """
    check_host(room, caller)
    seat = room.place_of(participant_id)
    if seat is None:
        raise Refused(PARTICIPANT_NOT_FOUND)
    if seat is room.place_of_caller(caller):
        raise Refused(WRONG_USER, "Hosts cannot do this to themselves")
    return seat
