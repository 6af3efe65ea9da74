"""What is different of rows in PostgreSQL: which columns have which types, and the character that it cannot store."""

from typing import Any

from roomd.rooms.changes import Banned, MessageSent
from roomd.storage import rows
from roomd.storage.postgresql.connection import Row

BOOLEANS = frozenset(
    {
        *("is_active", "is_locked", "allow_guest_access", "waiting_room", "is_deleted", "is_host", "is_admin"),
        *("is_cohost", "is_hidden", "is_gone"),
    }
)
TYPES = {
    **dict.fromkeys(BOOLEANS, "boolean"),
    **dict.fromkeys(("max_participants", "end_when_empty"), "integer"),
    **dict.fromkeys(("total_bytes", "deleted_bytes", "position", "number"), "bigint"),
    **dict.fromkeys(("token_exp", "valid_until"), "double precision"),
}
"""The types of columns by their names. Other columns are texts, or bytes where `BYTES` has their tables."""
BYTES = frozenset({("events", "id"), ("secrets", "value"), ("event_log", "id")})
"""The columns of bytes, with their tables."""
EVENT_COLUMNS = f"id, {rows.EVENT_COLUMNS}"
"""The columns of an event as it is written: its id is drawn here."""

_TEXT = rows.MESSAGE_COLUMNS.split(", ").index("text")
_REASON = rows.BAN_COLUMNS.split(", ").index("reason")


def column_type(table: str, column: str) -> str:
    """Return the type of a column."""
    return "bytea" if (table, column) in BYTES else TYPES.get(column, "text")


def escape(text: str) -> str:
    """Return a text without U+0000, which `unescape` changes back."""
    return text.replace("\x1b", "\x1b1").replace("\0", "\x1b0") if "\0" in text or "\x1b" in text else text


def unescape(text: str) -> str:
    """Return the text that was escaped."""
    return text.replace("\x1b0", "\0").replace("\x1b1", "\x1b") if "\x1b" in text else text


def message_row(room_id: str, change: MessageSent) -> tuple[Any, ...]:
    """Convert a message to a row with `MESSAGE_COLUMNS`."""
    return _with(rows.message_row(room_id, change), _TEXT, escape)


def ban_row(room_id: str, change: Banned) -> tuple[Any, ...]:
    """Convert a ban to a row with `BAN_COLUMNS`."""
    return _with(rows.ban_row(room_id, change), _REASON, escape)


def read_message(row: Row) -> tuple[Any, ...]:
    """Return a row of a message as `rows.to_message` takes it."""
    return _with(tuple(row), _TEXT, unescape)


def read_ban(row: Row) -> tuple[Any, ...]:
    """Return a row of a ban as `rows.to_ban` takes it."""
    return _with(tuple(row), _REASON, unescape)


def _with(row: tuple[Any, ...], index: int, change: Any) -> tuple[Any, ...]:
    value = row[index]
    if value is None or (changed := change(value)) is value:
        return row
    return (*row[:index], changed, *row[index + 1 :])
