"""(d): new connections per second that get a seat: TCP, WebSocket, a token of each one's own, and a join.

They come in waves. The clock runs from a wave's first connection until its last reply; leaving and closing happen
between waves and are not timed. The echo's clients only connect.
"""

import asyncio

from bench.clients import Client, Crowd, Kind
from bench.processes import Usage
from bench.rig import Figure, Rig, leave_all

WAVE = 400
"""Clients of a wave."""
SEATS = 4
"""Of each room."""


async def measure(rig: Rig, seconds: float, size: int = WAVE) -> list[Figure]:
    """Measure for about `seconds` of waves of `size`."""
    joins = rig.name != "echo"
    codes = await rig.create_rooms(size // SEATS, SEATS) if joins else []
    await wave(rig, codes, size, 0)  # warms up
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
    """Run one wave; without `codes` its clients only connect."""
    tokens = [rig.token(f"user{number}-{one}") for one in range(size)] if codes else []
    async with Crowd(lambda one: rig.client(tokens[one]) if tokens else rig.client()) as crowd:
        arrivals = Arrivals(crowd, codes, size)
        start = rig.server.clock()
        await arrivals.arrive()
        usage = start.until(rig.server.clock())
        if codes:
            await crowd.until(leave_all(crowd))
        return usage


class Arrivals:
    """The clients of one wave: each joins as soon as it is connected, while others still connect."""

    def __init__(self, crowd: Crowd, codes: list[str], size: int) -> None:
        self.crowd = crowd
        self.codes = codes
        self.size = size
        self.missing = size
        """How many have no seat yet."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def arrive(self) -> None:
        """Connect all clients, and wait until each has a seat."""
        await self.crowd.open(self.size, self.entered if self.codes else None)
        if self.codes:
            await self.crowd.until(self.over)

    def entered(self, number: int, client: Client) -> None:
        """Have a client join that is connected now."""

        def on_frame(kind: Kind, payload: bytes) -> None:
            if kind is Kind.JOINED:
                self.missing -= 1
                if not self.missing:
                    self.over.set_result(None)
            elif kind is Kind.REFUSED:
                self.crowd.fail(f"refused: {payload[:200].decode(errors='replace')}")

        client.on_frame = on_frame
        client.join(self.codes[number // SEATS], number)
