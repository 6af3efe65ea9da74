"""(c) and (e): a crowd storms a room, and then talks in it."""

from bench.processes import Usage
from bench.rig import Figure, Incomplete, Rig, leave_all
from bench.work.fanout import fanout
from bench.work.storm import read_buffer, storm

SMALL, LARGE, LARGEST = 100, 1000, 3000
STORMS = 3
"""Of a small crowd, of which the median counts."""


async def measure(rig: Rig, size: int, seconds: float) -> list[Figure]:
    """Measure the storm of a crowd, per join in µs, and deliveries per second; no more talk for no `seconds`."""
    if rig.name == "frames":
        async with rig.crowd() as crowd:
            await crowd.open(size)
            return [await fanout(rig, crowd, seconds)]
    times = STORMS if size <= SMALL else 1
    codes = await rig.create_rooms(times, size)
    async with rig.crowd(read_buffer(size)) as crowd:
        await crowd.open(size)
        rushes: list[Usage] = []
        for code in codes:
            if rushes:
                await crowd.until(leave_all(crowd))
            rushes.append(await storm(rig, crowd, code))
        rush = sorted(rushes)[times // 2]
        figures = [Figure(f"c{size}", rush.seconds / size * 1e6, rush)]
        if seconds:
            try:
                figures.append(await fanout(rig, crowd, seconds))
            except RuntimeError as exc:
                raise Incomplete(figures, f"(e) {exc}") from None
        await crowd.until(leave_all(crowd))
        return figures
