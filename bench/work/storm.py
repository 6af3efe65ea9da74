"""(c): a crowd joins one room at once, and the clock stops when each has its reply and knows all the others.

While the clock runs, a client's acquaintances are counted by a marker that stands once in every participant. The same
event goes to many clients, so each distinct one is counted once and then recognised by comparing bytes: all of them,
of a large one its size and both ends, and of every eighth large one all of it. What was promised by that is checked
from the parsed frames when the clock has stopped.
"""

import asyncio
import json
from typing import Any, NamedTuple

from picows import WSFrame

from bench.processes import Usage
from bench.rig import Rig
from roomd.load import Crowd, Dialect, Kind, Line, Roomd
from roomd.load.dialect import GUEST

PATIENCE = 30.0
"""Seconds for a storm; who needs longer is reported so."""
SETTLE = 0.3

LARGE = 32 * 1024
END = 256
EVERY = 8


def read_buffer(size: int) -> int:
    """Say how many bytes a state of so many people may have: buffers that grow while the clock runs are dear."""
    return max(16 * 1024, 400 * size)


async def storm(rig: Rig, crowd: Crowd[Line], code: str) -> Usage:
    """Time one rush into an empty room, from the first join sent until the last client knows everybody.

    Who is in the crowd stays in the room.
    """
    rush = Rush(rig.name, crowd)
    await crowd.until_later(SETTLE)
    start = rig.server.clock()
    for number, line in enumerate(crowd.lines):
        line.join(code, number)
    await crowd.until(rush.over, PATIENCE)
    usage = start.until(rig.server.clock())
    rush.check()
    return usage


class Told(NamedTuple):
    """An event as it came; clients that were told the same share it."""

    kind: Kind
    payload: bytes
    people: int
    names: frozenset[str]
    """Only where events repeat what others told (`Dialect.repeats`)."""


class Guest:
    """What one client of a rush was told."""

    def __init__(self) -> None:
        self.reply = b""
        self.events: list[Told] = []
        self.known = 0
        self.names: set[str] = set()
        self.has_arrived = False


class Rush:
    """A crowd on its way into one room."""

    def __init__(self, name: str, crowd: Crowd[Line]) -> None:
        self.name = name
        self.size = len(crowd.lines)
        self.dialect: Dialect = crowd.lines[0].dialect
        self.waiting = self.size
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.guests = [self._follow(line, crowd) for line in crowd.lines]
        self._told: dict[tuple[Any, ...], list[Told]] = {}
        self._large = 0

    def _follow(self, line: Line, crowd: Crowd[Line]) -> Guest:
        guest = Guest()

        def tap(frame: WSFrame) -> bool:
            if frame.payload_size < LARGE:
                return False
            self._hear(guest, self._recognise_large(frame))
            return True

        def on_frame(kind: Kind, payload: bytes) -> None:
            if kind is Kind.STATE or kind is Kind.CHANGED:
                self._hear(guest, self._recognise(payload))
            elif kind is Kind.JOINED:
                guest.reply = payload
                self._look(guest)
            else:
                crowd.fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")

        line.tap, line.on_frame = tap, on_frame
        return guest

    def _hear(self, guest: Guest, told: Told) -> None:
        guest.events.append(told)
        if self.dialect.repeats:
            guest.names |= told.names
            guest.known = len(guest.names)
        else:
            guest.known += told.people
        self._look(guest)

    def _look(self, guest: Guest) -> None:
        if guest.reply and guest.known >= self.size and not guest.has_arrived:
            guest.has_arrived = True
            self.waiting -= 1
            if not self.waiting:
                self.over.set_result(None)

    def _recognise_large(self, frame: WSFrame) -> Told:
        payload = frame.get_payload_as_memoryview()
        self._large += 1
        alike = self._told.setdefault((len(payload), bytes(payload[:END]), bytes(payload[-END:])), [])
        if alike and (self._large % EVERY or bytes(payload) == alike[0].payload):
            return alike[0]
        return self._keep(bytes(payload), alike)

    def _recognise(self, payload: bytes) -> Told:
        alike = self._told.setdefault((len(payload),), [])
        for told in alike:
            if told.payload == payload:
                return told
        return self._keep(payload, alike)

    def _keep(self, payload: bytes, alike: list[Told]) -> Told:
        kind = self.dialect.kind(payload)
        names = frozenset(self.dialect.told(kind, payload).joined if self.dialect.repeats else ())
        told = Told(kind, payload, self.dialect.people(kind, payload), names)
        alike.append(told)
        return told

    def check(self) -> None:
        """Show from the parsed frames of every client that it knew everybody, each once and in order.

        Raises `RuntimeError` otherwise.
        """
        if isinstance(self.dialect, Roomd):
            self._check_views()
            return
        everybody = {GUEST.format(number) for number in range(self.size)}
        parsed: dict[int, list[str]] = {}
        for guest in self.guests:
            names: list[str] = []
            for told in guest.events:
                if id(told) not in parsed:
                    parsed[id(told)] = self.dialect.told(told.kind, told.payload).joined
                names += parsed[id(told)]
            if set(names) != everybody or (len(names) != len(everybody) and not self.dialect.repeats):
                raise RuntimeError(f"a client was told of {len(names)} people, {len(set(names))} of them distinct")

    def _check_views(self) -> None:
        everybody = {json.loads(guest.reply)["participant"]["id"] for guest in self.guests}
        if len(everybody) != self.size:
            raise RuntimeError(f"{self.size} joins gave {len(everybody)} participants")
        parsed = {id(told): Event.parse(told.payload) for tolds in self._told.values() for told in tolds}
        for guest in self.guests:
            check_view([parsed[id(told)] for told in guest.events], everybody)


class Event(NamedTuple):
    """What an event of roomd's protocol says about who is there."""

    seq: int
    is_whole: bool
    """A room-state, not a change of one."""
    joined: frozenset[str]
    is_plain: bool
    """It tells of newcomers only, and of each once."""

    @classmethod
    def parse(cls, payload: bytes) -> "Event":
        """Read a room-state or a participants-changed."""
        frame = json.loads(payload)
        is_whole = frame["type"] == "room-state"
        people = frame["participants" if is_whole else "joined"]
        joined = frozenset(person["id"] for person in people)
        is_plain = len(joined) == len(people) and not frame.get("updated") and not frame.get("left")
        return cls(frame["seq"], is_whole, joined, is_plain)


def check_view(events: list[Event], everybody: set[str]) -> None:
    """Show that `events` are one room-state and then every later change once, and together tell of everybody.

    Raises `RuntimeError` otherwise.
    """
    if not events:
        raise RuntimeError("a client was told nothing")
    known = frozenset[str]().union(*(event.joined for event in events))
    told = sum(len(event.joined) for event in events)
    in_order = [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))
    whole_first = [event.is_whole for event in events] == [True] + [False] * (len(events) - 1)
    if not (in_order and whole_first and all(event.is_plain for event in events)):
        raise RuntimeError("a client was told events out of order, twice or not at all")
    if known != everybody or told != len(everybody):
        raise RuntimeError(f"a client was told of {told} participants, {len(known)} distinct, not {len(everybody)}")
