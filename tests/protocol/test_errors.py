"""The error table is a contract with clients: docs/protocol.md, sections 2, 4, 5 and 7 to 9."""

import json

import pytest

from roomd.protocol import errors
from roomd.protocol.codec import encode, error_reply
from roomd.protocol.errors import Close, ErrorKind, Refused

# name, status, code, message, the close that follows
TABLE = [
    ("BAD_FRAME", 400, "bad_frame", "Malformed frame", None),
    ("UNKNOWN_TYPE", 400, "unknown_type", "Unknown type", None),
    ("NOT_IN_ROOM", 400, "not_in_room", "Join a room first", None),
    ("INVALID_SETTINGS", 400, "invalid_settings", "Invalid settings", None),
    ("GUEST_NAME_REQUIRED", 400, "guest_name_required", "guestName is required", None),
    ("INVALID_GUEST_NAME", 400, "invalid_guest_name", "guestName must be 1 to 50 printable characters", None),
    ("ROOM_INACTIVE", 400, "room_inactive", "Room is no longer active", None),
    ("ROOM_FULL", 400, "room_full", "Room is full", None),
    (
        "ADDRESS_UNKNOWN",
        400,
        "address_unknown",
        "The address of this guest is not known; remove the guest and lock the room instead",
        None,
    ),
    ("UNAUTHENTICATED", 401, "unauthenticated", "Authentication required", None),
    ("INVALID_TOKEN", 401, "invalid_token", "Token is not valid", 4401),
    ("TOKEN_EXPIRED", 401, "token_expired", "Token has expired", 4401),
    ("NOT_HOST", 403, "not_host", "Only the host can do this", None),
    ("NOT_ADMIN", 403, "not_admin", "Only an admin can do this", None),
    ("ROOM_LOCKED", 403, "room_locked", "Room is locked", None),
    ("BANNED", 403, "banned", "You were removed from this room", None),
    ("DENIED", 403, "denied", "The host declined", None),
    ("GUESTS_NOT_ALLOWED", 403, "guests_not_allowed", "Guests are not allowed in this room", None),
    ("WRONG_USER", 403, "wrong_user", "This connection belongs to someone else", None),
    ("WRONG_ROOM", 403, "wrong_room", "The token is for another room", None),
    ("NOT_ALLOWED", 403, "not_allowed", "The token does not allow this", None),
    ("ROOM_NOT_FOUND", 404, "room_not_found", "Room not found", None),
    ("PARTICIPANT_NOT_FOUND", 404, "participant_not_found", "Participant not found", None),
    ("EVENTS_OFF", 404, "events_off", "This server keeps no event log", None),
    ("TAKEN_OVER", 409, "taken_over", "Your seat is in use on another device", None),
    ("SEAT_EXPIRED", 410, "seat_expired", "Seat is no longer held", None),
    ("POSITION_EXPIRED", 410, "position_expired", "Events after this position are missing; read on from oldest", None),
    ("RATE_LIMITED", 429, "rate_limited", "Too many requests", None),
    ("INTERNAL_ERROR", 500, "internal_error", "Internal error", None),
    ("UNAVAILABLE", 503, "unavailable", "Storage is unavailable, nothing was changed", None),
    ("RESTARTING", 503, "restarting", "The server is restarting", None),
    ("STORAGE_LOW", 507, "storage_low", "Storage is nearly full", None),
]

CLOSES = {
    "BINARY_FRAME": 1003,
    "RESTARTING": 1012,
    "CONNECTION_LIMIT": 1013,
    "BAD_TOKEN": 4401,
    "REMOVED": 4403,
    "TOO_SLOW": 4408,
    "TAKEN_OVER": 4409,
    "RATE_LIMITED": 4429,
}


@pytest.mark.parametrize(("name", "status", "code", "message", "close"), TABLE, ids=[row[0] for row in TABLE])
def test_row(name: str, status: int, code: str, message: str, close: int | None) -> None:
    """An error has the status, code, text and close of its row in the protocol."""
    assert getattr(errors, name) == ErrorKind(status, code, message, close)


def test_every_error_has_a_row() -> None:
    """No error reaches a client that the table does not hold, and no two share a code."""
    kinds = {name for name, value in vars(errors).items() if isinstance(value, ErrorKind)}
    assert kinds == {row[0] for row in TABLE}
    assert len({row[2] for row in TABLE}) == len(TABLE)


def test_closes() -> None:
    """Close codes are those of the protocol's table."""
    assert {name: code for name, code in vars(Close).items() if not name.startswith("_")} == CLOSES


WIRE: dict[str, tuple[Refused, dict[str, object]]] = {
    "with the position to read on from": (
        Refused(errors.POSITION_EXPIRED, "Read on", oldest="p"),
        {"type": "error", "id": 7, "statusCode": 410, "code": "position_expired", "message": "Read on", "oldest": "p"},
    ),
    "with the time to wait": (
        errors.rate_limited(2.4991),
        {"type": "error", "id": 7, "statusCode": 429, "code": "rate_limited", "message": "Too many requests",
         "retryAfter": 2.5},
    ),
    "with the time to wait and a text": (
        errors.rate_limited(0.0001, "Wait"),
        {"type": "error", "id": 7, "statusCode": 429, "code": "rate_limited", "message": "Wait", "retryAfter": 0.001},
    ),
    "with a text of its own": (
        Refused(errors.INVALID_SETTINGS, "name must be 1 to 100 characters"),
        {"type": "error", "id": 7, "statusCode": 400, "code": "invalid_settings",
         "message": "name must be 1 to 100 characters"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("refused", "frame"), WIRE.values(), ids=WIRE.keys())
def test_refusal_on_the_wire(refused: Refused, frame: dict[str, object]) -> None:
    """A refusal is told with its kind's status and code, and with retryAfter only where waiting helps."""
    assert json.loads(encode(error_reply(refused, 7))) == frame


def test_refusal_in_logs() -> None:
    """A refusal's own text is its code, so that nothing a client sent gets into a log by way of it."""
    assert str(Refused(errors.BAD_FRAME, "Malformed frame: secret")) == "bad_frame"
