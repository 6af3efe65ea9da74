"""What only PostgreSQL can show: the fence, lost connections, and the order in which the event log is read."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.counters import Counters
from roomd.engine.ports import StorageFailed
from roomd.rooms.changes import Banned, RoomChanged
from roomd.rooms.model import PersonKey
from roomd.storage.errors import StoreBusy
from roomd.storage.postgresql import commit_watch, connection
from roomd.storage.postgresql.connection import Connection, Readers, connect
from roomd.storage.postgresql.opening import open_store
from roomd.storage.postgresql.store import PostgresqlStore
from tests.support.postgresql import Server, holding, running
from tests.support.rooms import user_ban
from tests.support.stored import BOB, JANE, ROOM, append, kept, seat


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresqlStore]:
    opened = await open_store(DatabaseConfig(url=url))
    yield opened
    await opened.close()


LOCK_ROW = "SELECT * FROM fence FOR UPDATE"
"""While another transaction has this lock, every commit of a daemon waits."""
END_WRITER = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND query LIKE 'WITH fenced%' AND pid <> pg_backend_pid()"
)


async def commits_waiting(other: Connection) -> None:
    """Wait until a commit of the daemon waits for a lock."""
    sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(60):
        while not await other.fetch(sql):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def test_one_daemon_at_a_time(store: PostgresqlStore, url: str) -> None:
    """A second one is refused with a clear message, and may start after the first."""
    with pytest.raises(StoreBusy, match="another roomd is serving this database"):
        await open_store(DatabaseConfig(url=url))
    await store.close()
    await store.close()
    await (await open_store(DatabaseConfig(url=url))).close()


async def test_appends_that_gather_share_a_statement(store: PostgresqlStore, other: Connection) -> None:
    """Group commit: what arrives while one commit waits makes the next one, whole and in order."""
    await append(store, [RoomChanged(ROOM)])
    ((before,),) = await other.fetch("SELECT version FROM fence")
    people = [msgspec.structs.replace(JANE, id=f"p{n:03}") for n in range(100)]
    await asyncio.gather(*(append(store, [seat(p)]) for p in people))
    ((after,),) = await other.fetch("SELECT version FROM fence")
    assert after - before <= 2
    assert (await store.history("r1", None, 200))[0] == people


async def test_a_daemon_that_was_replaced_stores_nothing(store: PostgresqlStore, other: Connection) -> None:
    """Whoever has the generation writes: one that was stopped for a while does not, and says so."""
    await append(store, [RoomChanged(ROOM), seat(JANE)])
    await other.execute("UPDATE fence SET generation = generation + 1")
    for changes in ([seat(BOB)], [Banned(PersonKey("user", "eve"), user_ban("eve"))]):
        with pytest.raises(StorageFailed):
            await append(store, changes)
    assert store.is_failing()
    assert (await store.history("r1", None, 10))[0] == [JANE]
    assert (await kept(store)).bans == []


async def test_a_commit_whose_answer_was_lost_is_found(store: PostgresqlStore, other: Connection, url: str) -> None:
    """The connection ends before the commit: nothing was changed, and who waits is told so, once it is known."""
    await append(store, [RoomChanged(ROOM)])
    third = await connect(url)
    async with holding(third, LOCK_ROW):
        waiting = asyncio.create_task(append(store, [seat(JANE)]))
        await commits_waiting(other)
        await other.execute(END_WRITER)
        await commits_waiting(other)  # the new connection waits for the lock to find out
        assert not waiting.done()
    with pytest.raises(StorageFailed):
        await waiting
    assert (await store.history("r1", None, 10))[0] == []
    await append(store, [seat(BOB)])
    assert (await store.history("r1", None, 10))[0] == [BOB]
    await third.close()


async def test_a_commit_that_was_stored_before_the_connection_was_lost(url: str, postgresql: Server) -> None:
    """It counts, though its answer never came."""
    counters = Counters()
    async with cut_after_commit(url, postgresql) as cut:
        store = await open_store(DatabaseConfig(url=cut.url), counters)
        await append(store, [RoomChanged(ROOM), seat(BOB)])
        cut.swallow_next_answer()
        await append(store, [seat(JANE)])
        assert cut.has_cut
        assert (await store.history("r1", None, 10))[0] == [JANE, BOB]
        await append(store, [seat(BOB)])
        assert not store.is_failing()
        assert not sum(counters.storage_failures.values())
        await store.close()


class Cut:
    """A proxy before the server that can swallow an answer and cut the connection that it was for."""

    def __init__(self, folder: str, database: str, user: str) -> None:
        self._path = f"{folder}/.s.PGSQL.5432"
        self._database, self._user = database, user
        self._armed = False
        self._gate = asyncio.Event()
        self._gate.set()
        self.has_cut = False
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"postgresql://{self._user}@127.0.0.1:{port}/{self._database}?sslmode=disable"

    def swallow_next_answer(self) -> None:
        """Let the next statement that changes the fence reach the server, and its answer nobody."""
        self._armed = True

    def freeze(self) -> Callable[[], None]:
        """Keep what is sent from now on, in both directions. Return a function that lets it go on."""
        self._gate.clear()
        return self._gate.set

    def thaw(self) -> None:
        """Let connections that begin from now on through. The others stay frozen."""
        self._gate = asyncio.Event()
        self._gate.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._path)
        is_writer, gate = False, self._gate

        async def up() -> None:
            nonlocal is_writer
            while data := await client.read(65536):
                is_writer |= b"WITH fenced" in data
                await gate.wait()
                to_server.write(data)
            to_server.close()

        async def down() -> None:
            while data := await server.read(65536):
                # "C" is CommandComplete: the statement is committed when ReadyForQuery, "Z" and "I", follows.
                if self._armed and is_writer and b"SELECT 1\0Z\0\0\0\5I" in data:
                    self._armed, self.has_cut = False, True
                    break
                await gate.wait()
                to_client.write(data)
            to_client.transport.abort()
            to_server.transport.abort()

        for one in (up(), down()):
            task = asyncio.create_task(one)
            self._tasks.add(task)


@contextlib.asynccontextmanager
async def cut_after_commit(url: str, postgresql: Server) -> AsyncIterator[Cut]:
    cut = Cut(str(postgresql.folder), url.partition("?")[0].rpartition("/")[2], postgresql.user)
    await cut.start()
    try:
        yield cut
    finally:
        await cut.close()


async def test_a_network_that_swallows_everything(
    url: str, other: Connection, postgresql: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit without an answer is given up when the server cannot be asked about it, and its late bytes are void."""
    monkeypatch.setattr(commit_watch, "WATCH_AFTER", 0.2)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.5)
    async with cut_after_commit(url, postgresql) as cut:
        store = await open_store(DatabaseConfig(url=cut.url))
        await append(store, [RoomChanged(ROOM), seat(BOB)])
        ((pid,),) = await other.fetch("SELECT pid FROM pg_stat_activity WHERE query LIKE 'WITH fenced%'")
        let_late_bytes_go = cut.freeze()
        waiting = asyncio.create_task(append(store, [seat(JANE)]))
        async with asyncio.timeout(60):
            while "cannot connect to the database" not in caplog.text:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.02)
        assert not waiting.done(), "it is not known whether it was stored"
        assert store.is_failing()
        cut.thaw()
        with pytest.raises(StorageFailed):
            await waiting
        let_late_bytes_go()
        async with asyncio.timeout(60):
            while await other.fetch("SELECT 1 FROM pg_stat_activity WHERE pid = $1", pid):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await store.history("r1", None, 10))[0] == [BOB]
        await append(store, [seat(JANE)])
        assert (await store.history("r1", None, 10))[0] == [JANE, BOB]
        await store.close()


