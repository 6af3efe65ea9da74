"""A URL of the database behind which there are several servers."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

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
