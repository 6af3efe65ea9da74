"""Wait until something is true, where anything may make it true."""

import asyncio
from collections.abc import Callable


class Conditions:
    """Conditions that tasks wait for. Each call of `wake` makes all of them be checked again."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` returns True. It is called now, and after each `wake`."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def wake(self) -> None:
        """Make every condition be checked again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
