"""Every error a client can see, once: its status, its code, its text, and whether the connection closes.

The table is docs/protocol.md, sections 4, 5, 7 and 9. A rule that says no raises `Refused`; the connection
turns it into an `error` frame. Nothing else of an exception ever reaches a client.
"""

from typing import NamedTuple


class ErrorKind(NamedTuple):
    """One row of the error table."""

    status_code: int
    """HTTP-like status, for people and dashboards."""
    code: str
    """The stable word that programs match."""
    message: str
    """The text for people. A kind that needs details takes them through `Refused(message=…)`."""
    close: int | None = None
    """The WebSocket close code that follows the error, if one does."""


class Refused(Exception):  # noqa: N818 - the protocol's word: a request is refused
    """A request was refused, and nothing was changed.

    `retry_after` is in seconds and stands only where trying the same again helps.
    """

    def __init__(self, kind: ErrorKind, message: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(kind.code)
        self.kind = kind
        self.message = message or kind.message
        self.retry_after = retry_after


BAD_FRAME = ErrorKind(400, "bad_frame", "Malformed frame")
UNKNOWN_TYPE = ErrorKind(400, "unknown_type", "Unknown type")
NOT_IN_ROOM = ErrorKind(400, "not_in_room", "Join a room first")
INVALID_SETTINGS = ErrorKind(400, "invalid_settings", "Invalid settings")
GUEST_NAME_REQUIRED = ErrorKind(400, "guest_name_required", "guestName is required")
INVALID_GUEST_NAME = ErrorKind(400, "invalid_guest_name", "guestName must be 1 to 50 printable characters")
ROOM_INACTIVE = ErrorKind(400, "room_inactive", "Room is no longer active")
ROOM_FULL = ErrorKind(400, "room_full", "Room is full")

UNAUTHENTICATED = ErrorKind(401, "unauthenticated", "Authentication required")
INVALID_TOKEN = ErrorKind(401, "invalid_token", "Token is not valid", close=4401)
TOKEN_EXPIRED = ErrorKind(401, "token_expired", "Token has expired", close=4401)

NOT_HOST = ErrorKind(403, "not_host", "Only the host can do this")
ROOM_LOCKED = ErrorKind(403, "room_locked", "Room is locked")
BANNED = ErrorKind(403, "banned", "You were removed from this room")
DENIED = ErrorKind(403, "denied", "The host declined")
GUESTS_NOT_ALLOWED = ErrorKind(403, "guests_not_allowed", "Guests are not allowed in this room")
WRONG_USER = ErrorKind(403, "wrong_user", "This connection belongs to someone else")
WRONG_ROOM = ErrorKind(403, "wrong_room", "The token is for another room")

ROOM_NOT_FOUND = ErrorKind(404, "room_not_found", "Room not found")
PARTICIPANT_NOT_FOUND = ErrorKind(404, "participant_not_found", "Participant not found")

SEAT_EXPIRED = ErrorKind(410, "seat_expired", "Seat is no longer held")

RATE_LIMITED = ErrorKind(429, "rate_limited", "Too many requests")

INTERNAL_ERROR = ErrorKind(500, "internal_error", "Internal error")
UNAVAILABLE = ErrorKind(503, "unavailable", "Storage is unavailable, nothing was changed")
RESTARTING = ErrorKind(503, "restarting", "The server is restarting")


class Close:
    """WebSocket close codes roomd sends of its own accord (docs/protocol.md, section 9)."""

    BINARY_FRAME = 1003
    RESTARTING = 1012
    CONNECTION_LIMIT = 1013
    BAD_TOKEN = 4401
    REMOVED = 4403
    TOO_SLOW = 4408
    TAKEN_OVER = 4409
    RATE_LIMITED = 4429
