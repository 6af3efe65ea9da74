"""All errors that a client can get: the status, the code, the text, and the close code that follows, if any.

They are described in docs/protocol.md, sections 4, 5, 7 and 9. A check that fails raises `Refused`, and the connection
sends it as an `error` reply. Clients never get any other text of an exception.
"""

import math
from typing import NamedTuple


class ErrorKind(NamedTuple):
    """One row of the error table."""

    status_code: int
    """A status like that of HTTP, for people and dashboards."""
    code: str
    """The code that programs compare. It does not change."""
    message: str
    """The text for people. `Refused(message=…)` replaces it by a text with details."""
    close: int | None = None
    """The WebSocket close code that follows the error; None when the connection stays open."""


class Refused(Exception):  # noqa: N818 - the protocol's word: a request is refused
    """A request was refused, and nothing was changed.

    `kind` is a row of the error table. `message` is the text for people. `retry_after` is in seconds; None when trying
    the same request again does not help. `oldest` is the position of the event log to read on from, with 410
    `position_expired` only. `reason` is for the log only, and never contains what the client sent.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str | None = None,
        retry_after: float | None = None,
        reason: str | None = None,
        oldest: str | None = None,
    ) -> None:
        super().__init__(kind.code)
        self.kind = kind
        self.message = message or kind.message
        self.retry_after = retry_after
        self.reason = reason
        self.oldest = oldest


def rate_limited(wait: float, message: str | None = None) -> Refused:
    """Return the refusal of a request that may be sent again in `wait` seconds, with the text of its kind or another.

    Clients are told whole milliseconds, rounded up: a request that comes then is not too early.
    """
    return Refused(RATE_LIMITED, message, math.ceil(wait * 1000) / 1000)


BAD_FRAME = ErrorKind(400, "bad_frame", "Malformed frame")
ADDRESS_UNKNOWN = ErrorKind(
    400, "address_unknown", "The address of this guest is not known; remove the guest and lock the room instead"
)
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
NOT_ADMIN = ErrorKind(403, "not_admin", "Only an admin can do this")
ROOM_LOCKED = ErrorKind(403, "room_locked", "Room is locked")
BANNED = ErrorKind(403, "banned", "You were removed from this room")
DENIED = ErrorKind(403, "denied", "The host declined")
GUESTS_NOT_ALLOWED = ErrorKind(403, "guests_not_allowed", "Guests are not allowed in this room")
WRONG_USER = ErrorKind(403, "wrong_user", "This connection belongs to someone else")
WRONG_ROOM = ErrorKind(403, "wrong_room", "The token is for another room")
NOT_ALLOWED = ErrorKind(403, "not_allowed", "The token does not allow this")

ROOM_NOT_FOUND = ErrorKind(404, "room_not_found", "Room not found")
PARTICIPANT_NOT_FOUND = ErrorKind(404, "participant_not_found", "Participant not found")
EVENTS_OFF = ErrorKind(404, "events_off", "This server keeps no event log")

TAKEN_OVER = ErrorKind(409, "taken_over", "Your seat is in use on another device")

SEAT_EXPIRED = ErrorKind(410, "seat_expired", "Seat is no longer held")
POSITION_EXPIRED = ErrorKind(410, "position_expired", "Events after this position are missing; read on from oldest")

RATE_LIMITED = ErrorKind(429, "rate_limited", "Too many requests")

INTERNAL_ERROR = ErrorKind(500, "internal_error", "Internal error")
UNAVAILABLE = ErrorKind(503, "unavailable", "Storage is unavailable, nothing was changed")
RESTARTING = ErrorKind(503, "restarting", "The server is restarting")
STORAGE_LOW = ErrorKind(507, "storage_low", "Storage is nearly full")


class Close:
    """The WebSocket close codes of roomd (docs/protocol.md, section 9)."""

    BINARY_FRAME = 1003
    RESTARTING = 1012
    CONNECTION_LIMIT = 1013
    BAD_TOKEN = 4401
    REMOVED = 4403
    TOO_SLOW = 4408
    TAKEN_OVER = 4409
    RATE_LIMITED = 4429
