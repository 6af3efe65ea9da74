"""A client of roomd/1 for asyncio: be in a room, hear what happens in it, and come back after a drop.

    async with roomd.client.join(url, "abc-def-ghi", "Jane Smith") as meeting:
        await meeting.say("Hello")
        async for event in meeting:
            print(event)
    print(meeting.over)

It needs nothing of the daemon but the words it shares with it. README.md has more, docs/protocol.md the contract.
"""

from contextlib import AbstractAsyncContextManager

from roomd.client.connection import PATIENCE, Closed, Connection, Unreachable, connect
from roomd.client.events import (
    AnyMeetingEvent,
    Dropped,
    Entered,
    Joined,
    Left,
    LobbyChanged,
    MeetingEvent,
    MessagesSkipped,
    MuteRequested,
    Over,
    Placed,
    Refreshed,
    Returned,
    RoomChanged,
    Said,
    SeatLost,
    ServerRestarts,
    Signalled,
    Updated,
)
from roomd.client.meeting import Meeting, Pace, Token, attend
from roomd.client.view import Status, View
from roomd.protocol.errors import Refused
from roomd.protocol.requests import JoinRoom

__all__ = [
    "AnyMeetingEvent",
    "Closed",
    "Connection",
    "Dropped",
    "Entered",
    "Joined",
    "Left",
    "LobbyChanged",
    "Meeting",
    "MeetingEvent",
    "MessagesSkipped",
    "MuteRequested",
    "Over",
    "Placed",
    "Refreshed",
    "Refused",
    "Returned",
    "RoomChanged",
    "Said",
    "SeatLost",
    "ServerRestarts",
    "Signalled",
    "Status",
    "Token",
    "Unreachable",
    "Updated",
    "View",
    "connect",
    "join",
]


def join(
    url: str,
    code: str,
    guest_name: str | None = None,
    token: Token = None,
    *,
    wait: bool = False,
    patience: float = PATIENCE,
) -> AbstractAsyncContextManager[Meeting]:
    """Join a room, as a guest with a name or as a user with a token, and leave it at the end of the `async with`.

    `token` may be a function, plain or async, that gives a token for each connection; `wait` waits for a seat when the
    room is full; `patience` is how many seconds the server has for each answer. Entering raises `Refused`, `Closed`
    and `Unreachable`; from then on the meeting comes back by itself, and `Meeting.over` tells how it ended.
    """
    return attend(url, JoinRoom(code=code, guest_name=guest_name, wait=wait or None), token, Pace(patience=patience))
