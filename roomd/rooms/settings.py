"""The settings of one room, which its host chooses, and the rules for all rooms, which the configuration sets."""

from typing import Literal, get_args

import msgspec

from roomd.protocol.errors import INVALID_SETTINGS, Refused
from roomd.protocol.objects import HistoryVisible, Room
from roomd.protocol.text import clean_name

DEFAULT_MAX_PARTICIPANTS = 100
"""The limit of a room when its host chooses none."""


class Settings(msgspec.Struct, frozen=True):
    """The settings of a room that its host may choose. None leaves a setting as it is."""

    name: str | None = None
    """The name of the room: 1 to 100 printable characters."""
    is_locked: bool | None = None
    """Whether nobody new may join."""
    max_participants: int | None = None
    """The number of seats: from 2 to `Rules.max_participants`."""
    allow_guest_access: bool | None = None
    """Whether people without a token may join."""
    waiting_room: bool | None = None
    """Whether newcomers wait until the host admits them."""
    history_visible: str | None = None
    """What a newcomer gets of the messages that were sent before: a `HistoryVisible`."""


class Rules(msgspec.Struct, frozen=True):
    """The rules for all rooms, from the configuration."""

    seat_hold: float
    """The seconds for which a dropped seat, or a dropped place in the queue, is held."""
    max_participants: int
    """The largest limit that a host may choose."""
    grace: float = 43_200.0
    """The seconds for which a seat carries host rights after its user's token has expired."""
    host_passes_lock: bool = True
    """Whether the host and admins may join a locked room."""
    history_visible: HistoryVisible = "all"
    """What a newcomer gets of earlier messages in a new room when its host chooses nothing."""
    room_bytes: int = 1 << 28
    """The bytes that the messages of one room may have in the database."""
    address_ban: float = 3600.0
    """The seconds for which the ban of a guest keeps guests of the same address out of the room."""
    show_user_ids: Literal["all", "users"] = "all"
    """Who sees the user ids of participants and hosts."""
    log_events: bool = False
    """Whether what happens is written to the event log."""
    log_messages: bool = False
    """Whether messages to everyone are written to the event log too."""


def open_room(settings: Settings, rules: Rules, *, room_id: str, code: str, host_id: str, created_at: str) -> Room:
    """Build a new room: unlocked, with `settings` in place of the defaults.

    `created_at` is a stamp.

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
        history_visible=rules.history_visible,
        participant_count=0,
        created_at=created_at,
        ended_at=None,
    )
    return change_settings(room, settings, rules)


def change_settings(room: Room, settings: Settings, rules: Rules) -> Room:
    """Return the room with a host's settings.

    Raises `Refused` (400 `invalid_settings`) with a text that names what is allowed (docs/protocol.md, section 7).
    """
    changes = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    if settings.name is not None and (name := clean_name(settings.name, 100)) is None:
        raise Refused(INVALID_SETTINGS, "name must be 1 to 100 printable characters")
    if settings.name is not None:
        changes["name"] = name
    if settings.max_participants is not None and not 2 <= settings.max_participants <= rules.max_participants:
        raise Refused(INVALID_SETTINGS, f"maxParticipants must be 2 to {rules.max_participants}")
    if settings.history_visible not in (None, *get_args(HistoryVisible)):
        raise Refused(INVALID_SETTINGS, f"historyVisible must be one of {', '.join(get_args(HistoryVisible))}")
    return msgspec.structs.replace(room, **changes)
