"""The types of the columns in PostgreSQL."""

BOOLEANS = frozenset(
    {
        *("is_active", "is_locked", "allow_guest_access", "waiting_room", "is_deleted", "is_host", "is_admin"),
        *("is_cohost", "is_hidden", "is_gone"),
    }
)
TYPES = {
    **dict.fromkeys(BOOLEANS, "boolean"),
    **dict.fromkeys(("max_participants", "end_when_empty"), "integer"),
    **dict.fromkeys(("total_bytes", "deleted_bytes", "position", "number", "renewed_at", "claim"), "bigint"),
    **dict.fromkeys(("token_exp", "valid_until"), "double precision"),
}
"""The types of columns by their names. Other columns are texts, or bytes where `BYTES` has their tables."""
BYTES = frozenset({("secrets", "value"), ("event_log", "id")})
"""The columns of bytes, with their tables."""


def column_type(table: str, column: str) -> str:
    """Return the type of a column."""
    return "bytea" if (table, column) in BYTES else TYPES.get(column, "text")
