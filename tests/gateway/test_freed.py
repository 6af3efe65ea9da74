"""What is left in memory of a connection that has ended."""

import gc

import pytest

from roomd.gateway.client import Client
from roomd.gateway.connection import Connection
from roomd.gateway.websocket import ClientSocket
from roomd.rooms.settings import Settings
from tests.support.port import opened, run
from tests.support.sockets import client_frame


@pytest.mark.parametrize("way", ["idle", "seated", "closed in order", "refused"])
def test_a_connection_that_has_ended_is_freed_at_once(way: str) -> None:
    """It leaves no cycle of references, so that thousands do not wait for the garbage collector."""

    async def scene() -> None:
        async with opened() as port:
            reader, writer = await port.connect()
            if way == "seated":
                room = await port.listener._hub.create(Settings(), "alice")
                join = f'{{"type": "join-room", "code": "{room.code}", "guestName": "Jane"}}'
                writer.write(client_frame(join.encode()))
                await reader.readuntil(b'"type":"room-state"')
            elif way == "closed in order":
                writer.write(client_frame((1000).to_bytes(2), 8))
                await reader.read()
            elif way == "refused":
                writer.write(client_frame(b"binary", 2))
                await reader.read(2)
            gc.collect()
            gc.disable()
            try:
                writer.transport.abort()
                await port.until(lambda: not (port.listener.connections or port.listener._closing))
                assert [one for one in gc.get_objects() if isinstance(one, (Connection, ClientSocket, Client))] == []
            finally:
                gc.enable()

    run(scene())
