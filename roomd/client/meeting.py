"""A meeting, over as many connections as it takes.

One task lives the meeting: it visits, and when a visit ends it waits and comes back, until the meeting is over. A
visit is one connection: the first joins, the later ones resume, and when what was held is gone they join anew. Every
frame of a connection goes through the `View` and comes out as events, which wait in a bounded line for `async for`.

Whoever waits for something (the next event, being in the room, a reason to act) waits for a condition, and every
frame, every end and every change of heart looks at all conditions again.
"""

import asyncio
import inspect
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from roomd.client.comeback import Comeback
from roomd.client.connection import CLOSE_TIMEOUT, GONE, PATIENCE, Closed, Connection, Frame, Unreachable, connect
from roomd.client.events import LEFT, AnyMeetingEvent, Dropped, Over, Placed, Refreshed, SeatLost
from roomd.client.missed import Missed
from roomd.client.requests import Requests
from roomd.client.view import Status, View
from roomd.protocol.errors import SEAT_EXPIRED, Refused
from roomd.protocol.objects import Message, Participant, Room, Waiting
from roomd.protocol.replies import MessagesReply, ParticipantReply, Reply
from roomd.protocol.requests import JoinRoom, LeaveRoom, Request, Resume

R = TypeVar("R", bound=Reply)
Token = str | Callable[[], str | None] | Callable[[], Awaitable[str | None]] | None
"""A token, or a function that gives one for each connection (None: join as a guest)."""

MOST_EVENTS = 1000
LEAVE_PATIENCE = 3.0


