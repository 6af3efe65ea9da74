"""(h): memory per idle client that has joined, ten to a room: what came on top of the server without clients (PSS).

Rooms are opened, and one crowd has come and gone, before the first look. What the kernel keeps for a connection is
not the server's.
"""

import asyncio
import resource

from bench.rig import Figure, Incomplete, Rig, leave_all
from roomd.load import Crowd, Kind, Line

SEATS = 10
WARM_UP = 200
SETTLE = 1.0
SOURCE = 20_000
"""Clients that connect from one address; the next ones have another, as ports are few."""
AT_ONCE = 200
"""Joins under way: a burst of all would leave garbage that is not a client's."""
FILES_BESIDE = 100
MOST = 50_000
"""What the machine bears is not looked for beyond that."""


def most_clients() -> int:
    """Say how many clients the system's limit on open files allows each process."""
    return min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - FILES_BESIDE) // SEATS * SEATS


async def measure(rig: Rig, sizes: list[int]) -> list[Figure]:
    """Measure bytes per client at each of `sizes`, in their order, in KiB."""
    codes = await rig.create_rooms(max(sizes) // SEATS, SEATS)
    async with rig.crowd() as crowd:  # what the first clients ever make the server load
        await crowd.open(min(WARM_UP, *sizes))
        await _join(crowd, codes, 0)
        await crowd.until(leave_all(crowd))
    await asyncio.sleep(SETTLE)
    before = rig.server.memory()
    figures: list[Figure] = []
    async with Crowd(lambda number: rig.line(read_buffer=2048, source=_source(number))) as crowd:
        try:
            for size in sizes:
                joined = len(crowd.lines)
                await crowd.open(size)
                await _join(crowd, codes, joined)
                await crowd.until_later(SETTLE)
                figures.append(Figure(f"h{size}", (rig.server.memory() - before) / size / 1024))
        except RuntimeError as exc:
            raise Incomplete(figures, str(exc)) from None
        await crowd.until(leave_all(crowd))
    return figures


def _source(number: int) -> str | None:
    return f"127.0.0.{1 + number // SOURCE}" if number >= SOURCE else None


async def _join(crowd: Crowd[Line], codes: list[str], first: int) -> None:
    """Have everyone from `first` on join, some at a time, and wait for the answers."""
    missing = len(crowd.lines) - first
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    coming = iter(enumerate(crowd.lines[first:], first))

    def next_one() -> None:
        number, line = next(coming, (0, None))
        if line is not None:
            line.on_frame = lambda kind, payload: on_frame(line, kind, payload)
            line.join(codes[number // SEATS], number % 10_000)

    def on_frame(line: Line, kind: Kind, payload: bytes) -> None:
        nonlocal missing
        if kind is Kind.JOINED:
            line.settle()
            missing -= 1
            if not missing:
                over.set_result(None)
            next_one()
        elif kind is Kind.REFUSED:
            crowd.fail(f"refused: {payload[:200].decode(errors='replace')}")

    for _ in range(AT_ONCE):
        next_one()
    await crowd.until(over)
