"""The storm: a crowd joins one room at once, and the clock stops when each of them knows all the others."""

import asyncio
import json
from typing import NamedTuple

from bench.load import EVENTS, JOINED, LEAVE, LEFT, REPLY, WARM_UP, Client, Load, create_rooms, join_frame
from bench.processes import Server, Usage

CROWD = 1000
STORMS = 3

PERSON = b'"joinedAt":'


async def storms(server: Server, token: str) -> list[Usage]:
    """Let a crowd join an empty room at once, and leave it, several times over; say what each rush cost."""
    codes = await create_rooms(server, token, STORMS, CROWD)
    async with Load(f"ws://{server.host}/ws") as load:
        await load.connect(CROWD)
        return [await storm(server, load, code) for code in codes]


async def storm(server: Server, load: Load, code: str) -> Usage:
    """Time one rush, from the first join sent until the last client knows everybody."""
    rush = Rush(len(load.clients))
    guests = [rush.guest(client) for client in load.clients]
    requests = [join_frame(code, number) for number in range(len(guests))]
    await load.until_later(WARM_UP)
    start = server.clock()
    for client, request in zip(load.clients, requests, strict=True):
        client.send(request)
    await load.until(rush.over)
    usage = start.until(server.clock())
    rush.check(guests)
    await leave(load)
    return usage


async def leave(load: Load) -> None:
    """Give every seat up; who has the reply is told nothing more of the room."""
    staying = len(load.clients)
    empty: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_text(payload: bytes) -> None:
        nonlocal staying
        if payload.startswith(REPLY) and LEFT in payload:
            staying -= 1
            if not staying:
                empty.set_result(None)
        elif not payload.startswith(EVENTS):
            load.fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")

    for client in load.clients:
        client.on_text = on_text
        client.send(LEAVE)
    await load.until(empty)


class Told(NamedTuple):
    """An event as it came; clients that were told the same share it."""

    payload: bytes
    people: int


class Guest:
    """What one client of a rush was told."""

    def __init__(self) -> None:
        self.reply = b""
        self.events: list[Told] = []
        self.known = 0
        self.has_arrived = False


class Rush:
    """A crowd on its way into one room.

    While the clock runs, a client's acquaintances are counted by a marker that stands once in every participant. The
    same event goes to many clients, so each distinct one is counted once and then recognised by comparing bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting = size
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told: dict[int, list[Told]] = {}

    def guest(self, client: Client) -> Guest:
        """Follow `client` until it has its reply and knows everybody."""
        guest = Guest()

        def on_text(payload: bytes) -> None:
            if payload.startswith(EVENTS):
                told = self._recognise(payload)
                guest.events.append(told)
                guest.known += told.people
            elif payload.startswith(REPLY) and JOINED in payload:
                guest.reply = payload
            else:
                client.unexpected(payload)
            if guest.reply and guest.known >= self.size and not guest.has_arrived:
                guest.has_arrived = True
                self._arrived()

        client.on_text = on_text
        return guest

    def check(self, guests: list[Guest]) -> None:
        """Show from the parsed frames of every client that it knew everybody, each once and in order.

        Raises `RuntimeError` otherwise.
        """
        everybody = {json.loads(guest.reply)["participant"]["id"] for guest in guests}
        if len(everybody) != self.size:
            raise RuntimeError(f"{self.size} joins gave {len(everybody)} participants")
        parsed = {id(told): Event.parse(told.payload) for tolds in self._told.values() for told in tolds}
        for guest in guests:
            check_view([parsed[id(told)] for told in guest.events], everybody)

    def _recognise(self, payload: bytes) -> Told:
        alike = self._told.setdefault(len(payload), [])
        for told in alike:
            if told.payload == payload:
                return told
        told = Told(payload, payload.count(PERSON))
        alike.append(told)
        return told

    def _arrived(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.over.set_result(None)


class Event(NamedTuple):
    """What an event says about who is there."""

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
