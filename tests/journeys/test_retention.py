"""What is too old is deleted while the daemon runs, from the file too: docs/how-to/data-protection.md."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, faults, serving
from tests.support.databases import problems, reading
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.both_stores


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.05)


async def talk(client: Client, count: int) -> None:
    for number in range(count):
        await client.send("send-message", text=f"{number} " + "x" * 1900)
    await client.events()


def wait(daemon: Daemon, seconds: float) -> None:
    """Set the wall clock so far ahead, and let the time pass after which the daemon looks for what is old."""
    daemon.set_clock(seconds)
    daemon.advance(601)


async def test_what_is_old_is_deleted(tmp_path: Path) -> None:
    """Messages, stays and ended rooms, each by its age; meetings go on, the log says it, and the file gets smaller."""
    with serving(tmp_path, ROOMD_LIMITS_TOLD_RATE="1e9") as daemon:
        ended, going_on = await daemon.room(name="ended"), await daemon.room(name="going on")
        async with daemon.client("alice") as alice, daemon.client("bob") as bob:
            for client in (bob, alice):
                await client.join(ended["code"])
            await alice.ask("end-room", code=ended["code"])
            await alice.events()
            await alice.join(going_on["code"])
            await talk(alice, 1000)
            await alice.ask("leave-room")
        daemon.stop()
        size = None if daemon.database_url is not None else daemon.database.stat().st_size
    keep = {"MESSAGES": "3600", "STAYS": "2h", "ROOMS": "3h"}
    settings = {"ROOMD_SERVER_PING_INTERVAL": "3600", **{f"ROOMD_RETENTION_{key}": age for key, age in keep.items()}}
    with serving(tmp_path, True, **settings) as daemon:
        async with daemon.client(token=daemon.token("carol", ttl=86_400)) as carol:
            joined = await carol.join(going_on["code"])
            assert len(joined["state"]["messages"]) == 50
            wait(daemon, 3601)
            await until(lambda: found(daemon, "SELECT count(*) FROM messages") == [(0,)])
            assert (await carol.ask("list-messages", code=going_on["code"]))["messages"] == []
            assert (await carol.join(going_on["code"]))["state"]["messages"] == []
            wait(daemon, 7201)
            await until(lambda: found(daemon, "SELECT count(*) FROM participants WHERE left_at > ''") == [(0,)])
            wait(daemon, 10_801)
            await until(lambda: found(daemon, "SELECT count(*) FROM rooms") == [(1,)])
            async with daemon.client(token=daemon.token("alice", ttl=86_400)) as alice:
                assert (await alice.ask("get-room", code=ended["code"]))["code"] == "room_not_found"
            await carol.send("send-message", text="still here")
            assert [event["type"] for event in await carol.events()] == ["message"]
        assert found(daemon, "SELECT room_id FROM events WHERE type = 'room-deleted'") == [(ended["id"],)]
        if size is not None:
            await until(lambda: found(daemon, "PRAGMA freelist_count")[0][0] <= 256)
        daemon.stop()
        assert faults(daemon) == []
    assert size is None or daemon.database.stat().st_size < size / 2
    assert problems(daemon) == []


def found(daemon: Daemon, sql: str) -> list[tuple[Any, ...]]:
    with reading(daemon) as db:
        return list(map(tuple, db.execute(sql)))
