"""What participants and hosts of the state machine in tests/rooms choose from."""

from collections.abc import Callable
from typing import Any

from roomd.rooms import commands
from roomd.rooms.model import Caller
from roomd.rooms.room import Command
from roomd.rooms.settings import Settings

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
)
