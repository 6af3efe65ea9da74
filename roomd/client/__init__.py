"""A client of roomd/1 for asyncio. It joins a room, yields what happens there, and reconnects after a drop.

    async with roomd.client.join(url, "abc-def-ghi", "Jane Smith") as meeting:
        await meeting.say("Hello")
        async for event in meeting:
            print(event)
    print(meeting.over)

It uses `roomd.protocol` and nothing else of the daemon. docs/reference/clients.md describes how it behaves,
docs/protocol.md the protocol.
"""

from contextlib import AbstractAsyncContextManager

from roomd.client.connection import MAX_FRAME, PATIENCE, Closed, Connection, Unreachable, connect
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
from roomd.client.meeting import Meeting, Token, open_meeting
from roomd.client.settings import Settings
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
    max_frame: int = MAX_FRAME,
) -> AbstractAsyncContextManager[Meeting]:
    """Join a room as a guest with a name, or as a user with a token, and leave it at the end of the `async with`.

    `url` is like `wss://meet.example/ws`, `code` like `abc-def-ghi`. `token` may be a function, plain or async, that
    returns a token for each connection. With `wait` the client waits for a seat when the room is full. `patience` is
    in seconds, for each reply; `max_frame` in bytes, the server's `limits.frame`.

    Raises `Refused`, `Closed` or `Unreachable` when the first connection fails. After that the client reconnects by
    itself, and `Meeting.over` has the reason when the meeting is over.
    """
    entry = JoinRoom(code=code, guest_name=guest_name, wait=wait or None)
    return open_meeting(url, entry, token, Settings(patience=patience, max_frame=max_frame))
