"""A meeting: one participant's stay in a room, over as many connections as it takes.

One task runs the meeting. It makes a connection and takes the seat; when the connection ends, it waits and makes the
next one, until the meeting is over. The first connection joins, unless a seat was kept from before; the later ones
resume, or join again when the held seat has expired. Every frame goes through the `View`, and the events that follow
wait in a bounded queue for `async for`.

Code that waits (for the next event, for a seat, for something to do) waits for a condition. Every condition is
checked again after each frame, each event and each change of status.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from roomd.client.connection import CLOSE_TIMEOUT, GONE, Closed, Connection, Frame, NoAnswer, Unreachable, connect
from roomd.client.events import LEFT, AnyMeetingEvent, Dropped, Entered, Over, Placed, Refreshed, Said
from roomd.client.outbox import TOO_MANY, new_client_id
from roomd.client.presence import NOW, Changes, hands
from roomd.client.reconnect import End, ReconnectPolicy, describe
from roomd.client.requests import Requests
from roomd.client.seats import SeatStore
from roomd.client.settings import Settings
from roomd.client.tokens import Token, Tokens
from roomd.client.view import Status
from roomd.client.visit import Stay, Visit
from roomd.protocol.errors import INVALID_TOKEN, Refused
from roomd.protocol.objects import Message, Participant, Room, Waiting
from roomd.protocol.replies import OkReply, ParticipantReply, Reply
from roomd.protocol.requests import JoinRoom, LeaveRoom, Request, SendMessage, UpdateParticipant

R = TypeVar("R", bound=Reply)

_GONE = frozenset({"left", "room_ended", "removed", "denied"})
"""The codes of ends after which a kept seat is of no use."""


class Meeting(Requests):
    """One participant's stay in one room, made by `join`.

    `async for` yields the events in order, to one reader, and ends when the meeting is over; `over` then has the
    reason. The properties show the present, whether or not the events that led to it were read.
    """

    def __init__(
        self, url: str, entry: JoinRoom, token: Token, settings: Settings, store: SeatStore | None = None
    ) -> None:
        self.code = entry.code
        self._url = url
        self._settings = settings
        self._stay = Stay(entry, settings, store)
        self._view = self._stay.view
        self._presence_lock = asyncio.Lock()  # changes of state are sent in the order they were asked for
        self._messages_lock = asyncio.Lock()  # and so are messages
        self._tokens = Tokens(token, settings.token_patience, url)
        self._policy = ReconnectPolicy(settings.random, settings.clock, has_token_function=callable(token))
        self._used_token: str | None = None
        self._events: deque[AnyMeetingEvent] = deque()
        self._connection: Connection | None = None
        self._conditions = self._stay.conditions
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
    def hands(self) -> list[Participant]:
        """Whose hands are up (`handRaised` in their state), in the order they went up."""
        return hands(self.participants.values())

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
                    self._stay.presence.accept(state)
                    return
        raise Closed(GONE, "the meeting is over")

    async def raise_hand(self) -> None:
        """Raise the hand. The server notes when, so that everyone sees hands in the order they went up."""
        await self.update_state({"handRaised": NOW})

    async def lower_hand(self) -> None:
        """Lower the hand."""
        await self.update_state({"handRaised": None})

    async def _wait_settled(self) -> bool:
        """Wait until this client is in the room and a new seat has the state of the one before."""
        await self._conditions.wait_for(
            lambda: (self.status == "joined" and not self._stay.has_new_seat) or self._has_ended
        )
        self._raise_failure()
        return self.over is None

    async def say(self, text: str, to: str | None = None, *, client_id: str | None = None) -> None:
        """Send a message of 1 to 2,000 characters to everyone or, with `to` (a participant's id), to one.

        It is sent again after a reconnect until it is answered, and kept once. Give the same `client_id` (1 to 64
        characters) to ask again. Raises `Refused`, `NoAnswer` after 30 seconds, `Closed` without a seat, when the
        meeting is over first, or when the seat is another one meanwhile. The last three may have been kept.
        """
        outbox = self._stay.outbox
        if self.status not in ("joined", "reconnecting"):
            raise Closed(GONE, "not connected")
        if outbox.is_full:
            raise Refused(TOO_MANY)
        outbox.waiting += 1
        seconds = self._settings.message_patience
        try:
            async with asyncio.timeout(seconds), self._messages_lock:
                await self._deliver(SendMessage(text=text, to=to, client_id=client_id or new_client_id()))
        except TimeoutError:
            raise NoAnswer(self._url, seconds) from None
        finally:
            outbox.waiting -= 1

    async def _deliver(self, message: SendMessage) -> None:
        """Send a message until it is answered."""
        outbox = self._stay.outbox
        outbox.begin(message.client_id or "")
        while await self._wait_settled():
            if outbox.has_arrived:
                return
            if self.me is None or not outbox.may_send(self.me.id):
                raise Closed(GONE, "the seat is another one now, and the message may have been kept")
            try:
                await self.request(message, OkReply)
            except NoAnswer:
                continue
            except Closed:
                # Without an answer it is not known whether the message was kept: it is sent again, and kept once.
                await self._conditions.wait_for(lambda: self.status != "joined")
            else:
                return
        raise Closed(GONE, "the meeting is over")

    async def update_connection(self, *, hold: float) -> None:
        """Set for how many seconds the seat is held after a clean close.

        It holds for all connections of this meeting; the server has an upper limit. The client tells the server as soon
        as it can.
        """
        self._stay.hold = hold
        self._conditions.wake()

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
        self._stay.recall()
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
        # The resume token is proof enough. Whatever is wrong with the other one must not cost the seat.
        self._used_token = await self._token_for_a_seat() if self._view.resume_token is None else None
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
                await self._use(connection)
        finally:
            self._connection = None

    async def _use(self, connection: Connection) -> None:
        visit = Visit(connection, self._stay, self._tokens, self._policy, self._tell)
        try:
            await visit.enter()
            if self._used_token is not None:
                self._policy.accepted()
            await visit.stay()
        finally:
            await visit.close()
            self._used_token = visit.token or self._used_token
            if self.over is None and self.status != "connecting":
                # A clean close says that nobody comes back, and the seat may be held for a shorter time.
                connection.abort()

    async def _token_for_a_seat(self) -> str | None:
        """Return the token for the next connection. On the first one, raises what the token function raises."""
        return await (self._tokens.get() if self.status == "connecting" else self._tokens.get_later())

    async def _come_back(self, end: End) -> None:
        """Wait until it is time to reconnect, or end the meeting."""
        self._lose()
        can_resume = self._view.resume_token is not None
        delay = self._policy.after(end, self._used_token, can_resume=can_resume)
        if isinstance(delay, Over):
            self._finish(delay)
        elif self.over is None:
            self._tell(Dropped(describe(end), delay))
            await self._settings.sleep(delay)

    def _take(self, frame: Frame) -> None:
        """Take a frame of the server."""
        before = self._view.resume_token
        for event in self._view.apply(frame):
            self._stay.has_new_seat = self._stay.has_new_seat or isinstance(event, Entered)
            if isinstance(event, Said):
                self._stay.outbox.arrived(event.message)
            self._queue(event)
        if self._view.resume_token != before:
            self._stay.keep()
        if self.over is not None:
            self._forget()
        self._conditions.wake()

    def _lose(self) -> None:
        """Note that the connection has ended."""
        if self.status != "connecting":
            if not self._stay.has_new_seat:
                self._stay.presence.remember(self.me)
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
        self._forget()
        self._conditions.wake()

    def _forget(self) -> None:
        """Forget the kept seat where the meeting ended for good."""
        if self.over is not None and self.over.code in _GONE:
            self._stay.forget()


@asynccontextmanager
async def open_meeting(
    url: str, entry: JoinRoom, token: Token, settings: Settings, store: SeatStore | None = None
) -> AsyncIterator[Meeting]:
    """Be in a meeting with settings of one's own. Arguments and errors are those of `join`."""
    meeting = Meeting(url, entry, token, settings, store)
    try:
        await meeting.open()
        yield meeting
    finally:
        await meeting.close()
