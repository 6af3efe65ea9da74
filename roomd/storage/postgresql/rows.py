"""The types of the columns in PostgreSQL."""

from roomd.storage import rows

BOOLEANS = frozenset(
    {
        *("is_active", "is_locked", "allow_guest_access", "waiting_room", "is_deleted", "is_host", "is_admin"),
        *("is_cohost", "is_hidden", "is_gone"),
    }
)
TYPES = {
    **dict.fromkeys(BOOLEANS, "boolean"),
    **dict.fromkeys(("max_participants", "end_when_empty"), "integer"),
    **dict.fromkeys(("total_bytes", "deleted_bytes", "position", "number", "claim"), "bigint"),
    **dict.fromkeys(("token_exp", "valid_until"), "double precision"),
}
"""The types of columns by their names. Other columns are texts, or bytes where `BYTES` has their tables."""
BYTES = frozenset({("events", "id"), ("secrets", "value"), ("event_log", "id")})
"""The columns of bytes, with their tables."""
EVENT_COLUMNS = f"id, {rows.EVENT_COLUMNS}"
"""The columns of an event as it is written: its id is drawn here."""


def column_type(table: str, column: str) -> str:
    """Return the type of a column."""
    return "bytea" if (table, column) in BYTES else TYPES.get(column, "text")
