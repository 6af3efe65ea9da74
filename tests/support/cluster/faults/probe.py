"""How long a client waits for an answer about a room whose owner was lost."""

import asyncio
import time

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

AGAIN = 0.05
"""Seconds until a client asks again whose request was refused because the room could not be reached."""


async def first_answer(daemon: Daemon, code: str) -> float:
    """Ask a node for a room until the room answers; return the seconds since now."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE), daemon.client(compression=None, proxy=None) as client:
        while (await client.ask("get-room", code=code)).get("code") == "unavailable":
            await asyncio.sleep(AGAIN)
    return time.monotonic() - began
