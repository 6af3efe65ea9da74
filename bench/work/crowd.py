"""(c) and (e): the clients of a crowd all join one room at once, and then send messages to it."""

from bench.processes import Usage
from bench.rig import Figure, Incomplete, Rig, leave_all
from bench.work.fanout import fanout
from bench.work.storm import read_buffer, storm

SMALL, LARGE, LARGEST = 100, 1000, 3000
STORMS = 3
"""Storms of a small crowd, of which the median counts."""


async def measure(rig: Rig, size: int, seconds: float) -> list[Figure]:
    """Measure the storm of a crowd in µs per join, and deliveries per second for `seconds`; 0 leaves (e) out."""
    if rig.name == "frames":
        async with rig.crowd() as crowd:
            await crowd.open(size)
            return [await fanout(rig, crowd, seconds)]
    times = STORMS if size <= SMALL else 1
    codes = await rig.create_rooms(times, size)
    async with rig.crowd(read_buffer(size)) as crowd:
        await crowd.open(size)
        storms: list[Usage] = []
        for code in codes:
            if storms:
                await crowd.until(leave_all(crowd))
            storms.append(await storm(rig, crowd, code))
        median = sorted(storms)[times // 2]
        figures = [Figure(f"c{size}", median.seconds / size * 1e6, median)]
        if seconds:
            try:
                figures.append(await fanout(rig, crowd, seconds))
            except RuntimeError as exc:
                raise Incomplete(figures, f"(e) {exc}") from None
        await crowd.until(leave_all(crowd))
        return figures
