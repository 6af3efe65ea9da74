"""A URL of the database that names several servers."""

import socket
import time

import pytest

from roomd.storage.postgresql.connection import CONNECT_TIMEOUT, DatabaseError, connect
from tests.support.postgresql import Server


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
