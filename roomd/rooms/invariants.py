"""What holds of every room between two commands, in memory and in the database (docs/explanation/guarantees.md)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from roomd.rooms.model import PersonKey, Seat
from roomd.rooms.rights import carries_host_rights, role_of
from roomd.rooms.room import Room


class Broken(NamedTuple):
    """A rule that does not hold."""

    rule: str
    """What is wrong, in words."""
    ids: Sequence[str]
    """The ids of those of whom it does not hold."""


def _waits_for_a_seat(seat: Seat) -> bool:
    return seat.waits_for == "room_full"


def _waits_for_the_host(seat: Seat) -> bool:
    return seat.waits_for == "waiting_room"


def _may_be_locked_out(room: Room, seat: Seat) -> bool:
    return room.settings.is_locked and not carries_host_rights(seat, room.settings)


_RULES: Mapping[str, Callable[[Room, Seat], bool]] = {
    "has the place of a user who has another one": lambda room, seat: (
        seat.participant.user_id is not None and room.place_of_user(seat.participant.user_id) is not seat
    ),
    "is banned, and has a place": lambda room, seat: PersonKey("user", seat.participant.user_id or "") in room.bans,
    "has a place in a room that has ended": lambda room, _: not room.settings.is_active,
    "waits for a seat, and one is free": lambda room, seat: _waits_for_a_seat(seat) and room.free_seats > 0,
    "waits for a seat of a locked room": lambda room, seat: _waits_for_a_seat(seat) and _may_be_locked_out(room, seat),
    "waits to be admitted, and nobody has to": lambda room, seat: (
        _waits_for_the_host(seat) and not room.settings.waiting_room
    ),
    "waits to be admitted, and is a host": lambda room, seat: (
        _waits_for_the_host(seat) and carries_host_rights(seat, room.settings)
    ),
    "waits as a guest where guests are not allowed": lambda room, seat: (
        seat.waits_for is not None and seat.participant.user_id is None and not room.settings.allow_guest_access
    ),
    "is shown as host and is not, or the other way round": lambda room, seat: (
        seat.participant.is_host != (seat.participant.user_id == room.settings.host_id)
    ),
    "is shown with a role that is not theirs": lambda _, seat: (
        seat.participant.role
        != role_of(is_host=seat.participant.is_host, is_admin=seat.is_admin, is_cohost=seat.is_cohost)
    ),
    "is hidden, and is no admin": lambda _, seat: bool(seat.participant.is_hidden) and not seat.is_admin,
    "is both connected and dropped, or neither": lambda _, seat: (
        seat.participant.is_active != (seat.dropped_at is None)
    ),
}
"""What must not be of a seat, or of a place in the queue, of a room."""


def broken_rules(room: Room) -> Iterator[Broken]:
    """Return the rules that do not hold of a room, with the participant ids of whom they do not hold."""
    places = [*room.seats.values(), *room.queue.values(), *room.hidden.values()]
    for rule, is_broken in _RULES.items():
        if ids := [seat.participant.id for seat in places if is_broken(room, seat)]:
            yield Broken(rule, ids)


def is_over_full(room: Room) -> bool:
    """Return whether more seats are taken than allowed. That is right only after a host has lowered the limit."""
    return room.free_seats < 0
