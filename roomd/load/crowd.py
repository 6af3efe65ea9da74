"""Many lines to one server, opened a few at a time and closed together."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from picows import WSError

from roomd.load.line import Line

L = TypeVar("L", bound=Line)

CONNECT_AT_ONCE = 50
"""Handshakes under way: few enough that no accept queue overflows."""
PATIENCE = 60.0
"""Seconds."""


class Crowd(Generic[L]):
    """The lines of a test; leave the block to drop them all.

    A line that is lost spoils the test, unless `on_lost` says otherwise.
    """

    def __init__(self, make: Callable[[int], L], on_lost: Callable[[str], None] | None = None) -> None:
        """`make` makes the line of a number."""
        self.lines: list[L] = []
        self._make = make
        self._on_lost = on_lost or self.fail
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, count: int, then: Callable[[int, L], None] | None = None) -> list[L]:
        """Open lines until there are `count`, and return them all; `then` is told of each as soon as it is open.

        Raises `RuntimeError` when the server refuses.
        """
        numbers = iter(range(len(self.lines), count))
        lines: dict[int, L] = {}

        async def connect() -> None:
            for number in numbers:
                line = self._make(number)
                line.on_lost = self._on_lost
                await line.open()
                lines[number] = line
                if then is not None:
                    then(number, line)

        try:
            await asyncio.gather(*(connect() for _ in range(CONNECT_AT_ONCE)))
        except (OSError, WSError) as exc:
            raise RuntimeError(f"cannot connect: {exc}") from None
        finally:
            self.lines += [lines[number] for number in sorted(lines)]
        return self.lines

    def fail(self, reason: str) -> None:
        """Spoil the test: a figure with errors in it is no figure."""
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(reason))

    async def until(self, done: asyncio.Future[Any], patience: float = PATIENCE) -> None:
        """Wait for `done`; raises `RuntimeError` when a line failed first, or nothing happened in time."""
        await asyncio.wait({done, self._failed}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()
        if not done.done():
            raise RuntimeError(f"not done within {patience:.0f} s")

    async def until_later(self, seconds: float) -> None:
        """Let the load run."""
        await self.until(asyncio.ensure_future(asyncio.sleep(seconds)))

    async def __aenter__(self) -> "Crowd[L]":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._failed.cancel()
        await asyncio.gather(*(line.close() for line in self.lines))
