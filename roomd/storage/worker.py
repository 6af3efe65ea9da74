"""Run a function with several statements on the thread of an aiosqlite connection."""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


class Worker(aiosqlite.Connection):
    """A connection to a SQLite file, and the thread that uses it. Await it once to open it.

    `busy_timeout` is in seconds. Only this class uses `_tx`, `_running` and `_conn` of aiosqlite (0.22). The documented
    API takes one statement for each call, so a transaction would wait for the event loop after every statement; and it
    begins in a task, so a transaction would also wait for the next iteration of the event loop.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        connect = partial(sqlite3.connect, path, isolation_level=None, timeout=busy_timeout)
        super().__init__(connect, iter_chunk_size=64)
        self._has_answered = asyncio.Event()
        self._question: asyncio.Task[None] | None = None

    def begin(self, function: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Have the thread run `function` with the SQLite connection, from now on. Return the future of its result.

        Cancelling that does not stop the thread. Raises `ValueError` after `close`.
        """
        if not self._running:
            raise ValueError("the connection is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, partial(function, self._conn)))
        return done

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the thread with the SQLite connection, and return its result.

        Raises what `function` raises.
        """
        return await self.result(self.begin(function))

    async def result(self, begun: "asyncio.Future[T]") -> T:
        """Wait for what `begin` has begun, and return its result.

        Raises what the function raises.
        """
        try:
            result = await begun
        except sqlite3.Error:
            self._has_answered.set()
            raise
        self._has_answered.set()
        return result

    async def answers(self) -> None:
        """Return when the thread has finished a call, whichever it is: it does not hang.

        So a thread that has much to do answers sooner than all of it is done.
        """
        self._has_answered.clear()
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self.run(_nothing))
        await self._has_answered.wait()


def _nothing(_: sqlite3.Connection) -> None:
    """Do nothing."""
