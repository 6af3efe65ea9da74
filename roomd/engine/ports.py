"""The interfaces of the live rooms: what they need from other parts, and what they offer. The daemon connects them."""

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar

import msgspec

from roomd.protocol.errors import Refused
from roomd.protocol.events import Event
from roomd.protocol.log_events import LogEvent
from roomd.protocol.objects import Message, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Change, LeaveReason
from roomd.rooms.commands import Attach, SeatCommand
from roomd.rooms.model import PastStay, SentId, StoredRoom, WaitsFor
from roomd.rooms.room import Command
from roomd.rooms.settings import Settings

A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)

RETRY_AFTER = 1.0
"""The seconds after which a command that must be stored is tried again when storage failed."""


class StorageFailed(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """The database could not read or write; nothing was changed."""

    is_lasting = False
    """Whether trying again does not help: the file is damaged, or it is no database."""


class AlreadySent(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """Some messages of an append are stored already, sent by the same participants with the same client ids.

    Nothing was changed. `sent` has all of them that the append contains.
    """

    def __init__(self, sent: Sequence[SentId]) -> None:
        super().__init__(f"{len(sent)} messages")
        self.sent = sent


class ExternalIdTaken(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """Another room has the external id of the one that was to be stored. Nothing was changed."""


class Store(Protocol):
    """The durable storage of rooms. Every method may raise `StorageFailed`."""

    async def append(self, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()) -> None:
        """Store changes of one room, and their log events, durably: all of them or none.

        A store that several processes share is given batches without changes, too: it confirms that the room is still
        that of this process. May raise `AlreadySent`, `ExternalIdTaken` and `moving.RoomLost`.
        """

    def is_nearly_full(self) -> bool:
        """Return whether new rooms and messages must be refused, so that everything else can still be stored."""
        ...

    def is_failing(self) -> bool:
        """Return whether the last commit failed."""
        ...

    async def load(self, code: str) -> StoredRoom | None:
        """Read a room by its code; None when there is none.

        In a store of this process alone, nobody has a seat in it: `hold_seats` has read those rooms. One that several
        processes share takes the room for this one, and may raise `moving.RoomLost`.
        """
        ...

    async def hold_seats(self, restarted_at: str, *, log_events: bool = False) -> list[StoredRoom]:
        """Hold every seat and every place in a queue as of `restarted_at`, a stamp, and return their rooms.

        With `log_events` the event log has a drop of everybody whose seat was connected.
        """
        ...

    async def last_room_id(self) -> str:
        """Read the highest id of a room; empty without rooms."""
        ...

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        """Read which rooms end by themselves next: the stamps of the times, and the codes, the earliest first."""
        ...


PART_BYTES = 512 * 1024
"""The bytes of events in one part of the log, unless a single event is larger."""


class LoggedEvents(NamedTuple):
    """A part of the event log."""

    events: Sequence[bytes]
    """The events, in their order, each as the JSON that every reader gets; see `protocol/logged.py`."""
    last: int
    """The number up to which the log was read: the events that follow have higher ones."""
    is_end: bool
    """Whether there were no events behind it."""
    read: int
    """How many events were looked at."""
    before_first: int
    """The number before that of the oldest event that is kept, in the log or in this part of it."""


class LogBounds(NamedTuple):
    """Where the event log begins and ends."""

    before_first: int
    """The number before that of the oldest event that is kept."""
    last: int
    """The number of the newest event that there ever was; 0 for none."""


class EventLog(Protocol):
    """The stored event log. Every method may raise `StorageFailed`."""

    async def log_id(self) -> str:
        """Read the id of the log, 12 hexadecimal digits. A log that may lack events which were read has a new one."""
        ...

    async def renew_log_id(self) -> None:
        """Give the log a new id, so that nobody reads on from an earlier position."""

    async def bounds(self, passed: int = 0) -> LogBounds:
        """Read where the log begins and ends.

        `passed` is a number that a reader has passed, maybe in another process: the end is not before it, if the log
        has given that number.
        """
        ...

    async def read_events(self, after: int, limit: int, rooms: Collection[str] | None = None) -> LoggedEvents:
        """Read the events after a number: at most `limit`, of the rooms with these ids, or of all for None.

        A part may have fewer events, or none, and not be the end.
        """
        ...

    async def delete_events(self, before: str, limit: int) -> int:
        """Delete the oldest events, at most `limit`, from before a stamp. Return how many were deleted."""
        ...


class Archive(Protocol):
    """Pages of stored objects. A page is a list, and the cursor of the next page; the cursor is None on the last page.

    `cursor` is that of the page before, None for the first page; `limit` is the largest number of items in a page.

    Every method may raise `StorageFailed`.
    """

    async def rooms_of(
        self,
        host_id: str | None,
        is_active: bool | None,
        cursor: str | None,
        limit: int,
        external_id: str | None = None,
    ) -> tuple[list[RoomView], str | None]:
        """Read the rooms of a host, or all rooms when `host_id` is None, newest first.

        `is_active` selects active or ended rooms, None both; `external_id` selects the room with it.
        """
        ...

    async def history(self, room_id: str, cursor: str | None, limit: int) -> tuple[list[Participant], str | None]:
        """Read everyone who was ever in a room, in the order in which they joined."""
        ...

    async def past_stay(self, code: str, participant_id: str) -> PastStay | None:
        """Read somebody who is, or was, in the room with this code; None when there is nobody."""
        ...

    async def messages(self, reader: Reader, cursor: str | None, limit: int) -> tuple[list[Message], str | None, int]:
        """Read the messages that the reader may see, in the order they were sent.

        Also returns the number of rows that were read for the page: more than it has when others wrote much.
        """
        ...


class Timer(Protocol):
    """A call that was scheduled for later."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """A source of time: both clocks, and calls at a later time."""

    def wall(self) -> float:
        """Return seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        ...

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` after `delay` seconds."""
        ...


class Ids(Protocol):
    """A source of new ids and room codes."""

    def new_id(self, wall: float, above: str = "") -> str:
        """Return an id that sorts after every earlier one and after `above`. `wall` is in seconds since the epoch."""
        ...

    def new_code(self) -> str:
        """Return a new room code: `xxx-xxx-xxx`, or a longer one of up to five groups."""
        ...


class Asker(Protocol[A_contra]):
    """The sender of a command. One of the two methods is called, once, before the events of the batch are sent."""

    def answered(self, answer: A_contra) -> None:
        """Receive the answer."""

    def refused(self, refused: Refused) -> None:
        """Receive the refusal."""


class SeatLost(msgspec.Struct, frozen=True):
    """Why a member lost its seat, or its place in the queue, without giving it up."""

    cause: Literal["taken_over", "removed", "room_ended", "dropped"]
    """What happened: another connection took the seat, a host removed the participant, the room ended, or the node of
    the connection could not reach the room, and the seat is held, or given up, since then."""
    reason: str | None = None
    """The text of the host who removed the participant; None without one."""


class Member(Protocol):
    """One client's sitting in a room, or its wait for a seat. It gets the answers and the events.

    The methods are called inside a batch of the room, the answers before the events; only `Rooms.relay` calls `events`
    outside of one. They must not block. The order of the calls: `queued` any number of times, then `refused` or
    `seated`, then `events` and `refreshed`. `seat_lost` comes at most once, and nothing comes after it or after
    `refused`.

    While too many bytes wait for its client, a member may leave out events and later places in the queue. As soon as it
    takes them again, it calls `Rooms.refresh`, and the next that it gets of a batch is `refreshed`, or `queued` again.
    """

    @property
    def is_open(self) -> bool:
        """Whether the member can still be sent anything."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether so many bytes wait for the client that events which can wait should be sent later.

        True also for a member that has left out events, until it is refreshed.
        """
        ...

    def seated(self, participant: Participant, state: bytes) -> None:
        """Receive a seat. `state` is the frame of the `room-state` that follows the reply."""

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        """Receive a place in the queue: its position, from 1, and its reason. Called again when one of them changes."""

    def refused(self, refused: Refused) -> None:
        """Receive a refusal: of the join or the resume, or of the seat after a wait."""

    def seat_lost(self, lost: SeatLost) -> None:
        """Receive that the seat, or the place in the queue, is lost."""

    def refreshed(self, state: bytes) -> None:
        """Receive a new snapshot as a frame, in place of the events that were left out."""

    def events(self, frames: bytes, *, are_last: bool = False) -> None:
        """Receive events of the room as whole frames. The last ones are never left out."""


Encode = Callable[[Event], bytes]
"""Encode an event as a whole frame, the same for every member."""


class RoomFigures(NamedTuple):
    """What an operator sees of one room."""

    code: str
    """Its code."""
    members: int
    """The seats and hidden places with a connection."""
    held: int
    """Those that are held without one."""
    waiting: int
    """The places in the queue."""
    commands: int
    """The commands that it has served since it came into memory."""


class Rooms(Protocol):
    """All rooms, as the gateway uses them."""

    is_draining: bool
    """Whether newcomers are refused, because the daemon stops or an operator wants it empty."""

    @property
    def is_stopping(self) -> bool:
        """Whether the daemon stops and serves no more requests."""
        ...

    def statistics(self) -> dict[str, int]:
        """Return the number of rooms that are in use, and of their connected members."""
        ...

    def in_use(self) -> Iterator[RoomFigures]:
        """Iterate over the rooms in which somebody has a seat or waits, or for which a command waits."""
        ...

    def submit(self, code: str, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        """Submit a command to the room `code`. The future is done when the asker was answered."""
        ...

    async def ask(self, code: str, command: Command[A]) -> A:
        """Submit a command to the room `code` and return the answer.

        Raises `Refused`.
        """
        ...

    def take_seat(self, code: str, command: SeatCommand | Attach, member: Member) -> asyncio.Future[None]:
        """Submit a join or a resume to the room `code`. The future is done when the member was answered."""
        ...

    def leave(self, code: str, participant_id: str, claim: int, reason: LeaveReason) -> None:
        """Give up a seat for this reason. When storage fails, this is tried again until it succeeds."""

    def drop(
        self, code: str, participant_id: str, claim: int, hold: float = math.inf, *, is_late: bool = False
    ) -> None:
        """Hold a seat whose connection was lost now, for at most `hold` seconds; see `Drop` for `is_late`.

        When storage fails, this is tried again until it succeeds.
        """

    def confirm(self, code: str, participant_id: str, claim: int) -> None:
        """Void the previous resume token of a seat: its client has the current one."""

    def unsubscribe(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member no more events of the room: its client has taken another seat."""

    def refresh(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member that has left out events a new snapshot, or its place in the queue.

        The batch that is running, or else the next one, sends it before its events.
        """

    def relay(self, code: str, participant_id: str, event: Event, asker: Asker[None]) -> asyncio.Future[None] | None:
        """Send an event to one connected participant at once, without a batch.

        The asker is refused with 404 `participant_not_found`, and with 429 `rate_limited` while too many bytes wait for
        the participant, so that the sender slows down. The future is done when the asker was answered; None means that
        it was answered already.
        """

    async def create(self, settings: Settings, host_id: str, external_id: str | None = None) -> RoomView:
        """Create a room and store it. The host is that of the settings, or else `host_id`.

        Raises `Refused` (400 `invalid_settings`, 503 `unavailable`, 507 `storage_low`), and `ExternalIdTaken`.
        """
        ...

    def seats_in(self, code: str) -> int:
        """Return the number of seats of a room after its last batch; 0 for a room that is not in memory."""
        ...
