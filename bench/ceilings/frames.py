"""The ceiling of telling: a bare `websockets` server that writes one encoded frame straight to every transport.

Any frame from anybody makes it write. What one turn of the loop has asked for is written to a client at once, the
best that can be done; nothing is read, decided, kept or encoded.
"""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve

from roomd.gateway.outbox import text_frame
from roomd.protocol.codec import encode
from roomd.protocol.events import MessageEvent
from roomd.protocol.objects import Message

TEXT_SIZE = 200

# As roomd writes it: ids of its length, a name like the load generator's.
MESSAGE = Message(
    id="m" * 26, participant_id="p" * 26, display_name="Guest 0000", text="x" * TEXT_SIZE,
    sent_at="2026-03-03T10:36:00.000Z", to=None,
)  # fmt: skip


class Frames:
    """All connections, and how often the frame is still to be written to them."""

    def __init__(self) -> None:
        self.connections: set[ServerConnection] = set()
        self.frame = text_frame(encode(MessageEvent(message=MESSAGE)))
        self.due = 0

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one client."""
        self.connections.add(connection)
        try:
            async for _ in connection:
                if not self.due:
                    asyncio.get_running_loop().call_soon(self.write)
                self.due += 1
        finally:
            self.connections.discard(connection)

    def write(self) -> None:
        """Write what is due to everybody."""
        data, self.due = self.frame * self.due, 0
        for connection in self.connections:
            connection.transport.write(data)


async def main(port: int) -> None:
    """Serve until killed."""
    async with serve(Frames().serve, "127.0.0.1", port, compression=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
