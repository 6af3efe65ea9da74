"""(a) and (b): 200 guests join and leave without pause, four to a room or all in one; the echo returns their frames."""

import asyncio
from collections import Counter

import msgspec

from bench.clients import Client, Crowd, Kind
from bench.rig import Figure, Rig

CLIENTS = 200
SEATS = 4
"""Of each room in (a)."""
WARM_UP = 0.5
"""Seconds before the measurement; refusals in them do not count."""
RETRY_AFTER = 0.5
"""Seconds that a guest waits after a refusal."""


class Tally:
    """What all guests have done."""

    def __init__(self) -> None:
        self.replies = 0
        """How many joins and leaves were answered."""
        self.errors: Counter[str] = Counter()
        """How often each error occurred."""


class Cycle:
    """One guest, who joins and leaves, each time as soon as the last answer is there."""

    def __init__(self, client: Client, code: str, number: int, tally: Tally) -> None:
        self.client = client
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the guest was asked to end and has left."""
        self._tally = tally
        self._code = code
        self._number = number
        self._is_ending = False
        client.on_frame = self._on_frame

    def start(self) -> None:
        """Ask for a seat, unless the guest is to end."""
        if not self._is_ending:
            self.client.join(self._code, self._number)
        elif not self.ended.done():
            self.ended.set_result(None)

    def end(self) -> asyncio.Future[None]:
        """Give up the seat, or the one that is granted next, and ask for no other; return `ended`."""
        self._is_ending = True
        return self.ended

    def _on_answer(self, kind: Kind) -> None:
        if kind is Kind.JOINED:
            self.client.leave()
        else:
            self.start()

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.JOINED or kind is Kind.LEFT:
            self._tally.replies += 1
            self._on_answer(kind)
        elif kind is Kind.REFUSED:
            self._tally.errors[_reason(payload)] += 1
            asyncio.get_running_loop().call_later(RETRY_AFTER, self.start)


async def small_rooms(rig: Rig, seconds: float, codes: list[str] | None = None) -> list[Figure]:
    """Measure joins + leaves per second of 200 guests, four to a room."""
    if rig.name == "echo":
        return await echo(rig, seconds)
    codes = codes or await rig.create_rooms(CLIENTS // SEATS, SEATS)
    return [await cycle(rig, "a", [codes[number // SEATS] for number in range(CLIENTS)], seconds)]


async def one_room(rig: Rig, seconds: float) -> list[Figure]:
    """Measure joins + leaves per second of 200 guests in one room."""
    codes = await rig.create_rooms(1, CLIENTS)
    return [await cycle(rig, "b", codes * CLIENTS, seconds)]


async def cycle(rig: Rig, row: str, codes: list[str], seconds: float) -> Figure:
    """Measure joins + leaves per second of one guest for each of `codes`, which may repeat."""
    tally = Tally()
    async with rig.crowd() as crowd:
        clients = await crowd.open(len(codes))
        guests = [Cycle(client, codes[number], number, tally) for number, client in enumerate(clients)]
        for guest in guests:
            guest.start()
        figure = await _rate(rig, crowd, row, tally, seconds)
        await crowd.until(asyncio.gather(*(guest.end() for guest in guests)))
        return figure


async def echo(rig: Rig, seconds: float) -> list[Figure]:
    """Measure frames per second of the echo: each client sends a join and, once it is returned, the next."""
    tally = Tally()
    async with rig.crowd() as crowd:
        for number, client in enumerate(await crowd.open(CLIENTS)):
            _start_echoing(client, number, tally)
        return [await _rate(rig, crowd, "a", tally, seconds)]


def _start_echoing(client: Client, number: int, tally: Tally) -> None:
    frame = client.dialect.join("abc-def-ghi", number)

    def on_frame(_: Kind, payload: bytes) -> None:
        if len(payload) != len(frame):
            tally.errors["unexpected frame"] += 1
        tally.replies += 1
        client.send(frame)

    client.on_frame = on_frame
    client.send(frame)


async def _rate(rig: Rig, crowd: Crowd, row: str, tally: Tally, seconds: float) -> Figure:
    await crowd.until_later(WARM_UP)
    tally.errors.clear()
    before, start = tally.replies, rig.server.clock()
    await crowd.until_later(seconds)
    usage, replies = start.until(rig.server.clock()), tally.replies - before
    if tally.errors or not replies:
        raise RuntimeError(f"refused: {dict(tally.errors)}" if tally.errors else "nothing was answered")
    return Figure(row, replies / usage.seconds, usage)


def _reason(refusal: bytes) -> str:
    """Return the code of an error, or its first 200 bytes if it has none."""
    try:
        code: str = msgspec.json.decode(refusal)["code"]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeError):
        return refusal[:200].decode(errors="replace")
    return code
