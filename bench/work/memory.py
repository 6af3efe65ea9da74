"""(h): memory for each idle client that has joined, ten to a room: PSS above that of the server without clients.

Rooms are created, and one crowd has come and gone, before memory is first read. What the kernel keeps for a connection
does not count.
"""

import asyncio
import resource

from bench.clients import Client, Crowd, Kind
from bench.rig import Figure, Incomplete, Rig, leave_all, source

SEATS = 10
"""Of each room."""
WARM_UP = 200
"""Clients of the crowd before."""
SETTLE = 1.0
"""Seconds before memory is read."""
AT_ONCE = 200
"""Joins under way: if all joined at once, the garbage would count as the clients' memory."""
FILES_BESIDE = 100
"""Open files of a process that are not clients."""
FEW, MANY = 1000, 10_000
"""The numbers of clients that every server is measured with."""
MOST = 50_000
"""The largest number of clients that is tried."""


def most_clients() -> int:
    """Return how many clients the system's limit on open files allows each process."""
    return min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - FILES_BESIDE) // SEATS * SEATS


async def measure(rig: Rig, sizes: list[int]) -> list[Figure]:
    """Measure the KiB for each client at each of `sizes`, in rising order."""
    codes = await rig.create_rooms(max(sizes) // SEATS, SEATS)
    async with rig.crowd() as crowd:  # so that what the server loads for its first clients is there
        await crowd.open(min(WARM_UP, *sizes))
        await _join(crowd, codes, 0)
        await crowd.until(leave_all(crowd))
    await asyncio.sleep(SETTLE)
    before = rig.server.memory()
    figures: list[Figure] = []
    async with Crowd(lambda number: rig.client(read_buffer=2048, source=source(number))) as crowd:
        try:
            for size in sizes:
                joined = len(crowd.clients)
                await crowd.open(size)
                await _join(crowd, codes, joined)
                await crowd.until_later(SETTLE)
                figures.append(Figure(f"h{size}", (rig.server.memory() - before) / size / 1024))
        except RuntimeError as exc:
            raise Incomplete(figures, str(exc)) from None
        await crowd.until(leave_all(crowd))
    return figures


async def _join(crowd: Crowd, codes: list[str], first: int) -> None:
    """Have every client from number `first` on join, some at a time, and wait for the answers."""
    missing = len(crowd.clients) - first
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = iter(enumerate(crowd.clients[first:], first))

    def next_one() -> None:
        number, client = next(waiting, (0, None))
        if client is not None:
            client.on_frame = lambda kind, payload: on_frame(client, kind, payload)
            client.join(codes[number // SEATS], number % 10_000)

    def on_frame(client: Client, kind: Kind, payload: bytes) -> None:
        nonlocal missing
        if kind is Kind.JOINED:
            client.settle()
            missing -= 1
            if not missing:
                over.set_result(None)
            next_one()
        elif kind is Kind.REFUSED:
            crowd.fail(f"refused: {payload[:200].decode(errors='replace')}")

    for _ in range(AT_ONCE):
        next_one()
    await crowd.until(over)
