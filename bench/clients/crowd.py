"""Many clients of one server, connected a few at a time and closed together."""

import asyncio
from collections.abc import Callable
from typing import Any

from picows import WSError

from bench.clients.client import Client

CONNECT_AT_ONCE = 50
"""Handshakes under way: few enough that no accept queue overflows."""
PATIENCE = 60.0
"""The most seconds that a measurement waits for its clients."""


class Crowd:
    """The clients of a measurement; the end of the block closes them all.

    A client that loses its connection fails the measurement.
    """

    def __init__(self, make: Callable[[int], Client]) -> None:
        """`make` makes the client of a number, counted from 0."""
        self.clients: list[Client] = []
        self._make = make
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, count: int, then: Callable[[int, Client], None] | None = None) -> list[Client]:
        """Connect clients until there are `count`, and return them all; call `then` for each once it is connected.

        Raises `RuntimeError` when the server refuses.
        """
        numbers = iter(range(len(self.clients), count))
        clients: dict[int, Client] = {}

        async def connect() -> None:
            for number in numbers:
                client = self._make(number)
                client.on_lost = self.fail
                await client.open()
                clients[number] = client
                if then is not None:
                    then(number, client)

        try:
            await asyncio.gather(*(connect() for _ in range(CONNECT_AT_ONCE)))
        except (OSError, WSError) as exc:
            raise RuntimeError(f"cannot connect: {exc}") from None
        finally:
            self.clients += [clients[number] for number in sorted(clients)]
        return self.clients

    def fail(self, reason: str) -> None:
        """Fail the measurement: figures with errors are not reported."""
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(reason))

    async def until(self, done: asyncio.Future[Any], patience: float = PATIENCE) -> None:
        """Wait for `done`; raise `RuntimeError` when a client fails first, or after `patience` seconds."""
        await asyncio.wait({done, self._failed}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()
        if not done.done():
            raise RuntimeError(f"not done within {patience:.0f} s")

    async def until_later(self, seconds: float) -> None:
        """Let the load run for `seconds`; raise `RuntimeError` when a client fails."""
        await self.until(asyncio.ensure_future(asyncio.sleep(seconds)))

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._failed.cancel()
        await asyncio.gather(*(client.close() for client in self.clients))
