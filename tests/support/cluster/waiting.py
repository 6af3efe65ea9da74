"""Waits for what comes true in the cluster, as long as a test waits for anything."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support.processes import PATIENCE

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two looks."""


async def until(what: Callable[[], Awaitable[T]]) -> T:
    """Wait until something is so, and return it. Raises `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := await what():
                return found
            await asyncio.sleep(PAUSE)


async def comes_true(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. Raises `TimeoutError`."""

    async def holds() -> bool:
        return bool(condition())

    await until(holds)
