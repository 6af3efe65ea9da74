"""All live rooms. Every change of a room is made in a batch of its live room.

This is flat combining. The first command that waits starts a batch, which begins when the batch before it is over. All
commands that have arrived by then are served by it. So batches grow with the load, without a timer, and an idle room
has no delay. A batch is a task of the hub, so that a cancelled client does not cancel the commands of others.

Answers are written inside the batch, before its events and before the room's next batch. So a client that has
`room-state` at `seq` n has missed no event and gets every later event once.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import TypeVar

from roomd.counters import Counters
from roomd.engine.askers import IgnoringAsker, KeptAnswer, submit_until_stored
from roomd.engine.broadcast import SeatAsker
from roomd.engine.ends import RoomEnds
from roomd.engine.live_room import LiveRoom, Pending, RoomServices
from roomd.engine.past_denials import PastDenials
from roomd.engine.ports import RETRY_AFTER, Asker, Clock, Encode, Ids, Member, RoomFigures, StorageFailed, Store
from roomd.protocol.errors import PARTICIPANT_NOT_FOUND, RATE_LIMITED, STORAGE_LOW, UNAVAILABLE, Refused
from roomd.protocol.events import Event
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.timestamps import stamp
from roomd.rooms.changes import Change, LeaveReason, RoomChanged, RoomEmptied
from roomd.rooms.commands import Attach, Confirm, Drop, EndDue, Expire, Leave, SeatCommand
from roomd.rooms.event_log import created
from roomd.rooms.lifetime import ends_at
from roomd.rooms.model import Seat, StoredRoom
from roomd.rooms.room import Command
from roomd.rooms.settings import Rules, Settings, open_room

A = TypeVar("A")

MOST_IDLE = 1000
"""The number of rooms that stay in memory while nobody is in them; a room takes a few KiB."""


class Hub:
    """All rooms in memory. It implements `ports.Rooms`. `is_shared` is that of `RoomServices`.

    They are those in which somebody has a seat or waits for one, those for which a command waits, and some that were
    left not long ago.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        clock: Clock,
        ids: Ids,
        encode: Encode,
        counters: Counters | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        self._services = RoomServices(store, rules, clock, ids, encode, counters or Counters(), is_shared=is_shared)
        self._rooms: dict[str, LiveRoom] = {}
        self._idle: dict[str, None] = {}  # codes of rooms with nobody in them; empty for longest is first
        self._denials = PastDenials()  # of the rooms that are not in memory
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends = RoomEnds(store, clock, self._end_due)
        self._last_room_id = ""  # new rooms have higher ids, so that lists of rooms stay in their order
        self.is_draining = False
        """Whether newcomers are refused, because the daemon stops or an operator wants it empty."""
        self.is_stopping = False
        """Whether the daemon stops and serves no more requests."""

    async def open(self) -> None:
        """Load every room in which somebody has a seat or waits. All of these seats are held from now on.

        Raises `StorageFailed`.
        """
        services = self._services
        self._last_room_id = await services.store.last_room_id()
        now = stamp(services.clock.wall())
        for stored in await services.store.hold_seats(now, log_events=services.rules.log_events):
            self._open_stored(stored)
        await self._ends.open()

    def when_deleted(self, call: Callable[[], None]) -> None:
        """Call `call` each time that a room was deleted."""
        self._services.on_deleted = call

    def when_shared(
        self, loaded: Callable[[str], None], lost: Callable[[str], None], unloaded: Callable[[str], None]
    ) -> None:
        """Call these as `RoomServices` says, where other processes may take rooms over."""
        self._services.on_loaded, self._services.on_lost, self._services.on_unloaded = loaded, lost, unloaded

    async def give_up(self, code: str) -> None:
        """Drop a room from memory after its running batch. The commands that wait are to be submitted again."""
        live = self._rooms.get(code)
        if live is not None:
            async with live.lock:
                if not live.is_lost and self._rooms.get(code) is live:
                    live.lose([])
                    self._lose(live)

    async def drain(self) -> None:
        """Stop the timers and finish the running batches. Drops are still accepted.

        A drop that cannot be stored now does no harm: the next start holds every seat.
        """
        self.is_draining = self.is_stopping = True
        for live in self._rooms.values():
            live.stop_timer()
        await self._ends.close()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def use(self, rules: Rules) -> None:
        """Use other rules from now on, for all rooms. What was promised before stays, like the end of a hold."""
        self._services.rules = rules
        for live in self._rooms.values():
            if live.room is not None:
                live.room.rules = rules

    def statistics(self) -> dict[str, int]:
        """Return the number of rooms that are in use, and of their members."""
        return {
            "rooms": len(self._rooms) - len(self._idle),
            "listeners": sum(len(live.broadcast.members) for live in self._rooms.values()),
        }

    def in_use(self) -> Iterator[RoomFigures]:
        """Iterate over the rooms in which somebody has a seat or waits, or for which a command waits."""
        for code, live in self._rooms.items():
            if code not in self._idle:
                members, room = len(live.broadcast.members), live.room
                places = live.broadcast_seat_count + (len(room.hidden) if room is not None else 0)
                yield RoomFigures(
                    code=code,
                    members=members,
                    held=max(0, places - members),
                    waiting=len(room.queue) if room is not None else 0,
                    commands=live.commands,
                )

    def problems(self) -> list[str]:
        """Return why rooms cannot be served as they should be now; nothing when all is well."""
        store = self._services.store
        problems = {"the last commit failed": store.is_failing(), "storage is nearly full": store.is_nearly_full()}
        return [text for text, is_so in problems.items() if is_so]

    async def create(self, settings: Settings, host_id: str, external_id: str | None = None) -> RoomView:
        """Create a room and store it. The host is that of the settings, or else `host_id`.

        Raises `Refused` (400 `invalid_settings`, 503 `unavailable`, 507 `storage_low`), and `ExternalIdTaken`.
        """
        services = self._services
        wall = services.clock.wall()
        self._last_room_id = services.ids.new_id(wall, self._last_room_id)
        view = open_room(
            settings,
            services.rules,
            room_id=self._last_room_id,
            code=services.ids.new_code(),
            host_id=host_id,
            created_at=(created_at := stamp(wall)),
            external_id=external_id,
        )
        if services.store.is_nearly_full():
            raise Refused(STORAGE_LOW)
        changes: list[Change] = [RoomChanged(view)]
        if view.end_when_empty is not None:
            changes.append(RoomEmptied(created_at))
        try:
            events = [created(view)] if services.rules.log_events else []
            await services.store.append(view.id, changes, events)
        except StorageFailed:
            raise Refused(UNAVAILABLE, retry_after=RETRY_AFTER) from None
        if (end := ends_at(view, created_at)) is not None:
            self._ends.watch(end)
        return view

    def submit(self, code: str, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        """Submit a command to the room `code`. The future is done when the asker was answered."""
        return self._submit(self._live(code), command, asker)

    async def ask(self, code: str, command: Command[A]) -> A:
        """Submit a command to the room `code` and return the answer.

        Raises `Refused`.
        """
        answer: KeptAnswer[A] = KeptAnswer()
        await self.submit(code, command, answer)
        return answer.get()

    def take_seat(self, code: str, command: SeatCommand | Attach, member: Member) -> asyncio.Future[None]:
        """Submit a join or a resume to the room `code`. The future is done when the member was answered.

        With `Attach`, the member is sent a snapshot, or its place in the queue, again. After that the member gets the
        room's events.
        """
        live = self._live(code)
        return self._submit(live, command, SeatAsker(live.broadcast, command, member))

    def leave(self, code: str, participant_id: str, claim: int, reason: LeaveReason) -> None:
        """Give up a seat for this reason. When storage fails, this is tried again until it succeeds."""
        submit_until_stored(self, self._services.clock, code, Leave(participant_id, claim, reason))

    def drop(
        self, code: str, participant_id: str, claim: int, hold: float = math.inf, *, is_late: bool = False
    ) -> None:
        """Hold a seat whose connection was lost now, for at most `hold` seconds; see `Drop` for `is_late`.

        When storage fails, this is tried again until it succeeds.
        """
        submit_until_stored(self, self._services.clock, code, Drop(participant_id, claim, 0.0, hold, is_late))

    def confirm(self, code: str, participant_id: str, claim: int) -> None:
        """Void the previous resume token of a seat: its client has the current one.

        This is not tried again when storage fails: then the token is valid until the next resume.
        """
        if not self.is_stopping:
            self.submit(code, Confirm(participant_id, claim), IgnoringAsker())

    def unsubscribe(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member no more events of the room: its client has taken another seat."""
        live = self._rooms.get(code)
        if live is not None:
            live.broadcast.unsubscribe(participant_id, member)

    def refresh(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member that has left out events a new snapshot, or its place in the queue.

        The batch that is running, or else the next one, sends it before its events. When storage fails, this is tried
        again until it succeeds.
        """
        live = self._rooms.get(code)
        if live is not None and live.broadcast.refresh_later(participant_id, member) and not self.is_stopping:
            self._expire(code)

    def relay(self, code: str, participant_id: str, event: Event, asker: Asker[None]) -> None:
        """Send an event to one connected participant at once, and answer the asker; see `ports.Rooms`."""
        self.relay_frame(code, participant_id, self._services.encode(event), asker)

    def relay_frame(self, code: str, participant_id: str, frame: bytes, asker: Asker[None]) -> None:
        """Send an event, as a whole frame, like `relay`."""
        live = self._rooms.get(code)
        member = live.broadcast.members.get(participant_id) if live is not None else None
        if member is None or not member.is_open or live is None or live.is_hidden(participant_id):
            asker.refused(Refused(PARTICIPANT_NOT_FOUND))
        elif member.is_behind:
            asker.refused(Refused(RATE_LIMITED, retry_after=RETRY_AFTER))
        else:
            member.events(frame)
            asker.answered(None)

    def seats_in(self, code: str) -> int:
        """Return the number of seats of a room after its last batch; 0 for a room that is not in memory."""
        live = self._rooms.get(code)
        return live.broadcast_seat_count if live is not None else 0

    def seat_hold(self) -> float:
        """Return the seconds for which seats are held."""
        return self._services.rules.seat_hold

    def codes(self) -> list[str]:
        """Return the codes of the rooms in memory."""
        return list(self._rooms)

    def has(self, code: str) -> bool:
        """Return whether a room is in memory."""
        return code in self._rooms

    def is_serving(self, code: str) -> bool:
        """Return whether a batch of a room is running, or a command waits for the next one."""
        live = self._rooms.get(code)
        return live is not None and (live.lock.locked() or bool(live.inbox))

    def members_of(self, code: str) -> dict[str, Member]:
        """Return who is sent the events of a room, or waits in its queue, by participant id."""
        live = self._rooms.get(code)
        if live is None:
            return {}
        return {key: asker.member for key, asker in live.broadcast.waiters.items()} | live.broadcast.members

    def places(self, code: str) -> list[Seat]:
        """Return the seats, the places in the queue and the hidden places of a room, if it is in memory."""
        live = self._rooms.get(code)
        return live.room.places if live is not None and live.room is not None else []

    def unattached(self, code: str) -> list[Seat]:
        """Return the places of a room whose connections exist, and are sent no events from here."""
        members = self.members_of(code)
        return [seat for seat in self.places(code) if seat.claim is not None and seat.participant.id not in members]

    def _live(self, code: str) -> LiveRoom:
        live = self._rooms.get(code)
        if live is None:
            live = self._rooms[code] = LiveRoom(code, self._services, self._denials.take(code))
        self._idle.pop(code, None)
        return live

    def _submit(self, live: LiveRoom, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        pending = Pending(command, asker, done, self._services.clock.monotonic())
        live.inbox.append(pending)
        if len(live.inbox) == 1:
            self._start_batch(live)
        return pending.done

    def _start_batch(self, live: LiveRoom) -> None:
        task = asyncio.get_running_loop().create_task(self._batch(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _batch(self, live: LiveRoom) -> None:
        """Serve every command that waits when the room's lock is free."""
        async with live.lock:
            if live.is_lost:
                return  # its commands were refused
            batch = live.take_batch()
            if live.inbox:
                self._start_batch(live)
            pause = 0.0 if await live.serve(batch) else RETRY_AFTER
            if live.is_lost:
                self._lose(live)
                return
            self._set_timer(live, pause)
            if live.room is not None and live.room.ends_at is not None:
                self._ends.watch(live.room.ends_at)
            if not live.inbox:
                self._unload_if_empty(live)

    def _set_timer(self, live: LiveRoom, at_least: float = 0.0) -> None:
        if self.is_stopping:
            live.stop_timer()
        else:
            live.set_timer(self._expire, at_least)

    def _expire(self, code: str) -> None:
        self.submit(code, Expire(), IgnoringAsker())

    async def _end_due(self, code: str) -> bool:
        """End a room if it has to end by itself now. Return whether it did."""
        try:
            return await self.ask(code, EndDue())
        except Refused:
            return False

    def _open_stored(self, stored: StoredRoom) -> None:
        """Load a room at the start."""
        live = self._live(stored.view.code)
        live.open_stored(stored)
        self._set_timer(live)

    def _lose(self, live: LiveRoom) -> None:
        """Drop a room from memory that another process may have."""
        live.stop_timer()
        self._idle.pop(live.code, None)
        del self._rooms[live.code]
        self._services.on_lost(live.code)

    def _unload_if_empty(self, live: LiveRoom) -> None:
        """Unload a room with nobody in it. One that takes little memory stays, as one of `MOST_IDLE`."""
        if live.room is not None and not live.room.is_empty:
            return
        self._idle[live.code] = None
        room = live.room
        if room is None or room.bans or room.messages or room.sent or room.denials:
            self._unload(live)
        elif len(self._idle) > MOST_IDLE:
            self._unload(self._rooms[next(iter(self._idle))])

    def _unload(self, live: LiveRoom) -> None:
        del self._idle[live.code], self._rooms[live.code]
        self._services.on_unloaded(live.code)
        if live.denials:
            self._denials.keep(live.code, live.denials, self._services.clock.monotonic())
