"""What the live rooms need of others, and what they offer. The daemon puts the parts together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from roomd.protocol.errors import Refused
from roomd.protocol.events import Event
from roomd.protocol.objects import Message, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Change
from roomd.rooms.commands import SeatCommand
from roomd.rooms.model import StoredRoom, WaitsFor
from roomd.rooms.room import Command
from roomd.rooms.settings import Settings

A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)

RETRY_AFTER = 1.0
"""Seconds until something that must be kept is tried again after storage failed."""


class StorageFailed(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """The database did not take or give what was asked; nothing was changed."""

    lasting = False
    """The file is not a database, or a broken one: trying again does not help."""


class Store(Protocol):
    """Where rooms are kept. Every method may raise `StorageFailed`."""

    async def append(self, room_id: str, changes: Sequence[Change]) -> None:
        """Make changes of one room durable, all or none."""

    async def load(self, code: str) -> StoredRoom | None:
        """Read a room that nobody has a seat in; None when there is none."""
        ...

    async def hold_seats(self, restarted_at: str) -> list[StoredRoom]:
        """Hold every seat, and every place in a queue, anew after a start; return their rooms."""
        ...


class Archive(Protocol):
    """Pages of what storage keeps; each is a list and the cursor of the next page, None on the last.

    Every method may raise `StorageFailed`.
    """

    async def rooms_of(
        self, host_id: str | None, is_active: bool | None, cursor: str | None, limit: int
    ) -> tuple[list[RoomView], str | None]:
        """Read a host's rooms, all rooms when `host_id` is None: newest first."""
        ...

    async def history(self, room_id: str, cursor: str | None, limit: int) -> tuple[list[Participant], str | None]:
        """Read everyone who was ever in a room, in the order they joined."""
        ...

    async def messages(self, reader: Reader, cursor: str | None, limit: int) -> tuple[list[Message], str | None]:
        """Read the messages to everyone, and to or from the reader, in the order they were sent."""
        ...


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """The time."""

    def wall(self) -> float:
        """Return seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        ...

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` after `delay` seconds."""
        ...


class Ids(Protocol):
    """Where ids and codes come from."""

    def new_id(self, wall: float, above: str = "") -> str:
        """Draw an id that sorts after every id drawn before, and after `above`."""
        ...

    def new_code(self) -> str:
        """Draw a room code."""
        ...


class Asker(Protocol[A_contra]):
    """Who asked something of a room. One of the two is called, once, before the room's events are sent."""

    def answered(self, answer: A_contra) -> None:
        """Take the answer."""

    def refused(self, refused: Refused) -> None:
        """Take the refusal."""


class SeatLost(msgspec.Struct, frozen=True):
    """Why a member has its seat, or its place in the queue, no longer, though it did not give it up."""

    cause: Literal["taken_over", "removed", "room_ended"]
    reason: str | None = None
    """The words of the host who removed the participant, if any."""


class Member(Protocol):
    """One sitting in a room, or one wait for a seat: who is told what happens there.

    The calls are made inside a room's batch, answers before events; none may wait. Their order: `queued` any number of
    times, then `refused` or `seated`, then `events`; `seat_lost` once, and nothing after it or after `refused`.
    """

    @property
    def is_open(self) -> bool:
        """Whether the member can still be told something."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether so much waits unread that what can come later should."""
        ...

    def seated(self, participant: Participant, state: bytes) -> None:
        """Take a seat. `state` is the `room-state` that follows the reply."""

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        """Wait for a seat, at a position from 1; called again when position or reason changes."""

    def refused(self, refused: Refused) -> None:
        """Get no seat: the join is refused, or the waiting has ended."""

    def seat_lost(self, lost: SeatLost) -> None:
        """Lose the seat, or the place in the queue."""

    def events(self, frames: bytes) -> None:
        """Take events of the room: whole frames, the same bytes for every member."""


Encode = Callable[[Event], bytes]
"""Write an event as the frame that every member gets."""


class Rooms(Protocol):
    """All rooms, as the gateway sees them, wherever they are."""

    @property
    def is_draining(self) -> bool:
        """Whether the server is about to stop: no more requests are taken."""
        ...

    def submit(self, code: str, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        """Put a command before the room `code`; the future is done when the asker has been told."""
        ...

    async def ask(self, code: str, command: Command[A]) -> A:
        """Put a command before the room `code` and return the answer.

        Raises `Refused`.
        """
        ...

    def take_seat(self, code: str, command: SeatCommand, member: Member) -> asyncio.Future[None]:
        """Put a join or a resume before the room `code`; the future is done when the member has been told."""
        ...

    def leave(self, code: str, participant_id: str, claim: int) -> None:
        """Give a seat up, however long storage fails."""

    def drop(self, code: str, participant_id: str, claim: int) -> None:
        """Hold a seat whose connection is gone from now on, however long storage fails."""

    def silence(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member no more events of this room: its client takes another seat."""

    def relay(self, code: str, participant_id: str, event: Event) -> None:
        """Send an event straight to one participant who is connected.

        Raises `Refused`: 404 `participant_not_found`; 429 `rate_limited` while the participant is behind with reading,
        so that the one who floods them hears of it.
        """

    async def create(self, settings: Settings, host_id: str) -> RoomView:
        """Make a room and keep it.

        Raises `Refused` (400 `invalid_settings`, 503 `unavailable`).
        """
        ...

    def seats_in(self, code: str) -> int:
        """Count the seats of a room that clients have been told of; 0 for a room that is not in memory."""
        ...
