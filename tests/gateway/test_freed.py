"""What is left in memory of a connection that has ended."""

import gc
import re

import pytest

from roomd.gateway.client import Client
from roomd.gateway.connection import Connection
from roomd.gateway.websocket import ClientSocket
from roomd.rooms.settings import Settings
from tests.support.port import opened, run
from tests.support.sockets import client_frame

VIOLATIONS = {
    "a binary message": client_frame(b"binary", 2),
    "a frame without a mask": b"\x81\x02hi",
    "an unknown opcode": client_frame(b"?", 3),
    "an unknown opcode after a message": client_frame(b'{"type":"ping"}') + client_frame(b"?", 3),
    "a close with a wrong code": client_frame((999).to_bytes(2), 8),
    "a close with a wrong text": client_frame((1000).to_bytes(2) + b"\xff", 8),
    "text that is not UTF-8": client_frame(b"\xff"),
    "a long control frame": client_frame(b"?" * 126, 9),
    "an unexpected continuation": client_frame(b"?", 0),
    "a message that is too long": client_frame(b"?" * 70_000)[:14],
}
"""What the server answers with a close frame."""


@pytest.mark.parametrize("way", ["idle", "seated", "back", "closed in order", *VIOLATIONS])
def test_a_connection_that_has_ended_is_freed_at_once(way: str) -> None:
    """It leaves no cycle of references, so that thousands do not wait for the garbage collector."""

    async def scene() -> None:
        async with opened() as port:
            reader, writer = await port.connect()
            if way in ("seated", "back"):
                room = await port.listener._hub.create(Settings(), "alice")
                join = f'{{"type": "join-room", "code": "{room.code}", "guestName": "Jane"}}'
                writer.write(client_frame(join.encode()))
                reply = await reader.readuntil(b'"type":"room-state"')
                if way == "back":
                    (token,) = re.findall(rb'"resumeToken":"([^"]*)"', reply)
                    writer.write(client_frame(b'{"type": "resume", "resumeToken": "%s"}' % token))
                    await reader.readuntil(b'"type":"room-state"')
            elif way == "closed in order":
                writer.write(client_frame((1000).to_bytes(2), 8))
                await reader.read()
            elif way in VIOLATIONS:
                writer.write(VIOLATIONS[way])
                await reader.readuntil(b"\x88")
            gc.collect()
            gc.disable()
            try:
                writer.transport.abort()
                await port.until(lambda: not (port.listener.connections or port.listener._closing))
                assert [one for one in gc.get_objects() if isinstance(one, (Connection, ClientSocket, Client))] == []
            finally:
                gc.enable()

    run(scene())
