"""One client: its session, its way out, and how the answers of rooms become its replies.

What each request comes to stands in `handlers.py`.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from roomd.auth.keys import KeySource
from roomd.auth.tokens import Identity, Policy, verify
from roomd.config import LimitsConfig
from roomd.engine.ports import Archive, Clock, Rooms, SeatLost
from roomd.gateway.limits import TokenBucket
from roomd.gateway.outbox import Outbox, encode_frame
from roomd.gateway.session import Session
from roomd.ice import Ice
from roomd.protocol.codec import error_reply
from roomd.protocol.errors import RATE_LIMITED, UNAVAILABLE, Close, Refused
from roomd.protocol.events import Event, Removed
from roomd.protocol.objects import Participant
from roomd.protocol.replies import OkReply, ParticipantReply, Reply, RequestId, WaitingReply
from roomd.protocol.requests import HostRequest, Request
from roomd.rooms.commands import SeatCommand
from roomd.rooms.model import Caller, WaitsFor
from roomd.rooms.room import Command
from roomd.system.ids import Ids, ResumeToken

log = logging.getLogger("roomd.gateway.client")

A = TypeVar("A")


class Hangup(Exception):  # noqa: N818 - an end, not an error
    """The connection is over, and the client is told so with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Services(msgspec.Struct, frozen=True):
    """What every connection shares."""

    rooms: Rooms
    archive: Archive
    keys: KeySource
    policy: Policy
    clock: Clock
    ids: Ids
    limits: LimitsConfig
    ice: Ice


class Client:
    """One client: who it is, where it sits, and what it is told."""

    __slots__ = ("_broadcast_limit", "is_gone", "number", "outbox", "services", "session")

    def __init__(self, number: int, outbox: Outbox, services: Services) -> None:
        self.number = number
        """Of the connection, for the log."""
        self.outbox = outbox
        self.services = services
        self.session: Session[Sitting] = Session(services.policy.leeway)
        self.is_gone = False
        """Whether the connection has ended: a seat that a running batch still grants is dropped when it comes."""
        limits = services.limits
        self._broadcast_limit = TokenBucket(limits.told_rate, limits.told_burst, services.clock.monotonic())

    @property
    def has_joined(self) -> bool:
        """Whether a room has ever given the client a seat or a place in a queue."""
        return self.session.has_joined

    async def identify(self, token: str) -> Identity:
        """Verify a token.

        Raises `Refused` (401 `invalid_token` or `token_expired`, 503 `unavailable`).
        """
        services = self.services
        return verify(token, await services.keys.keys_for(token), services.policy, services.clock.wall())

    def authenticate(self, identity: Identity) -> None:
        """Take a verified identity on.

        Raises `Refused` (403 `wrong_user`).
        """
        self.session.authenticate(identity)

    def send(self, frame: Reply | Event) -> None:
        """Write a reply, or an event that concerns this client alone."""
        self.outbox.send(encode_frame(frame))

    def refuse(self, refused: Refused, to: RequestId | None) -> None:
        """Answer a request with an error."""
        log.info("refused", {"connection": self.number, "code": refused.kind.code})
        self.send(error_reply(refused, to))

    def acknowledge(self, request: Request) -> None:
        """Answer `ok`, unless the request is one that needs no answer and has no `id`."""
        if request.id is not None or not request.is_quiet:
            self.send(OkReply(id=request.id))

    def release(self) -> None:
        """Drop seat and place: the connection has ended."""
        self.is_gone = True
        for place in self.session.places:
            self.services.rooms.drop(place.code, place.participant.id, place.claim)
            self.session.release(place.participant.id)

    def ask(
        self, code: str, command: Command[A], request: Request, reply: Callable[[A], Reply]
    ) -> asyncio.Future[None]:
        """Put a command before a room; its answer becomes the reply."""
        return self.services.rooms.submit(code, command, Question(self, request, reply))

    def do(self, code: str, command: Command[None], request: Request) -> asyncio.Future[None]:
        """Put a command before a room that is answered with `ok`."""
        return self.services.rooms.submit(code, command, Deed(self, request))

    def take_seat(self, code: str, command: SeatCommand, request: Request, secret: str) -> asyncio.Future[None]:
        """Put a join or a resume before a room. `secret` is that of the new resume token."""
        sitting = Sitting(self, code, command.claim, request.id, secret)
        return self.services.rooms.take_seat(code, command, sitting)

    def host_of(self, request: HostRequest) -> tuple[str, Caller]:
        """Return the code of the room that a host means, and who asks.

        Raises `Refused` (400 `not_in_room`, 401 `unauthenticated`, 403 `wrong_room`, 404 `room_not_found`).
        """
        code = self.session.room_code(self.session.own_seat().code if request.code is None else request.code)
        return code, self.session.caller(code, self.wall())

    def count_broadcast(self, size: int) -> None:
        """Count bytes that the client has sent to others against its limit.

        Raises `Refused` (429 `rate_limited`).
        """
        if wait := self._broadcast_limit.take(self.services.clock.monotonic(), size):
            raise Refused(RATE_LIMITED, retry_after=math.ceil(wait * 1000) / 1000)

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self.services.clock.wall()


