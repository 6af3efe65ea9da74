"""A visit: the time in the room on one connection, from asking for the seat to the end of the connection.

A `Stay` is what the meeting keeps from one connection to the next. Every condition that a task waits for is checked
again after each frame, each event and each change of status.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from roomd.client.catch_up import CatchUp
from roomd.client.conditions import Conditions
from roomd.client.connection import GONE, Closed, Connection, Unreachable
from roomd.client.events import AnyMeetingEvent, SeatLost
from roomd.client.outbox import Outbox
from roomd.client.presence import Presence
from roomd.client.reconnect import ReconnectPolicy
from roomd.client.seats import KeptSeat, SeatStore
from roomd.client.settings import Settings
from roomd.client.tokens import Tokens
from roomd.client.view import View
from roomd.protocol.errors import SEAT_EXPIRED, TAKEN_OVER, Refused
from roomd.protocol.replies import AuthenticatedReply, MessagesReply, OkReply
from roomd.protocol.requests import Authenticate, JoinRoom, Resume, UpdateConnection, UpdateParticipant


@dataclass
class Stay:
    """What a meeting keeps from one connection to the next."""

    entry: JoinRoom
    """The join. Once the client is in, it takes no connected seat over."""
    settings: Settings
    store: SeatStore | None
    """Where the seat is kept, if anywhere."""
    view: View = field(default_factory=View)
    presence: Presence = field(default_factory=Presence)
    outbox: Outbox = field(default_factory=Outbox)
    conditions: Conditions = field(default_factory=Conditions)
    has_new_seat: bool = False
    """The seat has not yet the state of the seat before."""
    hold: float | None = None
    """Seconds that the seat is to be held after a clean close; None: as the server has it."""

    def recall(self) -> None:
        """Take the seat that the store has, if it is one in this room."""
        seat = self.store.load() if self.store is not None else None
        if seat is not None and seat.code == self.entry.code:
            self.view.resume_token = seat.resume_token

    def keep(self) -> None:
        """Keep the newest resume token."""
        me, place, token = self.view.me, self.view.place, self.view.resume_token
        participant_id = me.id if me is not None else place.participant_id if place is not None else None
        if self.store is not None and token is not None and participant_id is not None:
            self.store.save(KeptSeat(self.entry.code, participant_id, token))

    def forget(self) -> None:
        """Forget the seat: it is gone."""
        self.view.forget_seat()
        if self.store is not None:
            self.store.forget()

    def arrived(self) -> None:
        """Note that this client is in. From now on nobody asks for the seat but the client itself."""
        self.entry = msgspec.structs.replace(self.entry, take_over=False)


class Visit:
    """One connection, used for a stay."""

    def __init__(
        self,
        connection: Connection,
        stay: Stay,
        tokens: Tokens,
        policy: ReconnectPolicy,
        tell: Callable[[AnyMeetingEvent], None],
    ) -> None:
        """`tell` takes the events that no frame brings."""
        self._connection = connection
        self._stay = stay
        self._tokens = tokens
        self._policy = policy
        self._tell = tell
        self._view = stay.view
        self._wait_for = stay.conditions.wait_for
        self._authentication: asyncio.Future[None] | None = None
        self._hold: float | None = None  # what this connection was told
        self.token: str | None = None
        """The token that was sent in a frame; None: none was."""

    async def enter(self) -> None:
        """Take the seat, or the place in the queue, and wait until the view has it."""
        token = self._view.resume_token
        if token is None:
            await self._connection.ask(self._stay.entry)
        else:
            await self._resume(token)
        await self._wait_for_frame(lambda: self._view.status in ("waiting", "joined"))
        self._policy.arrived()
        self._stay.arrived()

    async def _resume(self, token: str) -> None:
        """Take the seat back. The resume token alone proves it: an expired token must not cost a seat."""
        try:
            await self._connection.ask(Resume(resume_token=token))
            self._authentication = asyncio.ensure_future(self._authenticate())
            self._authentication.add_done_callback(lambda _: self._stay.conditions.wake())
        except Refused as refused:
            takes_over = refused.kind.code == TAKEN_OVER.code and self._stay.entry.take_over is not False
            if refused.kind.code != SEAT_EXPIRED.code and not takes_over:
                raise
            self._stay.forget()
            if self._view.status != "connecting":
                self._tell(SeatLost())
            self.token = await self._tokens.get_later()
            if self.token is not None:
                await self._connection.request(Authenticate(token=self.token), AuthenticatedReply)
                self._policy.accepted()
            await self._connection.ask(self._stay.entry)

    async def stay(self) -> None:
        """Do what the view needs, until the connection ends or the meeting is over."""
        while self._view.over is None:
            await self._wait_for(lambda: self._has_to_act or self._connection.has_ended or self._view.over is not None)
            if self._view.over is not None:
                return
            self._connection.check()
            await self._act()

    async def close(self) -> None:
        """Stop what goes on beside `enter` and `stay`."""
        if self._authentication is not None:
            self._authentication.cancel()
            await asyncio.gather(self._authentication, return_exceptions=True)

    async def _authenticate(self) -> None:
        """Say who is asking, once the seat was taken back. Whatever comes of that, the seat stays."""
        token = await self._tokens.get_fresh(self._stay.settings.today())
        if token is None or not self._policy.may_authenticate(token):
            return
        self.token = token
        try:
            await self._connection.request(Authenticate(token=token), AuthenticatedReply)
        except Refused as refused:
            if refused.kind.status_code == 401:
                raise  # and the server closes
            self._policy.refused(token)
        else:
            self._policy.accepted()

    @property
    def _has_to_act(self) -> bool:
        view, stay = self._view, self._stay
        return (
            stay.has_new_seat
            or view.is_stale
            or view.missed is not None
            or self._hold != stay.hold
            or self._has_failed_to_authenticate
        )

    @property
    def _has_failed_to_authenticate(self) -> bool:
        task = self._authentication
        return task is not None and task.done() and not task.cancelled() and task.exception() is not None

    def _check_authentication(self) -> None:
        """Raise the refusal of a token."""
        if self._authentication is not None and self._has_failed_to_authenticate:
            self._authentication.result()

    async def _act(self) -> None:
        self._check_authentication()
        if self._hold != self._stay.hold and self._stay.hold is not None:
            await self._send_hold(self._stay.hold)
        elif self._stay.has_new_seat:
            await self._restore_state()
        elif self._view.is_stale:
            await self._refresh()
        elif self._view.missed is not None:
            await self._catch_up(self._view.missed)

    async def _send_hold(self, hold: float) -> None:
        self._hold = hold
        with suppress(Refused):
            await self._connection.request(UpdateConnection(hold=hold), OkReply)

    async def _restore_state(self) -> None:
        """Give a new seat the state of the one before."""
        if changes := self._stay.presence.restore(self._view.me):
            with suppress(Refused):
                await self._connection.request(UpdateParticipant(state=changes), OkReply)
                self._stay.presence.accept(changes)
        self._stay.has_new_seat = False
        self._stay.conditions.wake()

    async def _catch_up(self, missed: CatchUp) -> None:
        """Read a page of missed messages. The view takes the reply, also a refusal."""
        if missed.delay > 0 and not await self._pause(missed.delay):
            return
        missed.is_asked = True
        with suppress(Refused):
            await self._connection.request(missed.request(self._stay.entry.code), MessagesReply)

    async def _pause(self, seconds: float) -> bool:
        """Sleep, unless something more urgent happens first. Return whether the time has passed."""
        sleep = asyncio.ensure_future(self._stay.settings.sleep(seconds))
        sleep.add_done_callback(lambda _: self._stay.conditions.wake())
        view, connection = self._view, self._connection
        try:
            await self._wait_for(lambda: sleep.done() or connection.has_ended or view.is_stale or view.over is not None)
            return sleep.done() and not connection.has_ended and view.over is None
        finally:
            sleep.cancel()

    async def _refresh(self) -> None:
        """Join the room again on the same connection. The reply is the same participant, and a new `room-state`."""
        try:
            await self._connection.ask(msgspec.structs.replace(self._stay.entry, wait=None))
        except Refused as refused:  # then resume on another connection
            raise Closed(GONE, "the room cannot be read again", refused.retry_after) from None
        await self._wait_for_frame(lambda: not self._view.is_stale)

    async def _wait_for_frame(self, done: Callable[[], bool]) -> None:
        """Wait until a frame has come, the connection has ended or the meeting is over."""
        connection, view = self._connection, self._view

        def is_over() -> bool:
            return connection.has_ended or view.over is not None or self._has_failed_to_authenticate

        try:
            async with asyncio.timeout(self._stay.settings.patience):
                await self._wait_for(lambda: done() or is_over())
        except TimeoutError:
            raise Unreachable(connection.url, "it does not send the state of the room") from None
        if not done() and view.over is None:
            connection.check()
            self._check_authentication()
