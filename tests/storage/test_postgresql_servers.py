"""A URL of the database behind which there are several servers."""

import asyncio
import contextlib
import socket
import time
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import pytest

from roomd.cluster.ports import Claimed, Fence
from roomd.config import DatabaseConfig
from roomd.engine.moving import RoomLost
from roomd.engine.ports import StorageFailed
from roomd.rooms.changes import RoomChanged
from roomd.storage.postgresql.connection import CONNECT_TIMEOUT, DatabaseError, connect
from roomd.storage.postgresql.node_opening import open_node_storage
from tests.support.postgresql import Server
from tests.support.stored import ROOM


def url_of(*hosts: str, user: str, ports: str = "") -> str:
    return f"postgresql://{user}@/postgres?host={','.join(hosts)}{ports}"


async def test_a_server_that_does_not_answer(postgresql: Server) -> None:
    """One whose machine is gone holds nobody up: the others are asked at the same time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = f"&port={silent.getsockname()[1]},5432"
        began = time.monotonic()
        connection = await connect(url_of("127.0.0.1", str(postgresql.folder), user=postgresql.user, ports=ports))
        assert time.monotonic() - began < CONNECT_TIMEOUT
        assert await connection.fetch("SELECT 1") == [(1,)]
        await connection.close()


async def test_a_server_that_only_reads(postgresql: Server) -> None:
    """A standby is not taken. When no other server answers, the error is that of the one that does not."""
    postgresql.run_sql("CREATE ROLE reader LOGIN")
    postgresql.run_sql("ALTER ROLE reader SET default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="No such file") as caught:
        await connect(url_of(str(postgresql.folder), "/nonexistent", user="reader"))
    assert caught.value.is_lost


async def test_a_standby_at_the_address_of_the_primary(postgresql: Server) -> None:
    """Behind an address that moves, a connection may be made to a standby. It is not kept until that one ends: as soon
    as the address is that of a primary, the node claims and stores there."""
    url = postgresql.create()
    name = urlsplit(url).path.strip("/")
    storage = await open_node_storage(DatabaseConfig(url=url))
    node = await storage.owners.register("ann", "", 1000.0)
    await storage.rooms.append(Fence(node, 0), ROOM.id, [RoomChanged(ROOM)])
    postgresql.run_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgresql.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for _ in range(2):  # the first may find that the connection is lost, the next one has one to the standby
        with contextlib.suppress(RoomLost), pytest.raises(StorageFailed):
            await storage.rooms.append(Fence(node, 1), ROOM.id, [])
        with pytest.raises(StorageFailed):
            await storage.owners.claim(ROOM.code, node)
    postgresql.run_sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    claimed = await storage.owners.claim(ROOM.code, node)
    assert isinstance(claimed, Claimed)
    await storage.rooms.append(Fence(node, claimed.version), ROOM.id, [])
    await storage.close()


class Opened:
    """A connection that the library has opened."""

    is_terminated = False

    def terminate(self) -> None:
        self.is_terminated = True


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("count", [1, 2])
async def test_a_start_that_is_cancelled_leaves_no_connection_open(
    monkeypatch: pytest.MonkeyPatch, turns: int, count: int
) -> None:
    """At whichever turn of the event loop that is, also when a server has just answered."""
    opened: list[Opened] = []

    async def open_one(*_: object, **__: object) -> Opened:
        await asyncio.sleep(0)
        opened.append(Opened())
        return opened[-1]

    monkeypatch.setattr(asyncpg, "connect", open_one)
    hosts = [f"10.0.0.{number}" for number in range(count)]
    connecting = asyncio.create_task(connect(url_of(*hosts, user="roomd")))
    for _ in range(turns):
        await asyncio.sleep(0)
    was_connected = connecting.done()
    connecting.cancel()
    await asyncio.wait({connecting})
    await asyncio.sleep(0)
    assert [one.is_terminated for one in opened].count(False) == was_connected
