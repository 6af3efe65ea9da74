"""What a host may choose for a room, and what the configuration sets for all of them."""

import msgspec

from roomd.protocol.errors import INVALID_SETTINGS, Refused
from roomd.protocol.objects import Room
from roomd.protocol.text import clean_name

DEFAULT_MAX_PARTICIPANTS = 100


class Settings(msgspec.Struct, frozen=True):
    """The settings of a room that a host may choose; None leaves one as it is."""

    name: str | None = None
    is_locked: bool | None = None
    max_participants: int | None = None
    allow_guest_access: bool | None = None
    waiting_room: bool | None = None


class Rules(msgspec.Struct, frozen=True):
    """What the configuration sets for every room."""

    seat_hold: float
    """Seconds a dropped seat, or place in the queue, is held."""
    max_participants: int
    """The most a host may choose."""


def open_room(settings: Settings, rules: Rules, *, room_id: str, code: str, host_id: str, created_at: str) -> Room:
    """Describe a new room.

    Raises `Refused` (400 `invalid_settings`).
    """
    room = Room(
        id=room_id,
        code=code,
        name="Meeting",
        host_id=host_id,
        is_active=True,
        is_locked=False,
        max_participants=min(DEFAULT_MAX_PARTICIPANTS, rules.max_participants),
        allow_guest_access=True,
        waiting_room=False,
        participant_count=0,
        created_at=created_at,
        ended_at=None,
    )
    return change_settings(room, settings, rules)


def change_settings(room: Room, settings: Settings, rules: Rules) -> Room:
    """Apply a host's choices to a room.

    Raises `Refused` (400 `invalid_settings`) naming what is allowed (docs/protocol.md, section 7).
    """
    changes = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    if settings.name is not None and (name := clean_name(settings.name, 100)) is None:
        raise Refused(INVALID_SETTINGS, "name must be 1 to 100 printable characters")
    if settings.name is not None:
        changes["name"] = name
    if settings.max_participants is not None and not 2 <= settings.max_participants <= rules.max_participants:
        raise Refused(INVALID_SETTINGS, f"maxParticipants must be 2 to {rules.max_participants}")
    return msgspec.structs.replace(room, **changes)
