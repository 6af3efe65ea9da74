"""Limits on connections, silence, requests and unread output, as clients see them: docs/protocol.md, section 9."""

import asyncio
import contextlib
import resource
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from roomd.daemon import OTHER_FILES
from roomd.gateway.listener import closing_limit
from tests.support.daemon import Client, Daemon, error
from tests.support.in_process import MakeInProcess
from tests.support.outages import outage
from tests.support.processes import PATIENCE

JANE = {"guestName": "Jane"}
MakeDaemon = Callable[..., Daemon]


async def test_connection_limit(make_daemon: MakeDaemon) -> None:
    """A connection past the limit is closed with 1013; when another ends, a new one is served."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_CONNECTIONS="2")
    async with daemon.client("alice") as first:
        await first.nothing_more()
        async with daemon.client("bob") as second:
            await second.nothing_more()
            async with daemon.client("carol") as third:
                assert await third.closed() == 1013
            await first.nothing_more()
        async with asyncio.timeout(PATIENCE):
            while True:
                async with daemon.client("carol") as again:
                    with contextlib.suppress(ConnectionClosed):
                        await again.nothing_more()
                        return


async def test_files_for_all_connections(make_daemon: MakeDaemon) -> None:
    """The limit of open files is raised to what the connections need, with those that are closing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        daemon = make_daemon(ROOMD_LIMITS_CONNECTIONS="300")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert found == (300 + closing_limit(300) + OTHER_FILES, hard)


async def test_join_timeout(make_daemon: MakeDaemon) -> None:
    """A client that does not join is closed with 4408; after a join a client need not send anything."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_JOIN_TIMEOUT="0.3")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        member, _ = await connect_and_ask(daemon, stack, "join-room", code=room["code"], **JANE)
        refused, reply = await connect_and_ask(daemon, stack, "leave-room")
        assert reply == error("not_in_room")
        idle = await stack.enter_async_context(daemon.client("bob"))
        assert await idle.closed() == 4408
        assert await refused.closed() == 4408
        async with daemon.client() as later:
            assert await later.closed() == 4408
        assert [event["type"] for event in await member.events()] == ["room-state"]


async def connect_and_ask(
    daemon: Daemon, stack: contextlib.AsyncExitStack, type_: str, **fields: Any
) -> tuple[Client, dict[str, Any]]:
    """Connect and send a request, until a reply comes before `join_timeout`; return the client and the reply."""
    async with asyncio.timeout(PATIENCE):
        while True:
            client = await stack.enter_async_context(daemon.client())
            with contextlib.suppress(ConnectionClosed):
                return client, await client.ask(type_, **fields)
            assert await client.closed() == 4408


@pytest.mark.sqlite  # an append to PostgreSQL fails at once
async def test_slow_storage_does_not_time_a_join_out(make_daemon: MakeDaemon) -> None:
    """A client that waits for the reply to its join is not closed, however long storage takes."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_JOIN_TIMEOUT="0.3", ROOMD_DATABASE_BUSY_TIMEOUT="3600")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        with outage(daemon):
            joiner, _ = await connect_and_ask(daemon, stack, "ping")
            await joiner.send("join-room", code=room["code"], **JANE)
            silent = await stack.enter_async_context(daemon.client())
            assert await silent.closed() == 4408
        assert (await joiner.receive())["type"] == "participant"
        assert (await joiner.receive())["type"] == "room-state"
        async with daemon.client() as later:
            assert await later.closed() == 4408
        await joiner.nothing_more()


async def test_rate_limit(make_in_process: MakeInProcess) -> None:
    """Past the rate: 429 with `retryAfter`. A client that waits as long is served; one that keeps sending gets 4429."""
    daemon = make_in_process(limits={"request_rate": 0.001, "request_burst": 10})
    async with daemon.client() as client:
        for _ in range(10):
            await client.nothing_more()
        refusal = await client.ask("ping")
        assert refusal == error("rate_limited", retryAfter=refusal["retryAfter"])
        assert 500 < refusal["retryAfter"] <= 1000
        daemon.advance(refusal["retryAfter"])  # as long as the error says
        await client.nothing_more()
    async with daemon.client() as again:
        assert (await again.ask("ping"))["code"] == "rate_limited", "a reconnect renews nothing"
    async with daemon.client(address="192.0.2.1") as client:
        for number in range(14):
            await client.send("ping", id=number)
        frames = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(await client.receive())
        assert frames[:10] == [{"type": "pong", "id": number} for number in range(10)]
        refused = [frame for frame in frames if frame["type"] == "error"]
        assert refused[-1] == error("rate_limited", retryAfter=refused[-1]["retryAfter"], id=refused[-1]["id"])
        assert await client.closed() == 4429
