"""The settings of one room, which its host chooses, and the rules for all rooms, which the configuration sets."""

from typing import Literal, get_args

import msgspec

from roomd.protocol.errors import INVALID_SETTINGS, Refused
from roomd.protocol.lengths import LONGEST_EXTERNAL_ID, LONGEST_USER_ID
from roomd.protocol.objects import HistoryVisible, Metadata, Room
from roomd.protocol.text import clean_name, is_user_id
from roomd.protocol.timestamps import read_time

DEFAULT_MAX_PARTICIPANTS = 100
"""The limit of a room when its host chooses none."""
NEVER = "never"
"""The time of the end of a room that does not end by itself."""
MOST_METADATA_BYTES = 4096
"""The bytes of JSON that the metadata of a room may have (docs/protocol.md, section 7)."""
LONGEST_EMPTY = 31_536_000
"""The most seconds after which an empty room may end: a year."""


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
    host_id: str | None = None
    """The user id of the host."""
    metadata: Metadata | None = None
    """What an application keeps with the room; empty for nothing."""
    expires_at: str | None = None
    """When the room ends by itself: a time in ISO 8601, or `NEVER`."""
    end_when_empty: int | None = None
    """The seconds after which the room ends when nobody is in it; 0 for never."""


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


def open_room(
    settings: Settings,
    rules: Rules,
    *,
    room_id: str,
    code: str,
    host_id: str,
    created_at: str,
    external_id: str | None = None,
) -> Room:
    """Build a new room: unlocked, with `settings` in place of the defaults.

    `created_at` is the stamp of now. `external_id` is the id that an application gives the room; None without one.

    Raises `Refused` (400 `invalid_settings`).
    """
    if external_id is not None and not is_user_id(external_id, LONGEST_EXTERNAL_ID):  # others compare both as they are
        raise Refused(INVALID_SETTINGS, f"externalId must be 1 to {LONGEST_EXTERNAL_ID} visible characters")
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
        external_id=external_id,
    )
    return change_settings(room, settings, rules, created_at)


def change_settings(room: Room, settings: Settings, rules: Rules, now: str) -> Room:
    """Return the room with a host's settings. `now` is a stamp.

    Raises `Refused` (400 `invalid_settings`) with a text that names what is allowed (docs/protocol.md, section 7).
    """
    changes = {key: value for key in settings.__struct_fields__ if (value := getattr(settings, key)) is not None}
    if settings.name is not None:
        changes["name"] = _checked_name(settings.name)
    if settings.max_participants is not None and not 2 <= settings.max_participants <= rules.max_participants:
        raise Refused(INVALID_SETTINGS, f"maxParticipants must be 2 to {rules.max_participants}")
    if settings.history_visible not in (None, *get_args(HistoryVisible)):
        raise Refused(INVALID_SETTINGS, f"historyVisible must be one of {', '.join(get_args(HistoryVisible))}")
    if settings.host_id is not None and not is_user_id(settings.host_id, LONGEST_USER_ID):
        raise Refused(INVALID_SETTINGS, "hostId must be a user id")
    if settings.metadata is not None and metadata_bytes(settings.metadata) > MOST_METADATA_BYTES:
        raise Refused(INVALID_SETTINGS, f"metadata may have {MOST_METADATA_BYTES} bytes of JSON")
    if settings.expires_at is not None:
        changes["expires_at"] = _checked_expiry(settings.expires_at, now)
    if settings.end_when_empty is not None:
        if not 0 <= settings.end_when_empty <= LONGEST_EMPTY:
            raise Refused(INVALID_SETTINGS, f"endWhenEmpty must be 1 to {LONGEST_EMPTY} seconds, or 0 for never")
        changes["end_when_empty"] = settings.end_when_empty or None
    return msgspec.structs.replace(room, **changes)


def metadata_bytes(metadata: Metadata) -> int:
    """Return the bytes of metadata as JSON."""
    return len(msgspec.json.encode(metadata))


def _checked_name(text: str) -> str:
    name = clean_name(text, 100)
    if name is None:
        raise Refused(INVALID_SETTINGS, "name must be 1 to 100 printable characters")
    return name


def _checked_expiry(text: str, now: str) -> str | None:
    """Return the stamp of the time at which a room ends by itself; None for `NEVER`."""
    expires_at = read_time(text)
    if text != NEVER and (expires_at is None or expires_at <= now):
        raise Refused(INVALID_SETTINGS, 'expiresAt must be a time in the future like 2026-03-03T12:00:00Z, or "never"')
    return expires_at
