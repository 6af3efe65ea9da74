"""One client's desk: who it is, where it sits, and the ways a room's answer reaches it.

What each request comes to stands in `requests.py`. Answers that a room gives are written inside the room's turn (see
hub and delivery).
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from roomd.auth.keys import KeySource
from roomd.auth.tokens import Identity, Policy, verify
from roomd.config import LimitsConfig
from roomd.engine.hub import Hub
from roomd.gateway.limits import TokenBucket
from roomd.gateway.outbox import Outbox, text_frame
from roomd.gateway.session import Place, Session
from roomd.ice import Ice
from roomd.protocol import events, replies, requests
from roomd.protocol.codec import encode, error_reply
from roomd.protocol.errors import RATE_LIMITED, UNAVAILABLE, Close, Refused
from roomd.rooms import commands
from roomd.rooms.commands import Queued
from roomd.storage.sqlite import Store
from roomd.system.clock import Clock
from roomd.system.ids import Ids, ResumeToken

log = logging.getLogger("roomd.gateway.desk")


class Hangup(Exception):  # noqa: N818 - an end, not an error
    """This connection is over, and the client is told so with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Services(msgspec.Struct, frozen=True):
    """What every connection shares."""

    hub: Hub
    store: Store
    keys: KeySource
    policy: Policy
    clock: Clock
    ids: Ids
    limits: LimitsConfig
    ice: Ice
    owners: Iterator[int]
    """Numbers that no sitting has had."""


class Desk:
    """Where one client is answered: who it is, where it sits, and what becomes of that."""

    __slots__ = ("_gone", "_services", "_session", "_told", "number", "outbox")

    def __init__(self, number: int, outbox: Outbox, services: Services) -> None:
        self.number = number
        """Of the connection, for the log."""
        self.outbox = outbox
        self._services = services
        self._session = Session(services.policy.leeway)
        self._gone = False
        limits = services.limits
        self._told = TokenBucket(limits.told_rate, limits.told_burst, services.clock.monotonic())

    @property
    def has_joined(self) -> bool:
        """Say whether a room has let the client in, or wait, before."""
        return self._session.has_joined

    async def identify(self, token: str) -> Identity:
        """Verify a token.

        Raises `Refused` (401 `invalid_token` or `token_expired`, 503 `unavailable`).
        """
        services = self._services
        return verify(token, await services.keys.keys_for(token), services.policy, services.clock.wall())

    def authenticate(self, identity: Identity) -> None:
        """Take a verified identity on.

        Raises `Refused` (403 `wrong_user`).
        """
        self._session.authenticate(identity)

    def send(self, frame: replies.Reply | events.Event) -> None:
        """Write a reply, or an event that concerns this client alone."""
        self.outbox.send(text_frame(encode(frame)))

    def refuse(self, refused: Refused, to: replies.RequestId | None) -> None:
        """Answer a request with an error."""
        log.info("refused", {"connection": self.number, "code": refused.kind.code})
        self.send(error_reply(refused, to))

    def unseated(self, participant_id: str) -> None:
        """Hear from the hub that the seat, or the place in the queue, is another connection's now, or nobody's."""
        self._session.stand_up(participant_id)

    def let_go(self) -> None:
        """Drop seat and place; what a turn still under way is about to give is dropped when it comes (`_leave_for`)."""
        self._gone = True
        for place in self._session.places:
            self._drop(place)
            self._session.stand_up(place.participant.id)

    def _drop(self, place: Place) -> None:
        command = commands.Drop(place.participant.id, place.owner, self._services.clock.now())
        self._services.hub.release(place.code, command)

    def _ask(
        self, code: str, command: commands.Command, request: requests.Request, reply: Callable[[Any], replies.Reply]
    ) -> Awaitable[None]:
        """Put a command before a room; its answer is written inside the turn."""

        def respond(answer: Any, _: bytes) -> None:
            if isinstance(answer, Refused):
                self.refuse(answer, request.id)
            else:
                self.send(reply(answer))

        return self._services.hub.submit(code, command, respond)

    def _do(
        self, code: str, command: commands.Command, request: requests.Request, *, answer: bool = False
    ) -> Awaitable[None]:
        """Put a command before a room whose success needs no words: `ok` where the request has an `id`, or always."""

        def respond(outcome: Any, _: bytes) -> None:
            if isinstance(outcome, Refused):
                self.refuse(outcome, request.id)
            elif answer:
                self.send(replies.OkReply(id=request.id))
            else:
                self._acknowledge(request)

        return self._services.hub.submit(code, command, respond)

    def _acknowledge(self, request: requests.Request) -> None:
        if request.id is not None:
            self.send(replies.OkReply(id=request.id))

    def _take_seat(
        self, code: str, command: commands.Join | commands.Resume, request: requests.Request, secret: str
    ) -> Awaitable[None]:
        """Put a join before a room; it is answered again when its waiting changes or ends."""
        waits: list[str] = []

        def respond(answer: Any, state: bytes) -> None:
            if isinstance(answer, Refused):
                self.refuse(answer, request.id)
                return
            place = Place(code, answer.participant if isinstance(answer, Queued) else answer, command.owner)
            token = str(ResumeToken(code, place.participant.id, secret))
            if isinstance(answer, Queued):
                first = not waits
                if first:
                    waits.append(place.participant.id)
                    self._leave_for(place, self._session.wait(place), "waits")
                self.send(
                    replies.WaitingReply(
                        id=request.id if first else None,
                        participant_id=place.participant.id,
                        position=answer.position,
                        reason=answer.reason,
                        resume_token=token if first else None,
                    )
                )
            else:
                self._leave_for(place, self._session.sit(place), "joined")
                reply = replies.ParticipantReply(id=request.id, participant=answer, resume_token=token)
                self.outbox.send(text_frame(encode(reply)), state)

        return self._services.hub.submit(code, command, respond, self)

    def _leave_for(self, place: Place, others: list[Place], what: str) -> None:
        """Leave the places of before, now that this one is had."""
        log.info(
            what,
            {"connection": self.number, "room": place.participant.room_id, "participant": place.participant.id},
        )
        for other in others:
            self._services.hub.silence(other.code, other.participant.id, self)
            self._services.hub.release(other.code, commands.Leave(other.participant.id, other.owner))
        if self._gone:  # the client went while the turn was under way
            self._drop(place)

    def _host(self, request: requests.HostRequest) -> tuple[str, commands.Caller]:
        """Say which room a host means, and who asks.

        Raises `Refused` (400 `not_in_room`, 401 `unauthenticated`, 403 `wrong_room`, 404 `room_not_found`).
        """
        code = self._session.room_code(self._session.here().code if request.code is None else request.code)
        return code, self._session.caller(code, self._wall())

    def _count_told(self, size: int) -> None:
        """Hold what a client has told to others to its limit (bytes).

        Raises `Refused` (429 `rate_limited`).
        """
        if wait := self._told.take(self._services.clock.monotonic(), size):
            raise Refused(RATE_LIMITED, retry_after=math.ceil(wait * 1000) / 1000)

    def _wall(self) -> float:
        return self._services.clock.wall()


def end_of(refused: Refused) -> Hangup:
    """Say how a connection ends whose token was not accepted."""
    if refused.kind is UNAVAILABLE:  # the issuer's keys cannot be had now
        return Hangup(Close.CONNECTION_LIMIT, refused.kind.code)
    return Hangup(Close.BAD_TOKEN, refused.kind.code)
