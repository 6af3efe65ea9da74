"""Checks of the caller's rights. Each check raises `Refused`, or returns what the command needs next."""

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
    """Return whether the caller has host rights in the room: as its host, or as an admin."""
    return caller.is_admin or (caller.user_id is not None and caller.user_id == room.settings.host_id)


def check_host(room: Room, caller: Caller) -> None:
    """Check that the caller is a host.

    Raises `Refused` (403 `not_host`).
    """
    if not is_host(room, caller):
        raise Refused(NOT_HOST)


def check_active(room: Room) -> None:
    """Check that the room has not ended.

    Raises `Refused` (400 `room_inactive`).
    """
    if not room.settings.is_active:
        raise Refused(ROOM_INACTIVE)


def check_ban(room: Room, caller: Caller) -> None:
    """Check that the caller is not banned.

    Raises `Refused` (403 `banned`).
    """
    if caller.user_id in room.bans:
        raise Refused(BANNED)


def member_or_host(room: Room, caller: Caller) -> Seat | None:
    """Return the caller's seat; None for a host without one.

    Raises `Refused` (400 `not_in_room`) for anybody else.
    """
    seat = room.place_of_caller(caller)
    if seat is not None and seat.waits_for is None:
        return seat
    if not is_host(room, caller):
        raise Refused(NOT_IN_ROOM)
    return None


def claimed_seat(room: Room, participant_id: str, claim: int) -> Seat:
    """Return the participant's seat.

    Raises `Refused` (400 `not_in_room`) when they have none, or when the seat has another claim.
    """
    seat = room.seats.get(participant_id)
    if seat is None or seat.claim != claim:
        raise Refused(NOT_IN_ROOM)
    return seat


def target_of(room: Room, caller: Caller, participant_id: str) -> Seat:
    """Return the seat, or the place in the queue, that a host acts on.

    Raises `Refused`: 403 `not_host` for anybody but hosts, 404 `participant_not_found` for an unknown participant, 403
    `wrong_user` for a host who names themselves.
    """
    check_host(room, caller)
    seat = room.place_of(participant_id)
    if seat is None:
        raise Refused(PARTICIPANT_NOT_FOUND)
    if seat is room.place_of_caller(caller):
        raise Refused(WRONG_USER, "Hosts cannot do this to themselves")
    return seat
