"""The connection that commits changes of rooms, behind the fence, and what happens when it is lost."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from roomd.engine.ports import StorageFailed
from roomd.storage.errors import StoreBusy
from roomd.storage.postgresql.commit_watch import CommitWatch
from roomd.storage.postgresql.connection import Connection, DatabaseError, connect
from roomd.storage.postgresql.migrations import migrate, try_lock
from roomd.storage.postgresql.writing import Fence

log = logging.getLogger("roomd.storage.postgresql.writer")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""The seconds between two attempts to connect again while it is not known whether a commit was stored."""

_TAKE_OVER = "UPDATE fence SET generation = generation + 1, version = version + 1 RETURNING generation, version"
_FROM_NODES = "UPDATE owners SET generation = 0, version = version + 1 WHERE generation <> 0"
_RAISE = "UPDATE fence SET version = version + 1 WHERE generation = $1 RETURNING version"


class Writer:
    """The connection that writes. One statement or transaction runs at a time.

    No commit has a time limit: one that is cancelled while it waits for a standby is visible, and not on the standby.
    But a network may swallow the answer, or the connection. So while a commit takes long, another connection asks
    whether the server works on it. If it does not, or the server does not answer, the connection is given up.
    """

    def __init__(self, url: str, name: str, *, is_durable: bool) -> None:
        self._url = url
        self._name = name
        self._is_durable = is_durable
        self._connection: Connection | None = None
        self._fence = Fence(0, 0)
        self.is_in_doubt = False
        """Whether it is being found out whether a commit was stored."""
        self._is_replaced = False  # another daemon serves the database
        self._lock = asyncio.Lock()
        self._is_closing = asyncio.Event()
        self._watched = CommitWatch(url).watched

    async def open(self) -> None:
        """Connect, lock the database for this daemon, migrate it, and keep the daemon before from writing.

        Raises `DatabaseError`, and `StoreError`: `StoreBusy` while another daemon serves the database.
        """
        connection = self._connection = await connect(self._url, is_durable=self._is_durable)
        if not await try_lock(connection):
            raise StoreBusy(f"{self._name}: another roomd is serving this database; stop it or choose another one")
        await migrate(connection, self._name)
        ((generation, version),) = await connection.fetch(_TAKE_OVER)
        await connection.execute(_FROM_NODES)
        self._fence = Fence(generation, version)

    async def commit(self, function: Callable[[Connection, Fence], Awaitable[bool]]) -> None:
        """Run a function that commits, and with it raises the version of the fence by one.

        The function returns False, and writes nothing, where the fence does not allow it. When the connection is lost,
        this waits for a new one and finds out whether the function has committed. Raises `DatabaseError` and
        `StorageFailed`; then nothing was changed.
        """
        async with self._lock:
            connection = await self._connected()
            fence = self._fence
            try:
                with self._watched(connection):
                    is_allowed = await function(connection, fence)
            except DatabaseError as exc:
                if not exc.is_lost:
                    raise
                log.error("connection lost in a commit", {"reason": str(exc)})
                connection.terminate()
                if await self._was_committed(fence):
                    return
                raise
            except BaseException:
                connection.terminate()  # cancelled in the middle: what the server has done is found out next time
                raise
            if not is_allowed:
                self._replaced()
            self._fence = fence._replace(version=fence.version + 1)

    async def probe(self) -> None:
        """Commit something that changes nothing but the version.

        Raises `StorageFailed` and `DatabaseError`.
        """

        async def raise_version(db: Connection, fence: Fence) -> bool:
            return bool(await db.fetch(_RAISE, fence.generation))

        await self.commit(raise_version)

    def stop_waiting(self) -> None:
        """From now on do not wait for the database to find out whether a commit was stored."""
        self._is_closing.set()

    async def close(self) -> None:
        """Close the connection."""
        self.stop_waiting()
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def _connected(self) -> Connection:
        if self._is_replaced:
            raise StorageFailed
        if self._connection is None or self._connection.is_closed:
            await self._reconnect()
        if self._connection is None:
            raise StorageFailed
        return self._connection

    async def _reconnect(self) -> int:
        """Connect again, and raise the version, so that nothing which is still on its way can be stored.

        Raising it waits for a commit that is still running. Returns the version as it is now.
        """
        connection = await connect(self._url, is_durable=self._is_durable)
        try:
            with self._watched(connection):
                found = await connection.fetch(_RAISE, self._fence.generation)
            if not found:
                self._replaced()
            await try_lock(connection)  # the fence protects this daemon until the server has ended the old session
        except BaseException:
            connection.terminate()
            raise
        ((version,),) = found
        self._connection, self._fence = connection, self._fence._replace(version=version)
        log.info("connected to the database again")
        return int(version)

    async def _was_committed(self, before: Fence) -> bool:
        """Connect again, as often as needed, and return whether the commit after `before` was stored.

        Raises `StorageFailed` when that stays unknown: the daemon stops, or another one has replaced it.
        """
        pause = FIRST_PAUSE
        self.is_in_doubt = True
        try:
            while not self._is_closing.is_set():
                try:
                    return await self._reconnect() == before.version + 2
                except DatabaseError as exc:
                    log.warning("cannot connect to the database", {"reason": str(exc)})
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_closing.wait(), pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self.is_in_doubt = False
        raise StorageFailed

    def _replaced(self) -> None:
        """Write no more: another daemon has taken the database over."""
        self._is_replaced = True
        log.critical("another roomd has taken the database over; stop one of them, and start this one again")
        raise StorageFailed
