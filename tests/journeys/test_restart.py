"""How a daemon stops, and seats after a restart or a crash: docs/protocol.md, section 5."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from roomd.system.signals import STOP_TIMEOUT
from tests.support.daemon import SEAT_HOLD, Client, Daemon
from tests.support.postgresql import is_store
from tests.support.processes import PATIENCE
from tests.support.wire import now

pytestmark = pytest.mark.both_stores

JANE = {"guestName": "Jane"}
MakeDaemon = Callable[..., Daemon]


def test_the_store_of_a_test(daemon: Daemon, make_daemon: MakeDaemon, request: pytest.FixtureRequest) -> None:
    """A test with the marker `both_stores` has its own daemon and the shared one on the store in its name."""
    is_named = "[postgresql]" in request.node.name
    assert is_store() or not is_named
    for each in (daemon, make_daemon()):
        assert (each.database_url is not None) == is_store()
        assert each.database.exists() != is_store()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
async def test_seats_over_a_restart(make_daemon: MakeDaemon, number: signal.Signals) -> None:
    """After a restart or a crash every seat is held once more under its id, and released after the hold."""
    daemon = make_daemon(steered=True)
    code = (await daemon.room())["code"]
    async with daemon.client("carol") as carol, daemon.client("bob") as bob, daemon.client() as guest:
        joined = [await carol.join(code), await bob.join(code), await guest.join(code, **JANE)]
        people = [reply["participant"] for reply in joined]
        async with daemon.client() as early:
            people.append((await early.join(code, guestName="Joan"))["participant"])
        while not (await bob.receive()).get("updated"):
            pass
        dropped = now()
        await asyncio.to_thread(daemon.stop, number)
    stopped = now()
    daemon.start()
    async with daemon.client("alice") as host, daemon.client() as back, daemon.client("bob") as bob:
        listed = (await host.ask("list-participants", code=code))["participants"]
        assert listed == [{**who, "isActive": False} for who in people]
        again = await bob.join(code)
        assert again["participant"] == people[1]
        assert again["state"]["epoch"] != joined[1]["state"]["epoch"]
        assert (await back.ask("resume", resumeToken=joined[2]["resumeToken"]))["participant"] == people[2]
        await bob.events()
        daemon.advance(SEAT_HOLD)
        assert await wait_left(bob, 2) == {people[0]["id"], people[3]["id"]}
        seats = (await host.ask("list-participants", code=code))["participants"]
        assert seats == people[1:3]
        history = (await host.ask("list-participants", code=code, history=True))["participants"]
        assert history[3]["leftAt"] <= dropped <= history[0]["leftAt"]
        assert history[0]["leftAt"] <= stopped or number == signal.SIGKILL


async def wait_left(client: Client, count: int) -> set[str]:
    """Wait until `count` participants have left; return their ids."""
    gone: set[str] = set()
    while len(gone) < count:
        gone |= {who["id"] for who in (await client.receive())["left"]}
    return gone


async def test_server_restarting_is_sent(make_daemon: MakeDaemon) -> None:
    """Every client is sent when to return, at different times, then closed with 1012; the exit code is 0."""
    daemon = make_daemon()
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(daemon.client()) for _ in range(12)]
        await clients[0].join(room["code"], **JANE)
        stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
        events = [await client.receive() for client in clients]
        waits = [event["retryAfter"] for event in events]
        assert events == [{"type": "server-restarting", "retryAfter": wait} for wait in waits]
        assert all(0 < wait <= 10 for wait in waits)
        assert len(set(waits)) > 1
        assert [await client.closed() for client in clients] == [1012] * 12
        assert await stopping == 0


@contextlib.asynccontextmanager
async def unanswering_client(daemon: Daemon) -> AsyncIterator[None]:
    """Connect a client that does not answer a close."""
    async with daemon.client() as client:
        await client.nothing_more()
        client.websocket.transport.pause_reading()
        try:
            yield
        finally:
            client.websocket.transport.abort()


async def test_a_client_that_does_not_answer_a_close(make_daemon: MakeDaemon) -> None:
    """The daemon stops in order within 10 s, though a client does not answer its close."""
    assert STOP_TIMEOUT < 10
    daemon = make_daemon()
    async with unanswering_client(daemon):
        assert await asyncio.to_thread(daemon.stop) == 0


async def test_a_second_signal_stops_at_once(make_daemon: MakeDaemon) -> None:
    """After a second signal, more than a second after the first, the daemon waits for no client."""
    daemon = make_daemon()
    async with unanswering_client(daemon), daemon.client() as client:
        daemon.process.send_signal(signal.SIGINT)
        assert await client.closed() == 1012  # the daemon now waits for the other client
        while daemon.process.poll() is None:
            daemon.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(daemon.stop) == 1, "the exit code of a stop at once"


async def test_signals_at_once_are_one(make_daemon: MakeDaemon) -> None:
    """`make` and a terminal signal the whole group, and then the process once more: it stops in order all the same."""
    daemon = make_daemon()
    async with daemon.client() as client:
        await client.nothing_more()
        daemon.process.send_signal(signal.SIGSTOP)  # so that both have come when it sees the first
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
            daemon.process.send_signal(number)
        assert (await client.receive())["type"] == "server-restarting"
        assert await client.closed() == 1012
        assert await asyncio.to_thread(daemon.process.wait, PATIENCE) == 0