@dataclass(frozen=True)
class Pace:
    """What decides when things happen; tests have their own."""

    patience: float = PATIENCE
    """Seconds to wait for the server, on connecting and for each reply."""
    leave_patience: float = LEAVE_PATIENCE
    """Seconds to wait for the answer to `leave-room`."""
    most_events: int = MOST_EVENTS
    """Events that may wait for `async for`; what comes beyond them is left out, and one `Refreshed` stands for it."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


class Meeting(Requests):
    """One room, as one participant is in it. Made by `join`.

    `async for` gives what happens, in order, to one reader, and ends when the meeting is over; `over` says why then.
    The properties are what is true now, whether or not the events that led there were read.
    """

    def __init__(self, url: str, entry: JoinRoom, token: Token, pace: Pace) -> None:
        self.code = entry.code
        self._url = url
        self._entry = entry
        self._token = token
        self._pace = pace
        self._view = View()
        self._comeback = Comeback(pace.random, pace.clock, can_renew=callable(token))
        self._events: deque[AnyMeetingEvent] = deque()
        self._connection: Connection | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._life: asyncio.Task[None] | None = None

    @property
    def status(self) -> Status:
        """Where this client is: joining, waiting, present, away (coming back) or over."""
        return self._view.status

    @property
    def over(self) -> Over | None:
        """Why the meeting is over; None while it is not."""
        return self._view.over

    @property
    def me(self) -> Participant | None:
        """The own participant; None while waiting."""
        return self._view.me

    @property
    def room(self) -> Room | None:
        """The room; None while waiting."""
        return self._view.room

    @property
    def participants(self) -> list[Participant]:
        """Everyone who holds a seat, oneself included, in the order they took it."""
        return self._view.participants

    @property
    def messages(self) -> list[Message]:
        """The last messages, at most 500: public ones and private ones to and from oneself, oldest first."""
        return list(self._view.messages)

    @property
    def lobby(self) -> tuple[Waiting, ...]:
        """Who waits, in order; hosts see it."""
        return self._view.lobby

    @property
    def place(self) -> Placed | None:
        """The own place in the queue, while waiting."""
        return self._view.place

    def __aiter__(self) -> AsyncIterator[AnyMeetingEvent]:
        return self

    async def __anext__(self) -> AnyMeetingEvent:
        await self._wait_for(lambda: bool(self._events) or self._has_ended)
        if self._events:
            return self._events.popleft()
        self._check_life()
        raise StopAsyncIteration

    async def wait_present(self) -> bool:
        """Wait until this client is in the room, through the queue or back from a drop; False when it will not be."""
        await self._wait_for(lambda: self.status == "present" or self._has_ended)
        self._check_life()
        return self.status == "present"

    async def request(self, request: Request, reply: type[R]) -> R:
        """Ask, and wait for the reply of that request.

        Raises `Refused`, `Closed` while the client is away or when the connection goes first, `Unreachable` when
        there is no answer in time.
        """
        if self._connection is None:
            raise Closed(GONE, "not connected")
        return await self._connection.request(request, reply)

    async def leave(self) -> None:
        """Give the seat up, or the place in the queue; the meeting is over then.

        Raises `Closed` or `Unreachable` when the server could not be told: it holds the seat until nobody comes back.
        """
        if self.over is not None:
            return
        try:
            async with asyncio.timeout(self._pace.leave_patience):
                await self.request(LeaveRoom(), ParticipantReply)
        except Refused:
            pass  # there is no seat to give up: the join had not been served yet, or the room has ended
        except TimeoutError:
            raise Unreachable(self._url, f"no answer within {self._pace.leave_patience:g} seconds") from None
        finally:
            self._give_up()

    # The life of the meeting.

    async def open(self) -> None:
        """Join, and return once in the room or waiting; what fails then is raised. To be followed by `close`."""
        self._life = asyncio.get_running_loop().create_task(self._live())
        self._life.add_done_callback(lambda _: self._stir())
        await self._wait_for(lambda: self.status != "joining" or self._has_ended)
        self._check_life()

    async def close(self) -> None:
        """Leave when still in the room, and stop. Closing twice is fine."""
        try:
            if self._connection is not None:
                with suppress(Closed, Unreachable):
                    await self.leave()
        finally:
            self._give_up()
            if self._life is not None:
                await self._end(self._life)

    async def _end(self, life: asyncio.Task[None]) -> None:
        """Give the meeting's task, which knows that it is over, the time to close its connection in order."""
        try:
            await asyncio.wait({life}, timeout=2 * CLOSE_TIMEOUT)
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    def _give_up(self) -> None:
        """End the meeting; where it waits for a connection, nobody wants the seat any more."""
        self._finish(LEFT)
        if self._connection is None and self._life is not None:
            self._life.cancel()

    @property
    def _has_ended(self) -> bool:
        return self.over is not None or (self._life is not None and self._life.done())

    def _check_life(self) -> None:
        """Raise what ended the meeting's task, if that was no decision of its own."""
        if self._life is not None and self._life.done() and not self._life.cancelled():
            self._life.result()

    async def _live(self) -> None:
        while self.over is None:
            try:
                await self._visit()
            except (Refused, Closed, Unreachable) as end:
                if self.status == "joining":
                    raise  # to whoever joins
                await self._come_back(end)

    async def _visit(self) -> None:
        """Connect, take the seat, and stay until the meeting is over or the connection ends."""
        token = await self._fresh_token()
        opening = connect(self._url, token, self._pace.patience, on_frame=self._hear, on_end=self._lose)
        try:
            async with opening as connection:
                self._connection = connection
                await self._enter(connection)
                await self._stay(connection)
        finally:
            self._connection = None

    async def _fresh_token(self) -> str | None:
        token = self._token() if callable(self._token) else self._token
        return await token if inspect.isawaitable(token) else token

    async def _enter(self, connection: Connection) -> None:
        token = self._view.resume_token
        await connection.ask(self._entry if token is None else Resume(resume_token=token))
        await self._settle(connection, lambda: self.status in ("waiting", "present"))
        self._comeback.arrived()

    async def _stay(self, connection: Connection) -> None:
        while self.over is None:
            await self._wait_for(lambda: self._lacks_something or connection.has_ended or self.over is not None)
            if self.over is not None:
                return
            connection.check()
            if self._view.is_stale:
                await self._refresh(connection)
            elif self._view.missed is not None:
                await self._catch_up(connection, self._view.missed)

    @property
    def _lacks_something(self) -> bool:
        return self._view.is_stale or self._view.missed is not None

    async def _catch_up(self, connection: Connection, missed: Missed) -> None:
        """Read a page of what was said while away; the view takes the reply in, also a refusal."""
        with suppress(Refused):
            await connection.request(missed.request(self.code), MessagesReply)

    async def _refresh(self, connection: Connection) -> None:
        """Join the room again on the same connection: the same participant, and a fresh `room-state`."""
        try:
            await connection.ask(self._entry)
        except Refused:  # then by another connection, which resumes
            raise Closed(GONE, "out of step") from None
        await self._settle(connection, lambda: not self._view.is_stale)

    async def _settle(self, connection: Connection, done: Callable[[], bool]) -> None:
        """Wait for what a reply announced: the frame after it, which nothing else tells of."""
        try:
            async with asyncio.timeout(self._pace.patience):
                await self._wait_for(lambda: done() or connection.has_ended or self.over is not None)
        except TimeoutError:
            raise Unreachable(self._url, "it does not say what the room is like") from None
        if not done() and self.over is None:
            connection.check()

    async def _come_back(self, end: Refused | Closed | Unreachable) -> None:
        """Wait until it is time to come back, or end the meeting."""
        self._view.drop()
        if isinstance(end, Refused) and end.kind.code == SEAT_EXPIRED.code and self._view.resume_token is not None:
            self._view.forget_seat()
            self._tell(SeatLost())
            return
        delay = self._comeback.after(end)
        if isinstance(delay, Over):
            self._finish(delay)
        elif self.over is None:
            self._tell(Dropped(_reason(end), delay))
            await self._pace.sleep(delay)

    def _hear(self, frame: Frame) -> None:
        """Take a frame in."""
        for event in self._view.apply(frame):
            self._queue(event)
        self._stir()

    def _lose(self) -> None:
        """Hear that no more frames come."""
        if self.status != "joining":
            self._view.drop()
        self._stir()

    def _tell(self, event: AnyMeetingEvent) -> None:
        self._queue(event)
        self._stir()

    def _queue(self, event: AnyMeetingEvent) -> None:
        """Put an event in line; when the line is full, one `Refreshed` stands for all that comes."""
        if len(self._events) < self._pace.most_events:
            self._events.append(event)
        elif not isinstance(self._events[-1], Refreshed):
            self._events.append(Refreshed())

    def _finish(self, over: Over) -> None:
        self._view.finish(over)
        self._stir()

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _stir(self) -> None:
        """Have every condition looked at again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _reason(end: Refused | Closed | Unreachable) -> str:
    """Say for people why a visit ended."""
    if isinstance(end, Refused):
        return end.message
    return "Connection lost" if isinstance(end, Closed) else f"Cannot reach the server: {end.reason}"


@asynccontextmanager
async def attend(url: str, entry: JoinRoom, token: Token, pace: Pace) -> AsyncIterator[Meeting]:
    """Be in a meeting, at a pace of one's own; see `join`."""
    meeting = Meeting(url, entry, token, pace)
    try:
        await meeting.open()
        yield meeting
    finally:
        await meeting.close()
