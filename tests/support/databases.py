"""A database as a daemon left it: a room with people and messages, one with a queue, one that has ended."""

import asyncio
import concurrent.futures
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from roomd.storage.checking import Problem, check
from roomd.storage.postgresql import inspecting
from tests.support.daemon import Daemon, serving
from tests.support.postgresql import shared

T = TypeVar("T")


async def people(daemon: Daemon) -> None:
    """Make the rooms, and be in two of them."""
    talk = await daemon.room(name="talk", maxParticipants=3)
    lobby = await daemon.room(name="lobby", waitingRoom=True)
    ended = await daemon.room(name="ended")
    async with daemon.client("alice") as alice, daemon.client("bob") as bob, daemon.client() as jane:
        await alice.join(talk["code"])
        await bob.join(talk["code"])
        guest = await jane.join(talk["code"], guestName="Jane")
        await alice.events()
        await alice.send("send-message", text="Hello")
        await alice.send("send-message", text="Psst", to=guest["participant"]["id"])
        await alice.events()
        await alice.send("ban", code=talk["code"], userId="eve")
        await alice.events()
        async with daemon.client() as kim, daemon.client("carol") as carol:
            for client in (kim, carol):
                assert (await client.ask("join-room", code=lobby["code"], guestName="Kim"))["type"] == "waiting"
            async with daemon.client("alice") as host:
                await host.join(ended["code"])
                await host.ask("leave-room")
                await host.ask("end-room", code=ended["code"])
            daemon.kill()


def make_database(folder: Path) -> Path:
    """Make it, with the secret beside it, and return its path."""
    folder.mkdir(exist_ok=True)
    with serving(folder, ROOMD_LIMITS_TOLD_RATE="1e9", ROOMD_LIMITS_TOLD_BURST="1000000000") as daemon:
        asyncio.run(people(daemon))
    return daemon.database


@contextlib.contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database without roomd."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        yield db


def _apart(function: Callable[[], T]) -> T:
    """Run a function that has an event loop of its own, in a thread: the test may run in one."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


@contextlib.contextmanager
def reading(daemon: Daemon) -> Iterator[sqlite3.Connection]:
    """Read what a daemon has stored at one moment, with a row by the names of its columns.

    That is the file, or a copy of what is in PostgreSQL.
    """
    with contextlib.ExitStack() as stack:
        file, url = daemon.database, daemon.database_url
        if url is not None:
            copy = inspecting.copied(url)
            file = _apart(copy.__enter__)
            stack.callback(copy.__exit__, None, None, None)
        db = stack.enter_context(contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)))
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")
        yield db


def change(daemon: Daemon, *statements: str) -> None:
    """Change what a daemon has stored, without it, by statements that both kinds of database understand."""
    if daemon.database_url is not None:
        for sql in statements:
            shared().run_sql(sql, daemon.database_url)
        return
    with opened(daemon.database) as db:
        for sql in statements:
            db.execute(sql)


def problems(daemon: Daemon) -> list[Problem]:
    """Return what `roomd check` finds."""
    url = daemon.database_url
    return (check(daemon.database) if url is None else _apart(lambda: inspecting.check(url))).problems


def texts(database: Path) -> list[str]:
    """Return the texts of the messages, in their order."""
    with opened(database) as db:
        return [text for (text,) in db.execute("SELECT text FROM messages ORDER BY id")]


def say_more(database: Path, text: str) -> None:
    """Write one more message into the file, as from the sender of the last one."""
    with opened(database) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            "INSERT INTO messages (room_id, id, participant_id, user_id, display_name, text, sent_at, total_bytes) "
            "SELECT room_id, id || 'z', participant_id, user_id, display_name, ?, sent_at, total_bytes FROM messages "
            "ORDER BY id DESC LIMIT 1",
            (text,),
        )
