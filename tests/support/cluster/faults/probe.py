"""How long a client waits for an answer about a room whose owner was lost."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable

from websockets import ConnectionClosed

from tests.support.cluster.waiting import PAUSE
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE


async def all_answer(daemon: Daemon, codes: Iterable[str]) -> None:
    """Ask a node for rooms until each has answered, on another connection when the node has ended one (1013).

    Raises `TimeoutError` when a room does not answer.
    """
    left, loop = deque(codes), asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE) as patience:
        while left:
            with contextlib.suppress(ConnectionClosed):
                async with daemon.client(compression=None, proxy=None) as client:
                    while left:
                        reply = await client.ask("get-room", code=left[0])
                        if reply["type"] == "room":
                            left.popleft()
                            patience.reschedule(loop.time() + PATIENCE)
                        else:
                            assert reply["code"] == "unavailable", reply
                            await asyncio.sleep(PAUSE)


async def first_answer(daemon: Daemon, code: str) -> float:
    """Ask a node for a room until the room answers; return the seconds since now."""
    began = time.monotonic()
    await all_answer(daemon, [code])
    return time.monotonic() - began
