"""Whether the server answers, asked over a connection of its own, so that nothing else keeps the answer up."""

import asyncio

from roomd.engine.ports import StorageFailed
from roomd.storage.postgresql.connection import Connection, DatabaseError, connect

LONGEST = 2.0
"""The seconds that an answer may take."""


class Ping:
    """Asks the server at `url`, one question at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    async def ask(self) -> None:
        """Return when the server has answered.

        Raises `StorageFailed`.
        """
        try:
            async with asyncio.timeout(LONGEST):
                if self._connection is None:
                    self._connection = await connect(self._url)
                await self._connection.fetch("SELECT 1")
        except (DatabaseError, TimeoutError):
            if self._connection is not None:
                self._connection.terminate()
            self._connection = None
            raise StorageFailed from None

    async def close(self) -> None:
        """Close the connection. Closing twice is fine."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
