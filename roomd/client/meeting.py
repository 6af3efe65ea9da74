"""A meeting: one participant's stay in a room, over as many connections as it takes.

One task runs the meeting. It makes a connection and takes the seat; when the connection ends, it waits and makes the
next one, until the meeting is over. The first connection joins; the later ones resume, or join again when the held seat
has expired. Every frame goes through the `View`, and the events that follow wait in a bounded queue for `async for`.

Code that waits (for the next event, for a seat, for something to do) waits for a condition. Every condition is
checked again after each frame, each event and each change of status.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import msgspec

from roomd.client.catch_up import CatchUp
from roomd.client.conditions import Conditions
from roomd.client.connection import CLOSE_TIMEOUT, GONE, Closed, Connection, Frame, Unreachable, connect
from roomd.client.events import LEFT, AnyMeetingEvent, Dropped, Entered, Over, Placed, Refreshed, SeatLost
from roomd.client.presence import Changes, Presence
from roomd.client.reconnect import End, ReconnectPolicy
from roomd.client.requests import Requests
from roomd.client.settings import Settings
from roomd.client.view import Status, View
from roomd.protocol.errors import INVALID_TOKEN, SEAT_EXPIRED, Refused
from roomd.protocol.objects import Message, Participant, Room, Waiting
from roomd.protocol.replies import MessagesReply, OkReply, ParticipantReply, Reply
from roomd.protocol.requests import JoinRoom, LeaveRoom, Request, Resume, UpdateParticipant

R = TypeVar("R", bound=Reply)
Token = str | Callable[[], str | None] | Callable[[], Awaitable[str | None]] | None
"""A token, or a function that returns one for each connection. None: join as a guest."""


class Meeting(Requests):
    """One participant's stay in one room, made by `join`.

    `async for` yields the events in order, to one reader, and ends when the meeting is over; `over` then has the
    reason. The properties show the present, whether or not the events that led to it were read.
    """

    def __init__(self, url: str, entry: JoinRoom, token: Token, settings: Settings) -> None:
        self.code = entry.code
        self._url = url
        self._entry = entry
        self._token = token
        self._settings = settings
        self._view = View()
        self._presence = Presence()
        self._presence_lock = asyncio.Lock()  # changes of state are sent in the order they were asked for
        self._policy = ReconnectPolicy(settings.random, settings.clock, has_token_function=callable(token))
        self._used_token: str | None = None
        self._has_new_seat = False
        self._events: deque[AnyMeetingEvent] = deque()
        self._connection: Connection | None = None
        self._conditions = Conditions()
        self._task: asyncio.Task[None] | None = None

    @property
    def status(self) -> Status:
        """`connecting`, `waiting` (in the queue), `joined`, `reconnecting` or `over`."""
        return self._view.status

    @property
    def over(self) -> Over | None:
        """Why the meeting is over; None while it is not."""
        return self._view.over

    @property
    def me(self) -> Participant | None:
        """This client's own participant, kept current; None while waiting."""
        return self._view.me

    @property
    def room(self) -> Room | None:
        """The room; None while waiting."""
        return self._view.room

    @property
    def participants(self) -> Mapping[str, Participant]:
        """Everyone who holds a seat, this client included, by id and in the order they took it.

        A new mapping whenever it changes: one that was returned stays as it is.
        """
        return self._view.participants

    @property
    def messages(self) -> list[Message]:
        """The last messages, at most 500: public ones and private ones from and to this client, oldest first."""
        return list(self._view.messages)

    @property
    def lobby(self) -> tuple[Waiting, ...]:
        """Who waits, in order. Empty for everyone but hosts."""
        return self._view.lobby

    @property
    def place(self) -> Placed | None:
        """This client's own place in the queue, while it waits."""
        return self._view.place

    def __aiter__(self) -> AsyncIterator[AnyMeetingEvent]:
        return self

    async def __anext__(self) -> AnyMeetingEvent:
        await self._conditions.wait_for(lambda: bool(self._events) or self._has_ended)
        if self._events:
            return self._events.popleft()
        self._raise_failure()
        raise StopAsyncIteration

    async def wait_present(self) -> bool:
        """Wait until this client is in the room. Return False when the meeting is over before that."""
        await self._conditions.wait_for(lambda: self.status == "joined" or self._has_ended)
        self._raise_failure()
        return self.status == "joined"

    async def request(self, request: Request, reply: type[R]) -> R:
        """Send a request, and return its reply, which must be of type `reply`.

        Raises `Refused` when the reply is an error, `Closed` while the client is not connected or when the connection
        ends before the reply, `Unreachable` when no reply comes in time.
        """
        if self._connection is None:
            raise Closed(GONE, "not connected")
        return await self._connection.request(request, reply)

    async def update_state(self, state: Changes) -> None:
        """Change this client's own state, key by key; None removes a key. Return when the server has accepted it.

        While the client is not in the room the change is kept, and sent once it is. Raises `Refused`, `Unreachable`
        when no reply comes in time, and `Closed` when the meeting is over first.
        """
        async with self._presence_lock:
            while await self._wait_settled():
                try:
                    await self.request(UpdateParticipant(state=dict(state)), OkReply)
                except Closed:
                    # The reply is lost, and a change may be made twice: send it on the next connection.
                    await self._conditions.wait_for(lambda: self.status != "joined")
                else:
                    self._presence.accept(state)
                    return
        raise Closed(GONE, "the meeting is over")

    async def _wait_settled(self) -> bool:
        """Wait until this client is in the room and a new seat has the state of the one before."""
        await self._conditions.wait_for(lambda: (self.status == "joined" and not self._has_new_seat) or self._has_ended)
        self._raise_failure()
        return self.over is None

    async def leave(self) -> None:
        """Give up the seat, or the place in the queue. The meeting is over then.

        Raises `Closed` or `Unreachable` when the server could not be told: it holds the seat for a while.
        """
        if self.over is not None:
            return
        try:
            async with asyncio.timeout(self._settings.leave_patience):
                await self.request(LeaveRoom(), ParticipantReply)
        except Refused:
            pass  # there is no seat to give up: the join was not served yet, or the room has ended
        except TimeoutError:
            raise Unreachable(self._url, f"no answer within {self._settings.leave_patience:g} seconds") from None
        finally:
            self._stop()

    # The task of the meeting.

    async def open(self) -> None:
        """Join, and return once in the room or waiting. Raises what fails until then. `close` has to follow."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda _: self._conditions.wake())
        await self._conditions.wait_for(lambda: self.status != "connecting" or self._has_ended)
        self._raise_failure()

    async def close(self) -> None:
        """Leave if still in the room, and stop. Closing twice is fine."""
        try:
            if self._connection is not None:
                with suppress(Closed, Unreachable):
                    await self.leave()
        finally:
            self._stop()
            if self._task is not None:
                await self._end(self._task)

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Let the meeting's task, which sees that the meeting is over, close its connection; then cancel it."""
        try:
            await asyncio.wait({task}, timeout=2 * CLOSE_TIMEOUT)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _stop(self) -> None:
        """End the meeting. A task that is waiting for a connection is cancelled: nobody wants the seat any more."""
        self._finish(LEFT)
        if self._connection is None and self._task is not None:
            self._task.cancel()

    @property
    def _has_ended(self) -> bool:
        return self.over is not None or (self._task is not None and self._task.done())

    def _raise_failure(self) -> None:
        """Raise the exception that ended the meeting's task, if one did."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        while self.over is None:
            try:
                await self._visit()
            except (Refused, Closed, Unreachable) as end:
                if self.status != "connecting":
                    await self._come_back(end)
                elif not self._policy.may_renew(end, self._used_token):
                    raise  # in `open`

    async def _visit(self) -> None:
        """Connect, take the seat, and stay until the meeting is over or the connection ends."""
        self._used_token = await self._new_token()
        if self._policy.refuses(self._used_token):
            raise Refused(INVALID_TOKEN)
        opening = connect(
            self._url,
            self._used_token,
            self._settings.patience,
            max_frame=self._settings.max_frame,
            on_frame=self._take,
            on_end=self._lose,
        )
        try:
            async with opening as connection:
                self._connection = connection
                await self._enter(connection)
                await self._stay(connection)
        finally:
            self._connection = None

    async def _new_token(self) -> str | None:
        """Return the token for the next connection.

        Raises what the token function raises on the first connection. Later it counts as a server that cannot be
        reached: a token service is often unreachable for the same reason as the server.
        """
        if not callable(self._token):
            return self._token
        seconds = self._settings.token_patience
        try:
            token = self._token()
            return await asyncio.wait_for(token, seconds) if inspect.isawaitable(token) else token
        except TimeoutError:
            raise Unreachable(self._url, f"no token within {seconds:g} seconds") from None
        except Exception as exc:  # the edge to the program's own function
            if self.status == "connecting":
                raise
            raise Unreachable(self._url, f"there is no token ({exc!r})") from exc

    async def _enter(self, connection: Connection) -> None:
        """Take the seat, or the place in the queue, and wait until the view has it."""
        token = self._view.resume_token
        try:
            await connection.ask(self._entry if token is None else Resume(resume_token=token))
        except Refused as refused:
            if token is None or refused.kind.code != SEAT_EXPIRED.code:
                raise
            self._view.forget_seat()
            self._tell(SeatLost())
            await connection.ask(self._entry)
        await self._wait_for_frame(connection, lambda: self.status in ("waiting", "joined"))
        self._policy.arrived()

    async def _stay(self, connection: Connection) -> None:
        """Do what the view needs, until the connection ends or the meeting is over."""
        while self.over is None:
            await self._conditions.wait_for(lambda: self._has_to_act or connection.has_ended or self.over is not None)
            if self.over is not None:
                return
            connection.check()
            if self._has_new_seat:
                await self._restore_state(connection)
            elif self._view.is_stale:
                await self._refresh(connection)
            elif self._view.missed is not None:
                await self._catch_up(connection, self._view.missed)

    @property
    def _has_to_act(self) -> bool:
        return self._has_new_seat or self._view.is_stale or self._view.missed is not None

    async def _restore_state(self, connection: Connection) -> None:
        """Give a new seat the state of the one before."""
        if changes := self._presence.restore(self.me):
            with suppress(Refused):
                await connection.request(UpdateParticipant(state=changes), OkReply)
                self._presence.accept(changes)
        self._has_new_seat = False
        self._conditions.wake()

    async def _catch_up(self, connection: Connection, missed: CatchUp) -> None:
        """Read a page of missed messages. The view takes the reply, also a refusal."""
        if missed.delay > 0 and not await self._pause(missed.delay, connection):
            return
        with suppress(Refused):
            await connection.request(missed.request(self.code), MessagesReply)

    async def _pause(self, seconds: float, connection: Connection) -> bool:
        """Sleep, unless something more urgent happens first. Return whether the time has passed."""
        sleep = asyncio.ensure_future(self._settings.sleep(seconds))
        sleep.add_done_callback(lambda _: self._conditions.wake())
        try:
            await self._conditions.wait_for(
                lambda: sleep.done() or connection.has_ended or self._view.is_stale or self.over is not None
            )
            return sleep.done() and not connection.has_ended and self.over is None
        finally:
            sleep.cancel()

    async def _refresh(self, connection: Connection) -> None:
        """Join the room again on the same connection. The reply is the same participant, and a new `room-state`."""
        try:
            await connection.ask(msgspec.structs.replace(self._entry, wait=None))
        except Refused as refused:  # then resume on another connection
            raise Closed(GONE, "the room cannot be read again", refused.retry_after) from None
        await self._wait_for_frame(connection, lambda: not self._view.is_stale)

    async def _wait_for_frame(self, connection: Connection, done: Callable[[], bool]) -> None:
        """Wait for the frame that has to follow a reply."""
        try:
            async with asyncio.timeout(self._settings.patience):
                await self._conditions.wait_for(lambda: done() or connection.has_ended or self.over is not None)
        except TimeoutError:
            raise Unreachable(self._url, "it does not send the state of the room") from None
        if not done() and self.over is None:
            connection.check()

    async def _come_back(self, end: End) -> None:
        """Wait until it is time to reconnect, or end the meeting."""
        self._lose()
        delay = self._policy.after(end, self._used_token)
        if isinstance(delay, Over):
            self._finish(delay)
        elif self.over is None:
            self._tell(Dropped(_describe(end), delay))
            await self._settings.sleep(delay)

    def _take(self, frame: Frame) -> None:
        """Take a frame of the server."""
        for event in self._view.apply(frame):
            self._has_new_seat = self._has_new_seat or isinstance(event, Entered)
            self._queue(event)
        self._conditions.wake()

    def _lose(self) -> None:
        """Note that the connection has ended."""
        if self.status != "connecting":
            if not self._has_new_seat:
                self._presence.remember(self.me)
            self._view.drop()
        self._conditions.wake()

    def _tell(self, event: AnyMeetingEvent) -> None:
        self._queue(event)
        self._conditions.wake()

    def _queue(self, event: AnyMeetingEvent) -> None:
        """Put an event into the queue. When it is full, one `Refreshed` takes the place of all that follow."""
        if len(self._events) < self._settings.most_events:
            self._events.append(event)
        elif not isinstance(self._events[-1], Refreshed):
            self._events.append(Refreshed())

    def _finish(self, over: Over) -> None:
        self._view.finish(over)
        self._conditions.wake()


def _describe(end: End) -> str:
    """Return for people why a connection ended."""
    if isinstance(end, Refused):
        return end.message
    return "Connection lost" if isinstance(end, Closed) else f"Cannot reach the server: {end.reason}"


@asynccontextmanager
async def open_meeting(url: str, entry: JoinRoom, token: Token, settings: Settings) -> AsyncIterator[Meeting]:
    """Be in a meeting with settings of one's own. Arguments and errors are those of `join`."""
    meeting = Meeting(url, entry, token, settings)
    try:
        await meeting.open()
        yield meeting
    finally:
        await meeting.close()
