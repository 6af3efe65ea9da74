"""The one class that knows how aiosqlite reaches its thread."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

import pytest

from roomd.storage.worker import Worker


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = Worker(tmp_path / "worker.db", 0.1)
    await worker
    yield worker
    await worker.close()


def test_aiosqlite_is_the_one_it_was_written_for() -> None:
    """Another minor version may reach its thread in another way: look, and then move the pin and this line."""
    assert metadata.version("aiosqlite").startswith("0.22.")


async def test_a_function_runs_on_the_thread_of_the_connection(worker: Worker) -> None:
    """It gets the connection itself, and may use more than one statement of it in one trip."""

    def two_statements(db: sqlite3.Connection) -> tuple[int, int]:
        db.execute("CREATE TABLE t (n INTEGER)")
        db.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
        return db.execute("SELECT sum(n) FROM t").fetchone()[0], threading.get_ident()

    total, thread = await worker.run(two_statements)
    assert (total, thread != threading.get_ident()) == (3, True)
    assert await worker.run(lambda _: threading.get_ident()) == thread


async def test_what_a_function_raises_comes_back(worker: Worker) -> None:
    """A failed statement raises where it was asked, and the thread goes on."""
    with pytest.raises(sqlite3.OperationalError):
        await worker.run(lambda db: db.execute("SELECT nonsense"))
    assert await worker.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)


async def test_a_thread_answers_when_it_has_finished_anything(worker: Worker) -> None:
    """It does not while it hangs; one that has much to do does, also when a call fails."""
    await worker.answers()
    gates = [threading.Event() for _ in range(3)]

    def wait(gate: threading.Event) -> None:
        gate.wait(60)
        raise sqlite3.OperationalError

    calls = [asyncio.create_task(worker.run(lambda _, gate=gate: wait(gate))) for gate in gates]  # type: ignore[misc]
    await asyncio.sleep(0)
    for gate, call in zip(gates, calls, strict=True):
        answers = asyncio.create_task(worker.answers())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not answers.done()
        gate.set()
        await asyncio.wait([call, answers])
    assert all(call.exception() for call in calls)
