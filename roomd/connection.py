"""One client's conversation: read a frame, serve it, answer it; and let go of the seat when the client is gone.

Requests are served one after another. Answers that a room gives are written inside the room's turn (see hub), the
others here. Whatever a client sends, it gets a reply or a close code from docs/protocol.md, section 9.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from roomd import commands, frames
from roomd.clock import Clock, stamp
from roomd.codec import BadFrame, decode, encode, error_reply, request_id
from roomd.config import LimitsConfig
from roomd.errors import (
    INTERNAL_ERROR,
    INVALID_SETTINGS,
    NOT_IN_ROOM,
    RATE_LIMITED,
    RESTARTING,
    SEAT_EXPIRED,
    UNAVAILABLE,
    Close,
    Refused,
)
from roomd.hub import RETRY_AFTER, Hub
from roomd.ids import Ids, ResumeToken, hash_secret
from roomd.keys import KeySource
from roomd.limits import RequestLimit
from roomd.names import clean_code
from roomd.outbox import Outbox, text_frame
from roomd.session import Place, Session
from roomd.store import StorageFailed, Store, page
from roomd.tokens import Identity, Policy, verify

log = logging.getLogger("roomd.connection")

CLOSE_TIMEOUT = 4.0
"""Seconds a client gets to answer a close before its connection is cut."""

BAD_TOKEN_GRACE = 1.0
"""Seconds that a connection with a bad token may take for its first request, whose reply then says so."""

RESTART_AFTER = 2.0
"""Seconds after which a client that asked during the drain may come back."""

TOO_MANY = "kept sending past the rate limit"

PAGE = 100
"""Rooms or participants in a page when the client does not say."""


class Hangup(Exception):  # noqa: N818 - an end, not an error
    """This connection is over, and the client is told so with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Services(NamedTuple):
    """What every connection shares."""

    hub: Hub
    store: Store
    keys: KeySource
    policy: Policy
    clock: Clock
    ids: Ids
    limits: LimitsConfig
    owners: Iterator[int]
    """Numbers that no sitting has had."""


