"""One client: its session, its outbox, and the replies that it gets for the answers of rooms.

The handlers of its requests are in `handlers`.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from roomd.auth.tickets import mint_token, read_ticket
from roomd.auth.tokens import Identity, Key, Policy, verify
from roomd.engine.moving import Uncertain
from roomd.gateway.askers import OkAsker, ReplyAsker
from roomd.gateway.connection_log import ConnectionLog
from roomd.gateway.outbox import Outbox, encode_frame
from roomd.gateway.services import Services
from roomd.gateway.session import Session
from roomd.gateway.sitting import Sitting
from roomd.limits.ledger import Use
from roomd.limits.ledgers import SLOWED_MOST
from roomd.limits.usage import Charge, Usage
from roomd.protocol.codec import error_reply
from roomd.protocol.errors import INVALID_TOKEN, Close, Refused, rate_limited
from roomd.protocol.events import Event
from roomd.protocol.replies import OkReply, Reply, RequestId
from roomd.protocol.requests import HostRequest, Request
from roomd.rooms.commands import SeatCommand
from roomd.rooms.model import Caller
from roomd.rooms.room import Command

log = logging.getLogger("roomd.gateway.client")

A = TypeVar("A")
V = TypeVar("V")

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Watch(Protocol):
    """What a client follows of the event log; see `watching.py`."""

    def drained(self) -> None:
        """Send more: everything that waited for the client was sent."""

    def end(self) -> None:
        """Send nothing more."""


class Client:
    """One client: its identity, its seats, and the frames that it is sent.

    `lines` is what the log has of its connection, `usage` what it uses. `spawn` starts a task and owns it.
    """

    __slots__ = (
        "_told",
        "_told_before",
        "clean_hold",
        "has_ended",
        "is_sent_away",
        "lines",
        "number",
        "outbox",
        "services",
        "session",
        "spawn",
        "usage",
        "watch",
    )  # fmt: skip

    def __init__(self, lines: ConnectionLog, outbox: Outbox, usage: Usage, services: Services, spawn: Spawn) -> None:
        self.number = lines.number
        """The number of the connection, for the log."""
        self.outbox = outbox
        self.usage = usage
        self.services = services
        self.spawn = spawn
        """Starts a task of the client; its owner awaits it."""
        self.lines = lines
        """What the log has of the connection."""
        address = usage.address
        address_key = services.address_key(address) if address is not None else None
        self.session: Session[Sitting] = Session(services.policy.leeway, services.ids.of_run(lines.number), address_key)
        self.has_ended = False
        """Whether the connection has ended. If a running batch later grants a seat, the seat is dropped."""
        self.is_sent_away = False
        """Whether the connection was closed because no room can be served."""
        self.clean_hold = math.inf
        """The seconds for which the client's places are held after it has closed with 1000 or 1001, if fewer than the
        configured ones."""
        self.watch: Watch | None = None
        """What the client follows of the event log; None while it does not."""
        # The sittings whose new resume token was sent in this tick, and those in the tick before. Both are seldom used.
        self._told: tuple[Sitting, ...] = ()
        self._told_before: tuple[Sitting, ...] = ()

    @property
    def has_joined(self) -> bool:
        """Whether a room has ever given the client a seat or a place in a queue, or the client follows the log."""
        return self.session.has_joined or self.watch is not None

    def identify_at_once(self, token: str) -> Identity | None:
        """Verify a token like `identify`, if the keys for it are at hand; return None if they must be fetched first.

        Raises `Refused` (401 `invalid_token` or `token_expired`).
        """
        services = self.services
        try:
            keys = services.keys.keys_at_hand(token)
            return None if keys is None else verify(token, keys, services.policy, services.clock.wall())
        except Refused as refused:
            self.lines.token_refused(refused)
            raise

    async def identify(self, token: str) -> Identity:
        """Verify a token and return its identity. Log why the first token is refused, and never the token.

        Raises `Refused` (401 `invalid_token` or `token_expired`, 503 `unavailable`).
        """
        return await self._verified(token, verify)

    async def exchange(self, text: str) -> tuple[Identity, str]:
        """Verify a ticket and return its identity, and a token for it. The ticket is used up then.

        Raises `Refused` like `identify`, 401 `invalid_token` also for a ticket that was used before, and 403
        `wrong_user`; and `StorageFailed`, after which the ticket may still be good.
        """
        services, now = self.services, self.services.clock.wall()
        ticket = await self._verified(text, read_ticket)
        self.session.check_user(ticket.identity)
        if not await services.used_tickets.use_ticket(ticket.key, ticket.valid_until, now):
            raise Refused(INVALID_TOKEN, "The ticket was used before")
        return ticket.identity, mint_token(ticket, services.own_key, services.policy, now)

    async def _verified(self, text: str, verify: Callable[[str, Sequence[Key], Policy, float], V]) -> V:
        services = self.services
        source = None
        try:
            while source is not services.keys:  # a reload may replace the source while its keys are fetched
                source = services.keys
                keys = await source.keys_for(text)
            return verify(text, keys, services.policy, services.clock.wall())
        except Refused as refused:
            self.lines.token_refused(refused)
            raise

    def authenticate(self, identity: Identity) -> None:
        """Set the identity of the client, which `identify` returned.

        Raises `Refused` (403 `wrong_user`).
        """
        self.session.authenticate(identity)
        self.usage.has_token(identity.user_id, self.now())

    def send(self, frame: Reply | Event) -> None:
        """Send a reply, or an event for this client only."""
        self.outbox.send(encode_frame(frame))

    def refuse(self, refused: Refused, to: RequestId | None) -> None:
        """Charge and send an error reply to the request with this `id`; None without a request or an `id`.

        Where it stays unknown what became of the request, close the connection instead.
        """
        if isinstance(refused, Uncertain):
            self.outbox.close(Close.CONNECTION_LIMIT, "storage is unavailable")
            return
        self.usage.failed(refused.kind, self.now())
        self.send_refusal(refused, to)

    def send_refusal(self, refused: Refused, to: RequestId | None) -> None:
        """Send an error reply that was charged already."""
        self.services.counters.refusals[refused.kind.code] += 1
        self.lines.refused(refused.kind.code)
        self.send(error_reply(refused, to))

    def acknowledge(self, request: Request) -> None:
        """Send `ok`, unless the request has no `id` and its type needs no reply."""
        if request.id is not None or not request.is_quiet:
            self.send(OkReply(id=request.id))

    def release(self, *, is_clean: bool = False) -> None:
        """Drop the client's seat and its place in a queue: the connection has ended.

        `is_clean` is whether the client has closed it with 1000 or 1001.
        """
        self.has_ended = True
        self.end_watch()
        if not is_clean:
            self.clean_hold = math.inf
        for place in self.session.places:
            self.services.rooms.drop(
                place.code, place.participant.id, place.claim, self.clean_hold, is_late=self.is_sent_away
            )
            self.session.release(place.participant.id)
        self._told = self._told_before = ()  # they refer to this client: no cycle of references is left

    def drained(self) -> None:
        """Have the rooms send what the client has missed: everything that waited for it was sent."""
        for place in self.session.places:
            place.catch_up()
        if self.watch is not None:
            self.watch.drained()

    def end_watch(self) -> None:
        """Follow the event log no more."""
        if self.watch is not None:
            self.watch.end()
            self.watch = None

    def expect_arrival(self, sitting: Sitting) -> None:
        """Note that a new resume token was sent while the client may still resume with the previous one."""
        self._told = (*self._told, sitting)

    def take_told(self) -> list[bytes]:
        """Return the payloads of the pings that ask whether the client has got its resume tokens. Called every tick.

        A token is asked about a tick later, so that a client whose connection is lost with the reply can come back.
        """
        due, self._told_before, self._told = self._told_before, self._told, ()
        return [_payload(sitting) for sitting in due if sitting in self.session.places]

    def arrived(self, payload: bytes) -> None:
        """Void the previous resume token: the client has answered the ping with this payload."""
        for place in self.session.places:
            if _payload(place) == payload:
                self.services.rooms.confirm(place.code, place.participant.id, place.claim)

    def ask(
        self, code: str, command: Command[A], request: Request, reply: Callable[[A], Reply]
    ) -> asyncio.Future[None]:
        """Submit a command to a room. `reply` builds the reply from its answer. The future is done when it was sent."""
        return self.services.rooms.submit(code, command, ReplyAsker(self, request, reply))

    def ask_ok(self, code: str, command: Command[None], request: Request) -> asyncio.Future[None]:
        """Submit a command to a room and answer with `ok`. The future is done when that was sent."""
        return self.services.rooms.submit(code, command, OkAsker(self, request))

    def take_seat(self, code: str, command: SeatCommand, request: Request, secret: str) -> asyncio.Future[None]:
        """Submit a join or a resume to a room. `secret` is that of the new resume token.

        The future is done when the reply was sent.
        """
        sitting = Sitting(self, code, command, request.id, secret)
        return self.services.rooms.take_seat(code, command, sitting)

    def room_and_caller(self, request: HostRequest) -> tuple[str, Caller]:
        """Return the code of the room that a host's request is about, and its caller.

        Raises `Refused` (400 `not_in_room`, 401 `unauthenticated`, 403 `wrong_room`, 404 `room_not_found`).
        """
        code = self.session.room_code(self.session.own_seat().code if request.code is None else request.code)
        return code, self.session.caller(code, self.wall())

    def ask_charged(
        self, place: Sitting, command: Command[None], request: Request, charge: Charge
    ) -> asyncio.Future[None]:
        """Charge what the room and its members get, submit a command about it like `ask_ok`, and await the answer.

        What the room refuses is not charged. Who has host rights does not wait for what others in the room have used.
        Raises `Refused` (429 `rate_limited`).
        """
        now = self.now()
        wait = self.usage.take(charge, now)
        if wait and self._is_host(place):
            wait = self.usage.take(charge, now, waits_for_room=False)
        if wait:
            self.usage.note_refused(charge, now)
            raise rate_limited(wait)
        return self.services.rooms.submit(place.code, command, OkAsker(self, request, charge))

    def give_back(self, charge: Charge) -> None:
        """Take back the charge of something that the room has refused."""
        self.usage.give_back(charge, self.now())

    def charge(self, use: Use, amount: int) -> None:
        """Charge what concerns nobody but the client.

        Raises `Refused` (429 `rate_limited`).
        """
        if wait := self.usage.take_own(use, amount, self.now()):
            raise rate_limited(wait)

    def charge_return(self, size: int) -> None:
        """Charge the `size` bytes of a room's state for a client that comes back: it is slowed, and never refused."""
        if wait := self.usage.return_to(size, self.now()):
            self.outbox.hold_reading(min(wait, SLOWED_MOST))

    def check_read(self) -> None:
        """Check that the client may read stored rows, or a list of people.

        Raises `Refused` (429 `rate_limited`).
        """
        self.charge(Use.READ, 0)

    def charge_read(self, rows: int) -> None:
        """Charge rows that were read for the client. `check_read` refuses the next request if these are too many."""
        self.usage.payer.charge(Use.READ, rows, self.now())

    def charge_told(self, size: int) -> None:
        """Charge the `size` bytes that others were told. The next such request is refused if these are too many."""
        self.usage.payer.charge(Use.TOLD, size, self.now())

    def _is_host(self, place: Sitting) -> bool:
        """Return whether the client has host rights in the room of its place, as far as its last reply says."""
        if place.participant.role != "member":
            return True
        caller = self.session.caller_by_seat(place.code)
        return caller.is_admin or caller.is_cohost

    def now(self) -> float:
        """Return seconds of the monotonic clock."""
        return self.services.clock.monotonic()

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self.services.clock.wall()


def _payload(sitting: Sitting) -> bytes:
    """Return the payload of the ping for a sitting: its claim, which no other sitting has."""
    return sitting.claim.to_bytes(8)
