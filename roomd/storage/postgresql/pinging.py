"""Whether the server answers, asked over a connection of its own, so that nothing else keeps the answer up."""

from roomd.engine.ports import StorageFailed
from roomd.storage.postgresql.connection import DatabaseError
from roomd.storage.postgresql.own_connection import OwnConnection


class Ping:
    """Asks the server at `url`, one question at a time."""

    def __init__(self, url: str) -> None:
        self._own = OwnConnection(url)

    async def ask(self) -> None:
        """Return when the server has answered.

        Raises `StorageFailed`.
        """
        try:
            async with self._own.connection() as db:
                await db.fetch("SELECT 1")
        except DatabaseError:
            raise StorageFailed from None

    async def close(self) -> None:
        """Close the connection. Closing twice is fine."""
        await self._own.close()
