"""`follow_log`: a backend reads the event log over lost connections and restarts, and misses nothing."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import jwt
import pytest

from roomd import testing
from roomd.client import LogPart, Refused, connect, follow_log, join
from roomd.client.connection import LONGEST_IN_HEADER
from roomd.client.settings import Settings
from roomd.protocol.replies import RoomReply
from roomd.protocol.requests import CreateRoom, EndRoom
from tests.support.processes import PATIENCE, free_port

HASTY = Settings(random=lambda: 0.0)


async def room(daemon: testing.Daemon, user: str = "alice") -> str:
    """Create a room, and return its code."""
    async with connect(daemon.url, daemon.token(user)) as connection:
        reply = await connection.request(CreateRoom(), RoomReply)
        assert reply.room is not None
        return reply.room.code


def admin(daemon: testing.Daemon) -> Callable[[], str]:
    """Return a function that gives a new token of an admin."""
    return lambda: daemon.token("service", admin=True)


class Follower:
    """Follows a log, and keeps what it was given, as a backend does."""

    def __init__(self, url: str, token: Any, after: str | None = None, **options: Any) -> None:
        self.parts = follow_log(url, token, after, **{"settings": HASTY, **options})
        self.types: list[str] = []
        self.next = after

    async def read(self) -> LogPart:
        """Take the next part."""
        async with asyncio.timeout(PATIENCE):
            part = await anext(self.parts)
        self.next = part.next
        self.types += [event["type"] for event in part.events]
        return part

    async def until(self, *types: str) -> None:
        """Read until there are these events, and no others."""
        while len(self.types) < len(types):
            await self.read()
        assert self.types == list(types)


async def test_from_the_oldest_on_and_from_a_position() -> None:
    """Every event once; who stored `next` goes on behind it."""
    async with testing.Daemon() as daemon:
        code = await room(daemon)
        first = Follower(daemon.url, admin(daemon))
        async with aclosing(first.parts):
            await first.until("room-created")
            async with join(daemon.url, code, "Jane"):
                await first.until("room-created", "participant-joined")
        second = Follower(daemon.url, admin(daemon), first.next)
        async with aclosing(second.parts):
            await second.until("participant-left")
            assert (await room(daemon)) != code
            await second.until("participant-left", "room-created")


async def test_from_now_on() -> None:
    """With `latest` the first part has no event, but the position to store: what comes after it is not missed."""
    async with testing.Daemon() as daemon:
        await room(daemon)
        follower = Follower(daemon.url, admin(daemon), "latest")
        async with aclosing(follower.parts):
            assert (await follower.read()).events == []
        code = await room(daemon)
        follower = Follower(daemon.url, admin(daemon), follower.next)
        async with aclosing(follower.parts):
            part = await follower.read()
            assert [event["room"]["code"] for event in part.events] == [code]


async def test_over_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It waits until there is a server, at first and later, says so in the log, and goes on where it was."""
    port = free_port()
    settings: testing.Settings = {"server": {"port": port}, "database": {"path": str(tmp_path / "roomd.db")}}
    daemons: list[testing.Daemon] = []
    is_waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        is_waiting.set()
        await asyncio.sleep(0.01)

    follower = Follower(
        f"ws://127.0.0.1:{port}/ws",
        lambda: admin(daemons[-1])() if daemons else "none yet",
        settings=Settings(sleep=sleep),
    )
    async with aclosing(follower.parts):
        with caplog.at_level(logging.WARNING, "roomd.client"):
            reading = asyncio.create_task(follower.until("room-created"))
            async with asyncio.timeout(PATIENCE):
                await is_waiting.wait()
        for wanted in (["room-created"], ["room-created", "room-created"]):
            async with testing.Daemon(settings) as daemon:
                daemons.append(daemon)
                await room(daemon)
                await reading
                assert follower.types == wanted
            reading = asyncio.create_task(follower.until(*wanted, "room-created"))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert "event log: Cannot reach the server: Connection refused; trying again in" in caplog.text
    assert "event log: Connection lost; trying again in" in caplog.text


async def test_a_token_that_runs_out() -> None:
    """The function is asked for another one, and nothing is missed or doubled; a fixed one is the end."""
    async with testing.Daemon() as daemon:
        code = await room(daemon)
        fixed = Follower(daemon.url, daemon.token("service", admin=True, ttl=60))
        fresh = Follower(daemon.url, lambda: daemon.token("service", admin=True, ttl=60))
        async with aclosing(fixed.parts), aclosing(fresh.parts):
            await fixed.until("room-created")
            await fresh.until("room-created")
            daemon.clock.advance(120)
            async with connect(daemon.url, daemon.token("alice")) as connection:
                await connection.request(EndRoom(code=code), RoomReply)
            await fresh.until("room-created", "room-ended")
            with pytest.raises(Refused, match="token_expired"):
                await fixed.until("room-created", "room-ended")


async def test_what_is_refused() -> None:
    """What trying again does not mend is raised: rights, rooms, positions."""
    async with testing.Daemon() as daemon:
        code = await room(daemon)
        refusals: list[tuple[dict[str, Any], str]] = [
            ({"token": daemon.token("alice")}, "not_host"),
            ({"token": daemon.token("bob"), "rooms": [code]}, "not_host"),
            ({"token": "not a token"}, "invalid_token"),
            ({"token": admin(daemon), "rooms": ["aaa-bbb-ccc"]}, "room_not_found"),
            ({"token": admin(daemon), "after": "yesterday"}, "bad_frame"),
        ]
        for options, code_of_error in refusals:
            with pytest.raises(Refused, match=code_of_error):
                await Follower(daemon.url, **options).read()
        host = Follower(daemon.url, daemon.token("alice"), rooms=[code])
        async with aclosing(host.parts):
            await host.until("room-created")


async def test_events_that_are_missing() -> None:
    """410 has the position to go on from, where nobody has read the log for longer than events are kept."""
    async with testing.Daemon(events={"keep": "1h"}) as daemon:
        await room(daemon)
        follower = Follower(daemon.url, admin(daemon))
        async with aclosing(follower.parts):
            await follower.until("room-created")
        await room(daemon)
        with closing(sqlite3.connect(daemon.database)) as db:
            async with asyncio.timeout(PATIENCE):
                while db.execute("SELECT count(*) FROM events").fetchone() != (0,):
                    daemon.clock.advance(3600)
                    await asyncio.sleep(0.01)
        late = Follower(daemon.url, admin(daemon), follower.next)
        with pytest.raises(Refused, match="position_expired") as refused:
            await late.read()
        code = await room(daemon)
        later = Follower(daemon.url, admin(daemon), refused.value.oldest)
        async with aclosing(later.parts):
            assert [event["room"]["code"] for event in (await later.read()).events] == [code]


async def test_a_token_function_that_fails() -> None:
    """At first the program is told, since it may be wrong."""

    def fail() -> str:
        raise KeyError("no key")

    with pytest.raises(KeyError, match="no key"):
        await Follower("ws://127.0.0.1:1/ws", fail).read()


async def test_a_token_that_is_too_long_for_a_header() -> None:
    """It is sent by `authenticate`, before the watch."""
    secret = "a secret of 32 bytes for the test"
    claims = {"sub": "service", "exp": time.time() + 60, "roomd": {"admin": True}, "more": "x" * 10_000}
    async with testing.Daemon(auth={"secret": secret}) as daemon:
        await room(daemon)
        token = jwt.encode(claims, secret)
        assert len(token) > LONGEST_IN_HEADER
        follower = Follower(daemon.url, token)
        async with aclosing(follower.parts):
            await follower.until("room-created")
