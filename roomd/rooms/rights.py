"""Checks of the caller's rights. Each check raises `Refused`, or returns what the command needs next.

A caller with a token has the rights of the token. A caller without one has, in this room, the rights that its own seat
carries: those of the user who took it (docs/protocol.md, section 5).
"""

from roomd.protocol.errors import (
    BANNED,
    GUESTS_NOT_ALLOWED,
    NOT_ALLOWED,
    NOT_HOST,
    NOT_IN_ROOM,
    PARTICIPANT_NOT_FOUND,
    ROOM_INACTIVE,
    TOKEN_EXPIRED,
    WRONG_USER,
    Refused,
)
from roomd.protocol.objects import Role
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.model import Caller, Moment, PersonKey, Seat
from roomd.rooms.room import Room

HIDDEN = "You are hidden in this room; join with a token without hidden to take part"
"""The text for somebody hidden who would be heard or seen."""


def user_of(room: Room, caller: Caller) -> str | None:
    """Return the id of the user as whom the caller acts in the room: that of its token, or of its own seat."""
    if caller.user_id is not None:
        return caller.user_id
    seat = room.place_of_caller(caller)
    return seat.participant.user_id if seat is not None else None


def is_host(room: Room, caller: Caller) -> bool:
    """Return whether the caller has host rights in the room: as its host or a co-host, or as an admin."""
    if caller.user_id is not None:
        return caller.is_admin or caller.is_cohost or caller.user_id == room.settings.host_id
    seat = room.place_of_caller(caller)
    return seat is not None and carries_host_rights(seat, room.settings)


def carries_host_rights(seat: Seat, settings: RoomView) -> bool:
    """Return whether a seat, or a place in the queue, is that of the room's host, of a co-host or of an admin."""
    return seat.is_admin or seat.is_cohost or seat.participant.user_id == settings.host_id


def role_of(*, is_host: bool, is_admin: bool, is_cohost: bool) -> Role:
    """Return what others see of somebody's rights. `is_host` is whether they are the room's host."""
    return "host" if is_host else "cohost" if is_admin or is_cohost else "member"


def check_host(room: Room, caller: Caller, now: Moment) -> None:
    """Check that the caller is a host.

    Raises `Refused`: 403 `not_host`; 401 `token_expired` for a seat that has outlived its user's token by the grace.
    """
    if not is_host(room, caller):
        raise Refused(NOT_HOST)
    seat = room.place_of_caller(caller) if caller.user_id is None else None
    if seat is not None and seat.token_exp is not None and seat.token_exp + room.rules.grace <= now.wall:
        raise Refused(TOKEN_EXPIRED)


def check_active(room: Room) -> None:
    """Check that the room has not ended.

    Raises `Refused` (400 `room_inactive`).
    """
    if not room.settings.is_active:
        raise Refused(ROOM_INACTIVE)


def is_banned(room: Room, caller: Caller, now: Moment) -> bool:
    """Return whether the caller is banned: a user by the user id, a guest by the address.

    The ban of an address keeps guests out who come. It does not touch those who have a place already.
    """
    if not room.bans:
        return False
    if caller.user_id is not None:
        return PersonKey("user", caller.user_id) in room.bans
    if caller.address_key is None or room.place_of_caller(caller) is not None:
        return False
    ban = room.bans.get(PersonKey("address", caller.address_key))
    return ban is not None and (ban.expires_at or "") > now.stamp


def check_ban(room: Room, caller: Caller, now: Moment) -> None:
    """Check that the caller is not banned.

    Raises `Refused` (403 `banned`).
    """
    if is_banned(room, caller, now):
        raise Refused(BANNED)


def check_guests(room: Room, caller: Caller) -> None:
    """Check that guests are allowed, if the caller is one.

    Raises `Refused` (403 `guests_not_allowed`).
    """
    if not room.settings.allow_guest_access and user_of(room, caller) is None:
        raise Refused(GUESTS_NOT_ALLOWED)


def member_or_host(room: Room, caller: Caller, now: Moment) -> Seat | None:
    """Return the caller's seat; None for a host without one.

    Raises `Refused` (400 `not_in_room`) for anybody else, and like `check_host`.
    """
    seat = room.place_of_caller(caller)
    if seat is not None and seat.waits_for is None and not seat.participant.is_hidden:
        return seat
    if not is_host(room, caller):
        raise Refused(NOT_IN_ROOM)
    check_host(room, caller, now)
    return None


def claimed_seat(room: Room, participant_id: str, claim: int) -> Seat:
    """Return the participant's seat.

    Raises `Refused`: 400 `not_in_room` when they have none, or when the seat has another claim; 403 `not_allowed` for
    somebody hidden.
    """
    seat = room.seats.get(participant_id)
    if seat is not None and seat.claim == claim:
        return seat
    if participant_id in room.hidden:
        raise Refused(NOT_ALLOWED, HIDDEN)
    raise Refused(NOT_IN_ROOM)


def target_of(room: Room, caller: Caller, participant_id: str, now: Moment) -> Seat:
    """Return the seat, or the place in the queue, that a host acts on.

    Raises `Refused`: like `check_host`; 404 `participant_not_found` for an unknown participant; 403 `wrong_user` for a
    host who names themselves.
    """
    check_host(room, caller, now)
    seat = room.place_of(participant_id)
    if seat is None:
        raise Refused(PARTICIPANT_NOT_FOUND)
    if seat is room.place_of_caller(caller):
        raise Refused(WRONG_USER, "Hosts cannot do this to themselves")
    return seat
