"""(d): connections per second that end in a seat: TCP, WebSocket, a token of each one's own, and a join.

They come in waves. The clock runs from a wave's first connection until its last reply; leaving and closing are between
waves. The echo's waves only connect.
"""

import asyncio

from bench.processes import Usage
from bench.rig import Figure, Rig, leave_all
from roomd.load import Crowd, Kind, Line

WAVE = 400
SEATS = 4


async def measure(rig: Rig, seconds: float, size: int = WAVE) -> list[Figure]:
    """Measure for about so many seconds of waves of `size`."""
    joins = rig.name != "echo"
    codes = await rig.create_rooms(size // SEATS, SEATS) if joins else []
    await wave(rig, codes, size, 0)  # the first one warms up
    waves: list[Usage] = []
    while (taken := sum(usage.seconds for usage in waves)) < seconds:
        waves.append(await wave(rig, codes, size, len(waves) + 1))
    share = Usage(
        taken,
        sum(usage.server * usage.seconds for usage in waves) / taken,
        sum(usage.generator * usage.seconds for usage in waves) / taken,
    )
    return [Figure("d", len(waves) * size / taken, share)]


async def wave(rig: Rig, codes: list[str], size: int, number: int) -> Usage:
    """Let one wave come; `codes` are empty where connecting is all."""
    tokens = [rig.token(f"user{number}-{one}") for one in range(size)] if codes else []
    async with Crowd(lambda one: rig.line(tokens[one]) if tokens else rig.line()) as crowd:
        arrivals = Arrivals(crowd, codes, size)
        start = rig.server.clock()
        await arrivals.arrive()
        usage = start.until(rig.server.clock())
        if codes:
            await crowd.until(leave_all(crowd))
        return usage


class Arrivals:
    """A wave on its way: who is connected joins, and whoever of the crowd comes next connects."""

    def __init__(self, crowd: Crowd[Line], codes: list[str], size: int) -> None:
        self.crowd = crowd
        self.codes = codes
        self.size = size
        self.missing = size
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def arrive(self) -> None:
        """Let them all arrive."""
        await self.crowd.open(self.size, self.entered if self.codes else None)
        if self.codes:
            await self.crowd.until(self.over)

    def entered(self, number: int, line: Line) -> None:
        """Join, as soon as connected."""

        def on_frame(kind: Kind, payload: bytes) -> None:
            if kind is Kind.JOINED:
                self.missing -= 1
                if not self.missing:
                    self.over.set_result(None)
            elif kind is Kind.REFUSED:
                self.crowd.fail(f"refused: {payload[:200].decode(errors='replace')}")

        line.on_frame = on_frame
        line.join(self.codes[number // SEATS], number)
