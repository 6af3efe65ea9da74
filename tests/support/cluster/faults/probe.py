"""How long a client waits for an answer about a room whose owner was lost."""

import time

from tests.support.cluster.waiting import until
from tests.support.daemon import Daemon


async def first_answer(daemon: Daemon, code: str) -> float:
    """Ask a node for a room until the room answers; return the seconds since now."""
    began = time.monotonic()
    async with daemon.client(compression=None, proxy=None) as client:

        async def is_answered() -> bool:
            return (await client.ask("get-room", code=code)).get("code") != "unavailable"

        await until(is_answered)
    return time.monotonic() - began
