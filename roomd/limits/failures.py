"""The errors that are charged as failures."""

from roomd.protocol.errors import (
    BANNED,
    DENIED,
    GUESTS_NOT_ALLOWED,
    INVALID_TOKEN,
    ROOM_FULL,
    ROOM_INACTIVE,
    ROOM_LOCKED,
    ROOM_NOT_FOUND,
    SEAT_EXPIRED,
    TAKEN_OVER,
    TOKEN_EXPIRED,
    WRONG_ROOM,
    ErrorKind,
)

GUESS = 10
"""What is charged for a token that is not valid, and for a code of no room."""
FAILURES: dict[ErrorKind, int] = {
    **dict.fromkeys((INVALID_TOKEN, ROOM_NOT_FOUND), GUESS),
    **dict.fromkeys((
        TOKEN_EXPIRED, WRONG_ROOM, SEAT_EXPIRED, TAKEN_OVER, ROOM_INACTIVE, ROOM_LOCKED, ROOM_FULL, GUESTS_NOT_ALLOWED,
        BANNED, DENIED,
    ), 1),
}  # fmt: skip
"""The errors of failed joins and resumes, of tokens that are not valid, and of codes of no room, with what is charged
for each: a guess counts as ten joins that were refused."""
