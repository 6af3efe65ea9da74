"""The ceiling of deliveries: a bare `websockets` server that writes one encoded frame straight to every transport.

Any frame from any client makes it write. All that was asked for in one iteration of the event loop is written to a
client at once, which costs least; nothing is parsed, decided, stored or encoded.
"""

import asyncio
import json
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

TEXT_SIZE = 200
"""Characters of the message."""

# As roomd writes it: ids of the same length, and a name like those of the load generator.
MESSAGE = {
    "type": "message",
    "message": {
        "id": "m" * 24,
        "participantId": "p" * 24,
        "displayName": "Guest 0000",
        "text": "x" * TEXT_SIZE,
        "sentAt": "2026-03-03T10:36:00.000Z",
        "to": None,
    },
}
PAYLOAD = json.dumps(MESSAGE, separators=(",", ":")).encode()


class Frames:
    """All connections, and how often the frame is still to be written to them."""

    def __init__(self) -> None:
        self.connections: set[ServerConnection] = set()
        self.frame = Frame(Opcode.TEXT, PAYLOAD).serialize(mask=False)
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
        """Write what is due to all clients."""
        data, self.due = self.frame * self.due, 0
        for connection in self.connections:
            connection.transport.write(data)


async def main(port: int) -> None:
    """Serve until killed."""
    async with serve(Frames().serve, "127.0.0.1", port, compression=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
