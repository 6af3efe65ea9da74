"""What participants and hosts of the state machine in tests/rooms choose from."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from roomd.rooms import commands
from roomd.rooms.model import Caller, Moment, Seat
from roomd.rooms.room import Command
from roomd.rooms.settings import Settings

ADDRESSES = ("home", "school", "school", None)
USERS = (None, "bob", None, "carol", "alice", None, "root")
ASKERS = ("alice", "root", "alice", "bob")
OFTEN = {
    "join": 6, "join_again": 1, "resume": 3, "leave": 2, "drop": 2, "say": 2, "present": 2, "update": 3, "moderate": 5,
    "confirm": 1, "renew": 1, "fall_behind": 1, "read_again": 2, "pass_time": 2, "crash": 1, "end": 1,
}  # fmt: skip
STATES: tuple[dict[str, Any], ...] = ({"muted": True}, {"muted": None}, {"hand": 1, "muted": None}, {})
CHOICES = (
    Settings(waiting_room=True), Settings(waiting_room=False), Settings(max_participants=2), Settings(is_locked=True),
    Settings(is_locked=False, allow_guest_access=True), Settings(max_participants=3), Settings(max_participants=5),
    Settings(allow_guest_access=False), Settings(is_locked=False, allow_guest_access=True, waiting_room=True),
    Settings(max_participants=3, waiting_room=False, is_locked=True), Settings(is_locked=False, max_participants=4),
)  # fmt: skip
MODERATION: tuple[Callable[[Caller, str], Command[None]], ...] = (
    lambda who, key: commands.Admit(who, key),
    lambda who, _: commands.Admit(who, None),
    lambda who, key: commands.RemoveParticipant(who, key, ban=True, reason=None),
    lambda who, key: commands.Deny(who, key),
    lambda who, _: commands.Unban(who, "bob"),
    lambda who, key: commands.RemoveParticipant(who, key, ban=False, reason="spam"),
    lambda who, _: commands.Unban(who, "carol"),
    lambda who, key: commands.BanPerson(who, None, key, None, "spam"),
    lambda who, _: commands.BanPerson(who, "bob", None, None, None),
)


def held_anew(seat: Seat, now: Moment, hold: float) -> Seat:
    """Return a seat, or a place in the queue, as a new process finds it."""
    participant = msgspec.structs.replace(seat.participant, is_active=False)
    return msgspec.structs.replace(
        seat,
        participant=participant,
        claim=None,
        dropped_at=seat.dropped_at or now.stamp,
        held_until=now.clock + hold,
        is_held_since_start=True,
        connection=None,
        address_key=seat.address_key if participant.user_id is None else None,
        here_since=-math.inf,
    )