async def test_a_commit_may_take_long(
    store: PostgresqlStore, other: Connection, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the server works on it, as when it waits for a standby, it is not given up."""
    monkeypatch.setattr(commit_watch, "WATCH_AFTER", 0.05)
    await append(store, [RoomChanged(ROOM)])
    third = await connect(url)
    asked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%state = ''active''%' AND pid <> pg_backend_pid()"
    async with holding(third, LOCK_ROW):
        waiting = asyncio.create_task(append(store, [seat(JANE)]))
        found = 0
        async with asyncio.timeout(60):
            while found < 3:
                found += len(await other.fetch(asked))
                await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting
    assert (await store.history("r1", None, 10))[0] == [JANE]
    await third.close()


async def test_a_server_that_restarts(url: str) -> None:
    """While it is away appends fail at once, and reads too; when it is back, all goes on."""
    with running() as server:
        store = await open_store(DatabaseConfig(url=server.create()))
        await append(store, [RoomChanged(ROOM), seat(JANE)])
        await asyncio.to_thread(server.stop)
        for _ in range(2):
            with pytest.raises(StorageFailed):
                await append(store, [seat(BOB)])
            with pytest.raises(StorageFailed):
                await store.load(ROOM.code)
        assert store.is_failing()
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(60):
            while store.is_failing():  # noqa: ASYNC110 - to ask is what brings it about
                await asyncio.sleep(0.02)
        await append(store, [seat(BOB)])
        assert (await store.history("r1", None, 10))[0] == [JANE, BOB]
        await store.close()


async def test_a_stop_does_not_wait_for_a_server_that_is_gone() -> None:
    """Whether the last commit was stored stays unknown then: nobody is told that it was, or was not."""
    with running() as server:
        url = server.create()
        store, other, third = await open_store(DatabaseConfig(url=url)), await connect(url), await connect(url)
        await append(store, [RoomChanged(ROOM)])
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(holding(third, LOCK_ROW))
            waiting = asyncio.create_task(append(store, [seat(JANE)]))
            await commits_waiting(other)
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
        async with asyncio.timeout(60):
            await store.close()
        with pytest.raises(StorageFailed):
            await waiting


async def test_a_connection_that_is_in_use_at_the_end(url: str) -> None:
    """It is closed when it is free."""
    readers = Readers(url)
    async with readers.connection() as connection:
        await readers.close()
        assert await connection.fetch("SELECT 1") == [(1,)]
    assert connection.is_closed