class Connection:
    """One client, from its handshake to its end."""

    def __init__(self, number: int, websocket: ServerConnection, services: Services, token: str | None) -> None:
        self.number = number
        self.outbox = Outbox(
            websocket.transport, services.limits.outbox, lambda: websocket.state is State.OPEN, self._close
        )
        self._websocket = websocket
        self._services = services
        self._token = token
        self._session = Session(services.policy.leeway)
        self._gone = False
        limits = services.limits
        self._limit = RequestLimit(limits.request_rate, limits.request_burst, services.clock.monotonic())
        self._closing: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Converse until either side closes."""
        try:
            if self._token is not None:
                await self._admit(self._token)
            while True:
                text = await self._receive(self._patience())
                if self.outbox.closed:
                    break
                await self._handle(text)
        except Hangup as hangup:
            self.outbox.close(hangup.code, hangup.reason)
        except ConnectionClosed:
            pass
        finally:
            self._let_go()
        if self._closing is not None:
            await self._discard()
            await self._closing

    def send(self, reply: frames.Reply) -> None:
        """Write a reply or an event."""
        self.outbox.send(text_frame(encode(reply)))

    def tell(self, event: frames.Event) -> None:
        """Write an event that concerns this client alone."""
        self.outbox.send(text_frame(encode(event)))

    def count_control_frame(self) -> None:
        """Hold pings and pongs, which the library answers by itself, to the limit on requests."""
        now = self._services.clock.monotonic()
        if self._limit.take(now) and self._limit.is_lost(now):
            self.outbox.close(Close.RATE_LIMITED, TOO_MANY)

    def unseated(self, participant_id: str) -> None:
        """Hear from the hub that the seat went to another connection, or that the room ended."""
        self._session.stand_up(participant_id)

    def _let_go(self) -> None:
        """Drop the seat. One that a turn still under way is about to give is dropped when it comes: see `_seat`."""
        self._gone = True
        self.outbox.closed = True
        if self._session.place is not None:
            self._drop(self._session.place)
            self._session.place = None

    def _drop(self, place: Place) -> None:
        command = commands.Drop(place.participant.id, place.owner, self._services.clock.now())
        self._services.hub.release(place.code, command)

    def _close(self, code: int, reason: str) -> None:
        level = logging.DEBUG if code == Close.RESTARTING else logging.INFO  # of a restart one line tells
        log.log(level, "closing", {"connection": self.number, "close": code})
        self._let_go()
        self._closing = asyncio.get_running_loop().create_task(self._shake_hands(code, reason))

    async def _shake_hands(self, code: int, reason: str) -> None:
        """Close in order, or cut a client off that does not let what was written before get through."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._websocket.close(code, reason)
        except TimeoutError:
            self._websocket.transport.abort()

    async def _discard(self) -> None:
        """Read on to no end: behind what the client still sent comes its answer to the close."""
        # The library asserts where a message breaks off because it closed the connection itself.
        with contextlib.suppress(ConnectionClosed, AssertionError):
            while True:
                await self._websocket.recv()

    async def _admit(self, token: str) -> None:
        """Check the token that came with the upgrade; a bad one is never a guest.

        The server says nothing before the client does, so the refusal answers the first request, or the silence.
        """
        try:
            self._session.authenticate(await self._identify(token))
        except Refused as refused:
            try:
                first = request_id(await self._receive(BAD_TOKEN_GRACE))
            except Hangup:
                first = None
            self._refuse(refused, first)
            raise _end_of(refused) from None

    async def _identify(self, token: str) -> Identity:
        """Verify a token.

        Raises `Refused` (401 `invalid_token` or `token_expired`, 503 `unavailable`).
        """
        services = self._services
        return verify(token, await services.keys.keys_for(token), services.policy, services.clock.wall())

    def _patience(self) -> float | None:
        """Seconds the client may be silent."""
        return None if self._session.has_joined else self._services.limits.join_timeout

    async def _receive(self, patience: float | None) -> str:
        """Wait for a text frame.

        Raises `Hangup` on a binary frame and after `patience` seconds of silence.
        """
        if patience is None:
            data = await self._websocket.recv()
        else:
            try:
                async with asyncio.timeout(patience):
                    data = await self._websocket.recv()
            except TimeoutError:
                raise Hangup(Close.TOO_SLOW, "silent before the first join") from None
        if isinstance(data, bytes):
            raise Hangup(Close.BINARY_FRAME, "text frames only")
        return data

    async def _handle(self, text: str) -> None:
        """Serve one frame; whatever comes of it, answer it."""
        now = self._services.clock.monotonic()
        if wait := self._limit.take(now):
            self._refuse(Refused(RATE_LIMITED, retry_after=math.ceil(wait * 1000) / 1000), request_id(text))
            if self._limit.is_lost(now):
                raise Hangup(Close.RATE_LIMITED, TOO_MANY)
            return
        request: frames.Request | None = None
        try:
            request = decode(text)
            if self._services.hub.is_draining:
                raise Refused(RESTARTING, retry_after=RESTART_AFTER)
            await _SERVE[type(request)](self, request)
        except BadFrame as bad:
            self._refuse(bad, bad.id)
        except Refused as refused:
            self._refuse(refused, request.id if request else None)
        except StorageFailed:
            self._refuse(Refused(UNAVAILABLE, retry_after=RETRY_AFTER), request.id if request else None)
        except (ConnectionClosed, Hangup):
            raise
        except Exception as exc:  # the edge of the connection: a bug costs one reply
            log.exception("request failed", {"connection": self.number, "error": type(exc).__name__})
            self._refuse(Refused(INTERNAL_ERROR), request.id if request else None)

    def _refuse(self, refused: Refused, to: frames.RequestId | None) -> None:
        log.info("refused", {"connection": self.number, "code": refused.kind.code})
        self.send(error_reply(refused, to))

    # What each request comes to.

    async def _ping(self, request: frames.Ping) -> None:
        self.send(frames.PongReply(id=request.id))

    async def _authenticate(self, request: frames.Authenticate) -> None:
        try:
            identity = await self._identify(request.token)
        except Refused as refused:
            self._refuse(refused, request.id)
            raise _end_of(refused) from None
        self._session.authenticate(identity)
        self.send(
            frames.AuthenticatedReply(id=request.id, user_id=identity.user_id, expires_at=stamp(identity.expires_at))
        )

    async def _create_room(self, request: frames.CreateRoom) -> None:
        identity = self._session.user(self._wall())
        settings = commands.Settings(
            name=request.name,
            max_participants=request.max_participants,
            allow_guest_access=request.allow_guest_access,
            waiting_room=request.waiting_room,
        )
        view = await self._services.hub.create(settings, identity.user_id)
        self.send(frames.RoomReply(id=request.id, room=view))

    async def _update_room(self, request: frames.UpdateRoom) -> None:
        code = self._session.room_code(request.code)
        settings = commands.Settings(
            name=request.name,
            is_locked=request.is_locked,
            max_participants=request.max_participants,
            allow_guest_access=request.allow_guest_access,
            waiting_room=request.waiting_room,
        )
        command = commands.Update(self._session.caller(code, self._wall()), settings)
        await self._ask(code, command, request, lambda view: frames.RoomReply(id=request.id, room=view))

    async def _get_room(self, request: frames.GetRoom) -> None:
        code = self._session.room_code(request.code)
        lapsed = self._session.lapse(code, self._wall())

        def reply(got: commands.Got) -> frames.Reply:
            return frames.RoomReply(id=request.id, room=got.room, admission=_admission(lapsed or got.refusal))

        await self._ask(code, commands.Get(self._session.holder(code)), request, reply)

    async def _list_rooms(self, request: frames.ListRooms) -> None:
        identity = self._session.user(self._wall())
        hub = self._services.hub
        views, cursor = await self._services.store.rooms_of(
            None if identity.admin else identity.user_id, request.is_active, request.cursor, request.limit or PAGE
        )
        rooms = [msgspec.structs.replace(view, participant_count=hub.seats_in(view.code)) for view in views]
        self.send(frames.RoomsReply(id=request.id, rooms=rooms, next_cursor=cursor))

    async def _end_room(self, request: frames.EndRoom) -> None:
        code = self._session.room_code(request.code)
        command = commands.End(self._session.caller(code, self._wall()))
        await self._ask(code, command, request, lambda view: frames.RoomReply(id=request.id, room=view))

    async def _join_room(self, request: frames.JoinRoom) -> None:
        guest_name = self._session.guest_name(request.guest_name)
        if request.wait:
            raise Refused(INVALID_SETTINGS, "wait is not supported by this server")
        code = self._session.room_code(request.code)
        secret = self._services.ids.new_secret()
        participant_id = self._services.ids.new_id(self._wall())
        owner = next(self._services.owners)
        command = commands.Join(
            self._session.caller(code, self._wall()), guest_name, participant_id, hash_secret(secret), owner
        )
        await self._take_seat(code, command, request, secret)

    async def _resume(self, request: frames.Resume) -> None:
        token = ResumeToken.parse(request.resume_token)
        if token is None or clean_code(token.code) != token.code:
            raise Refused(SEAT_EXPIRED)
        code = self._session.room_code(token.code)
        secret = self._services.ids.new_secret()
        command = commands.Resume(
            self._session.holder(code),
            token.participant_id,
            hash_secret(token.secret),
            hash_secret(secret),
            next(self._services.owners),
        )
        await self._take_seat(code, command, request, secret)

    async def _leave_room(self, request: frames.LeaveRoom) -> None:
        place = self._session.place
        if place is None:
            raise Refused(NOT_IN_ROOM)

        def reply(participant: frames.Participant) -> frames.Reply:
            self.unseated(participant.id)
            return frames.ParticipantReply(id=request.id, participant=participant)

        await self._ask(place.code, commands.Leave(place.participant.id, place.owner), request, reply)

    async def _list_participants(self, request: frames.ListParticipants) -> None:
        code = self._session.room_code(request.code)
        limit = request.limit or PAGE
        listed = await self._services.hub.ask(
            code, commands.List(self._session.caller(code, self._wall()), bool(request.history))
        )
        if request.history:
            people, cursor = await self._services.store.history(listed.room.id, request.cursor, limit)
        else:
            after = (p for p in listed.participants if p.id > (request.cursor or ""))
            people, cursor = page(sorted(after, key=lambda p: p.id), limit)
        self.send(frames.ParticipantsReply(id=request.id, participants=people, next_cursor=cursor))

    # What they share.

    async def _ask(
        self, code: str, command: commands.Command, request: frames.Request, reply: Callable[[Any], frames.Reply]
    ) -> None:
        """Put a command before a room; its answer is written inside the turn."""

        def respond(answer: Any, _: bytes) -> None:
            if isinstance(answer, Refused):
                self._refuse(answer, request.id)
            else:
                self.send(reply(answer))

        await self._services.hub.submit(code, command, respond)

    async def _take_seat(
        self, code: str, command: commands.Join | commands.Resume, request: frames.Request, secret: str
    ) -> None:
        def respond(answer: Any, state: bytes) -> None:
            if isinstance(answer, Refused):
                self._refuse(answer, request.id)
            else:
                self._seat(Place(code, answer, command.owner))
                token = ResumeToken(code, answer.id, secret)
                reply = frames.ParticipantReply(id=request.id, participant=answer, resume_token=str(token))
                self.outbox.send(text_frame(encode(reply)), state)

        await self._services.hub.submit(code, command, respond, self)

    def _wall(self) -> float:
        return self._services.clock.wall()

    def _seat(self, place: Place) -> None:
        """Sit down; a seat in another room is left only now that this one is had."""
        previous = self._session.sit(place)
        log.info(
            "joined",
            {
                "connection": self.number,
                "room": place.participant.room_id,
                "participant": place.participant.id,
            },
        )
        if previous is not None:
            self._services.hub.silence(previous.code, previous.participant.id, self)
            self._services.hub.release(previous.code, commands.Leave(previous.participant.id, previous.owner))
        if self._gone:  # the client went while the turn was under way
            self._drop(place)


def _end_of(refused: Refused) -> Hangup:
    """Say how a connection ends whose token was not accepted."""
    if refused.kind is UNAVAILABLE:  # the issuer's keys cannot be had now
        return Hangup(Close.CONNECTION_LIMIT, refused.kind.code)
    return Hangup(Close.BAD_TOKEN, refused.kind.code)


def _admission(refusal: Refused | None) -> frames.Admission:
    if refusal is None:
        return frames.Admission(allowed=True)
    kind = refusal.kind
    return frames.Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=refusal.message)


_SERVE: dict[type[frames.Request], Callable[[Connection, Any], Awaitable[None]]] = {
    frames.Ping: Connection._ping,
    frames.Authenticate: Connection._authenticate,
    frames.CreateRoom: Connection._create_room,
    frames.UpdateRoom: Connection._update_room,
    frames.GetRoom: Connection._get_room,
    frames.ListRooms: Connection._list_rooms,
    frames.EndRoom: Connection._end_room,
    frames.JoinRoom: Connection._join_room,
    frames.Resume: Connection._resume,
    frames.LeaveRoom: Connection._leave_room,
    frames.ListParticipants: Connection._list_participants,
}