class Sitting:
    """A client's seat in one room, or its wait for one: the `Member` that the room tells of what happens."""

    __slots__ = ("_client", "_has_waited", "_request_id", "_secret", "claim", "code", "participant")

    participant: Participant
    """Who the client is there, as it was last told; set by the first answer."""

    def __init__(self, client: Client, code: str, claim: int, request_id: RequestId | None, secret: str) -> None:
        self._client = client
        self._request_id = request_id
        self._secret = secret
        self._has_waited = False
        self.code = code
        """The room's code."""
        self.claim = claim
        """The claim by which the place is the client's."""

    @property
    def is_open(self) -> bool:
        """Whether the client can still be told something."""
        return not self._client.outbox.closed

    @property
    def is_behind(self) -> bool:
        """Whether much waits unread."""
        return self._client.outbox.is_busy()

    def seated(self, participant: Participant, state: bytes) -> None:
        """Sit down, and send the reply with the room's state behind it."""
        self.participant = participant
        self._leave(self._client.session.sit(self), "joined")
        reply = ParticipantReply(id=self._request_id, participant=participant, resume_token=self._resume_token())
        self._client.outbox.send(encode_frame(reply), state)

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        """Send the place in the queue: as the reply the first time, then as an event."""
        first, self._has_waited = not self._has_waited, True
        if first:
            self.participant = participant
            self._leave(self._client.session.wait(self), "waits")
        self._client.send(
            WaitingReply(
                id=self._request_id if first else None,
                participant_id=participant.id,
                position=position,
                reason=reason,
                resume_token=self._resume_token() if first else None,
            )
        )

    def refused(self, refused: Refused) -> None:
        """Send the error."""
        if self._has_waited:
            self._client.session.release(self.participant.id)
        self._client.refuse(refused, self._request_id)

    def seat_lost(self, lost: SeatLost) -> None:
        """Forget the place, and close where the client should not go on; a later sitting of the client stays."""
        client = self._client
        if self not in client.session.places:
            return
        client.session.release(self.participant.id)
        if lost.cause == "removed":
            client.send(Removed(reason=lost.reason))
            client.outbox.close(Close.REMOVED, "removed by the host")
        elif lost.cause == "taken_over":
            client.outbox.close(Close.TAKEN_OVER, "taken over by another connection")

    def events(self, frames: bytes) -> None:
        """Send events of the room."""
        self._client.outbox.send(frames)

    def _resume_token(self) -> str:
        return str(ResumeToken(self.code, self.participant.id, self._secret))

    def _leave(self, others: list["Sitting"], event: str) -> None:
        """Leave the places of before, now that there is this one."""
        client, participant = self._client, self.participant
        log.info(event, {"connection": client.number, "room": participant.room_id, "participant": participant.id})
        rooms = client.services.rooms
        for other in others:
            rooms.silence(other.code, other.participant.id, other)
            rooms.leave(other.code, other.participant.id, other.claim)
        if client.is_gone:  # the client went while the batch was under way
            rooms.drop(self.code, participant.id, self.claim)


class Question(Generic[A]):
    """An asker whose answer becomes a reply."""

    __slots__ = ("_client", "_reply", "_request")

    def __init__(self, client: Client, request: Request, reply: Callable[[A], Reply]) -> None:
        self._client = client
        self._request = request
        self._reply = reply

    def answered(self, answer: A) -> None:
        """Send the reply."""
        self._client.send(self._reply(answer))

    def refused(self, refused: Refused) -> None:
        """Send the error."""
        self._client.refuse(refused, self._request.id)


class Deed:
    """An asker that is answered with `ok`."""

    __slots__ = ("_client", "_request")

    def __init__(self, client: Client, request: Request) -> None:
        self._client = client
        self._request = request

    def answered(self, answer: None) -> None:  # noqa: ARG002 - there is nothing in it
        """Send `ok`."""
        self._client.acknowledge(self._request)

    def refused(self, refused: Refused) -> None:
        """Send the error."""
        self._client.refuse(refused, self._request.id)


def end_of(refused: Refused) -> Hangup:
    """Return how a connection ends whose token was not accepted."""
    if refused.kind is UNAVAILABLE:  # the issuer's keys cannot be had now
        return Hangup(Close.CONNECTION_LIMIT, refused.kind.code)
    return Hangup(Close.BAD_TOKEN, refused.kind.code)
