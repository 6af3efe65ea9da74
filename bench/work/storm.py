"""(c): a crowd joins one room at once; the clock stops when each client has its reply and knows all the others.

While the clock runs, the participants in a frame are counted by a marker that stands once in each. Many clients get the
same event, so each distinct event is counted once and then recognised by comparing bytes: all of a small one; of a
large one its size and both ends, and of every eighth large one all. When the clock has stopped, the frames are parsed,
and it is checked that each client was told what the protocol promises.
"""

import asyncio
import json
from typing import Any, NamedTuple

from picows import WSFrame

from bench.clients import GUEST, Client, Crowd, Dialect, Kind, Roomd
from bench.processes import Usage
from bench.rig import Rig

PATIENCE = 30.0
"""Seconds for a storm; a server that needs longer is listed under "Not measured"."""
SETTLE = 0.3
"""Seconds before a storm."""

LARGE = 32 * 1024
"""Bytes from which on an event is recognised by its size and its ends."""
END = 256
"""Bytes of an end."""
EVERY = 8
"""One of so many large events is compared as a whole."""


def read_buffer(size: int) -> int:
    """Return the bytes that the state of a room with `size` people may have: a buffer that grows takes time."""
    return max(16 * 1024, 400 * size)


async def storm(rig: Rig, crowd: Crowd, code: str) -> Usage:
    """Time one storm of an empty room, from the first join until the last client knows everybody.

    The clients stay in the room.
    """
    joins = Storm(crowd)
    await crowd.until_later(SETTLE)
    start = rig.server.clock()
    for number, client in enumerate(crowd.clients):
        client.join(code, number)
    await crowd.until(joins.over, PATIENCE)
    usage = start.until(rig.server.clock())
    joins.check()
    return usage


class Received(NamedTuple):
    """An event as it was received; clients that got the same bytes share it."""

    kind: Kind
    payload: bytes
    people: int
    """How many participants it tells of."""
    names: frozenset[str]
    """Their names, where events repeat what others told (`Dialect.repeats`); else empty."""


class Guest:
    """What one client received."""

    def __init__(self) -> None:
        self.reply = b""
        """The answer to its join; empty until it is there."""
        self.events: list[Received] = []
        self.known = 0
        """How many participants it was told of."""
        self.names: set[str] = set()
        """Their names, where events repeat what others told."""
        self.has_arrived = False
        """It has its reply and knows everybody."""


class Storm:
    """The clients of a crowd, from their joins until each knows all."""

    def __init__(self, crowd: Crowd) -> None:
        self.size = len(crowd.clients)
        self.dialect: Dialect = crowd.clients[0].dialect
        self.waiting = self.size
        """How many have not arrived."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.guests = [self._follow(client, crowd) for client in crowd.clients]
        self._received: dict[tuple[Any, ...], list[Received]] = {}
        self._large = 0

    def _follow(self, client: Client, crowd: Crowd) -> Guest:
        guest = Guest()

        def tap(frame: WSFrame) -> bool:
            if frame.payload_size < LARGE:
                return False
            self._add(guest, self._recognise_large(frame))
            return True

        def on_frame(kind: Kind, payload: bytes) -> None:
            if kind is Kind.STATE or kind is Kind.CHANGED:
                self._add(guest, self._recognise(payload))
            elif kind is Kind.JOINED:
                guest.reply = payload
                self._check_arrival(guest)
            else:
                crowd.fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")

        client.tap, client.on_frame = tap, on_frame
        return guest

    def _add(self, guest: Guest, event: Received) -> None:
        guest.events.append(event)
        if self.dialect.repeats:
            guest.names |= event.names
            guest.known = len(guest.names)
        else:
            guest.known += event.people
        self._check_arrival(guest)

    def _check_arrival(self, guest: Guest) -> None:
        if guest.reply and guest.known >= self.size and not guest.has_arrived:
            guest.has_arrived = True
            self.waiting -= 1
            if not self.waiting:
                self.over.set_result(None)

    def _recognise_large(self, frame: WSFrame) -> Received:
        payload = frame.get_payload_as_memoryview()
        self._large += 1
        alike = self._received.setdefault((len(payload), bytes(payload[:END]), bytes(payload[-END:])), [])
        if alike and (self._large % EVERY or bytes(payload) == alike[0].payload):
            return alike[0]
        return self._keep(bytes(payload), alike)

    def _recognise(self, payload: bytes) -> Received:
        alike = self._received.setdefault((len(payload),), [])
        for event in alike:
            if event.payload == payload:
                return event
        return self._keep(payload, alike)

    def _keep(self, payload: bytes, alike: list[Received]) -> Received:
        kind = self.dialect.kind(payload)
        names = frozenset(self.dialect.presence(kind, payload).joined if self.dialect.repeats else ())
        event = Received(kind, payload, self.dialect.count_people(kind, payload), names)
        alike.append(event)
        return event

    def check(self) -> None:
        """Check from the parsed frames that every client knew everybody, each once and in order.

        Raises `RuntimeError` otherwise.
        """
        if isinstance(self.dialect, Roomd):
            self._check_views()
            return
        everybody = {GUEST.format(number) for number in range(self.size)}
        parsed: dict[int, list[str]] = {}
        for guest in self.guests:
            names: list[str] = []
            for event in guest.events:
                if id(event) not in parsed:
                    parsed[id(event)] = self.dialect.presence(event.kind, event.payload).joined
                names += parsed[id(event)]
            if set(names) != everybody or (len(names) != len(everybody) and not self.dialect.repeats):
                raise RuntimeError(f"a client was told of {len(names)} people, {len(set(names))} of them distinct")

    def _check_views(self) -> None:
        everybody = {json.loads(guest.reply)["participant"]["id"] for guest in self.guests}
        if len(everybody) != self.size:
            raise RuntimeError(f"{self.size} joins gave {len(everybody)} participants")
        parsed = {id(event): Event.parse(event.payload) for alike in self._received.values() for event in alike}
        for guest in self.guests:
            check_view([parsed[id(event)] for event in guest.events], everybody)


class Event(NamedTuple):
    """The content of an event of roomd's protocol, as far as it tells who is there."""

    seq: int
    is_whole: bool
    """It is a room-state, not a change of one."""
    joined: frozenset[str]
    """The ids of those who are there or came."""
    is_plain: bool
    """It tells only of those who are there or came, and of each once."""

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
    """Check that `events` are one room-state and then every later change once, and together tell of everybody.

    Raises `RuntimeError` otherwise.
    """
    if not events:
        raise RuntimeError("a client was told nothing")
    known = frozenset[str]().union(*(event.joined for event in events))
    count = sum(len(event.joined) for event in events)
    in_order = [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))
    whole_first = [event.is_whole for event in events] == [True] + [False] * (len(events) - 1)
    if not (in_order and whole_first and all(event.is_plain for event in events)):
        raise RuntimeError("a client was told events out of order, twice or not at all")
    if known != everybody or count != len(everybody):
        raise RuntimeError(f"a client was told of {count} participants, {len(known)} distinct, not {len(everybody)}")
