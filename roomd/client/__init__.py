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

from roomd.client.codes import code_of
from roomd.client.connection import MAX_FRAME, PATIENCE, Closed, Connection, NoAnswer, Unreachable, connect
from roomd.client.event_log import LogPart, follow_log
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
    Replaced,
    Returned,
    RoomChanged,
    Said,
    SeatLost,
    ServerRestarts,
    Signalled,
    Updated,
)
from roomd.client.meeting import Meeting, open_meeting
from roomd.client.seats import KeptSeat, SeatFile, SeatStore
from roomd.client.settings import Settings
from roomd.client.tickets import exchange
from roomd.client.tokens import Token
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
    "KeptSeat",
    "Left",
    "LobbyChanged",
    "LogPart",
    "Meeting",
    "MeetingEvent",
    "MessagesSkipped",
    "MuteRequested",
    "NoAnswer",
    "Over",
    "Placed",
    "Refreshed",
    "Refused",
    "Replaced",
    "Returned",
    "RoomChanged",
    "Said",
    "SeatFile",
    "SeatLost",
    "SeatStore",
    "ServerRestarts",
    "Signalled",
    "Status",
    "Token",
    "Unreachable",
    "Updated",
    "View",
    "code_of",
    "connect",
    "exchange",
    "follow_log",
    "join",
]


def join(
    url: str,
    code: str,
    guest_name: str | None = None,
    token: Token = None,
    *,
    wait: bool = False,
    take_over: bool = True,
    seat: SeatStore | None = None,
    patience: float = PATIENCE,
    max_frame: int = MAX_FRAME,
) -> AbstractAsyncContextManager[Meeting]:
    """Join a room as a guest with a name, or as a user with a token, and leave it at the end of the `async with`.

    `url` is like `wss://meet.example/ws`, `code` like `abc-def-ghi` or a link to the room. `token` may be a function,
    plain or async, that returns a token for each connection. With `wait` the client waits for a seat when the room is
    full. Without `take_over` a seat of the same user that is connected elsewhere is left alone. `seat` keeps the resume
    token, like `SeatFile(path)`: a program that is started again takes its seat back. `patience` is in seconds, for
    each reply; `max_frame` in bytes, the server's `limits.frame`.

    Raises `Refused`, `Closed` or `Unreachable` when the first connection fails. After that the client reconnects by
    itself, and `Meeting.over` has the reason when the meeting is over.
    """
    entry = JoinRoom(
        code=code_of(code), guest_name=guest_name, wait=wait or None, take_over=None if take_over else False
    )
    return open_meeting(url, entry, token, Settings(patience=patience, max_frame=max_frame), seat)
