"""A connection for one purpose, so that nothing else keeps its answers up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from roomd.storage.postgresql.connection import Connection, DatabaseError, connect

LONGEST = 2.0
"""The seconds that a use of the connection may take, with the time to open it."""


class OwnConnection:
    """One connection to the server at `url`. It is opened as it is needed, and ended when something on it fails.

    `prepare` is called with each connection that is opened, and may raise `DatabaseError` and `StorageFailed`.
    `connection` is one that is open already.
    """

    def __init__(
        self,
        url: str,
        *,
        is_durable: bool = True,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        connection: Connection | None = None,
    ) -> None:
        self._url = url
        self._is_durable = is_durable
        self._prepare = prepare
        self._connection = connection
        self._free = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Have the connection for the block alone. Raises `DatabaseError`, also after `LONGEST` seconds."""
        try:
            async with asyncio.timeout(LONGEST), self._free:
                try:
                    yield await self._opened()
                except BaseException:
                    self.terminate()
                    raise
        except TimeoutError as exc:
            raise DatabaseError(exc, is_lost=True) from exc

    def terminate(self) -> None:
        """End the connection at once. The next use opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """End the connection. Closing twice is fine."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _opened(self) -> Connection:
        if self._connection is None or self._connection.is_closed:
            self._connection = await connect(self._url, is_durable=self._is_durable)
            if self._prepare is not None:
                await self._prepare(self._connection)
        return self._connection
