"""(a) and (b): 200 guests join and leave without end, four to a room or all in one; the echo sends them back frames."""

import asyncio

from bench.rig import Figure, Rig
from roomd.load import Crowd, Cycle, Kind, Line, Tally

CLIENTS = 200
SEATS = 4

WARM_UP = 0.5


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
    """Have a guest join and leave for each of `codes`, which is the room's."""
    tally = Tally()
    async with rig.crowd() as crowd:
        lines = await crowd.open(len(codes))
        guests = [Cycle(line, codes[number], number, tally) for number, line in enumerate(lines)]
        for guest in guests:
            guest.start()
        figure = await _rate(rig, crowd, row, tally, seconds)
        await crowd.until(asyncio.gather(*(guest.end() for guest in guests)))
        return figure


async def echo(rig: Rig, seconds: float) -> list[Figure]:
    """Measure the frames per second of the echo: what a join is, to and fro, one under way on each connection."""
    tally = Tally()
    async with rig.crowd() as crowd:
        for number, line in enumerate(await crowd.open(CLIENTS)):
            _start_echoing(line, number, tally)
        return [await _rate(rig, crowd, "a", tally, seconds)]


def _start_echoing(line: Line, number: int, tally: Tally) -> None:
    frame = line.dialect.join("abc-def-ghi", number)

    def on_frame(_: Kind, payload: bytes) -> None:
        if len(payload) != len(frame):
            tally.errors["unexpected frame"] += 1
        tally.joins.add(0)
        line.send(frame)

    line.on_frame = on_frame
    line.send(frame)


async def _rate(rig: Rig, crowd: Crowd[Line], row: str, tally: Tally, seconds: float) -> Figure:
    await crowd.until_later(WARM_UP)
    tally.take()
    start = rig.server.clock()
    await crowd.until_later(seconds)
    usage = start.until(rig.server.clock())
    done = tally.take()
    if done.errors or not done.replies:
        raise RuntimeError(f"refused: {dict(done.errors)}" if done.errors else "nothing was answered")
    return Figure(row, done.replies / usage.seconds, usage)
