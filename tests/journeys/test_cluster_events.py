"""Readers of the event log, webhooks and upkeep where several nodes serve the same rooms."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.support.cluster.daemons import Trio, trio, until, wait_ready
from tests.support.daemon import Daemon
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE
from tests.support.receiver import Receiver, endpoints, setting


@pytest.fixture
def three(tmp_path: Path, postgresql: Server) -> Iterator[Trio]:
    """Three daemons that are ready."""
    with trio(tmp_path, postgresql) as made:
        yield made


def admin_token(daemon: Daemon) -> str:
    """Return the token of an admin."""
    return daemon.token("root", roomd={"admin": True})


def request(daemon: Daemon, path: str, **headers: str) -> Request:
    """Return a request of an admin to the server API."""
    url = f"http://127.0.0.1:{daemon.port}/api/v1{path}"
    return Request(url, headers={"Authorization": f"Bearer {admin_token(daemon)}", **headers})


async def poll(daemon: Daemon, **parameters: Any) -> dict[str, Any]:
    """Ask for events, and wait for them."""

    def ask() -> dict[str, Any]:
        with urlopen(request(daemon, f"/events?{urlencode(parameters)}"), timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    return await asyncio.to_thread(ask)


@asynccontextmanager
async def streaming(daemon: Daemon, after: str) -> AsyncIterator["asyncio.Queue[str]"]:
    """Read Server-Sent Events; the queue gets the type of each."""
    types: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    answer = await asyncio.to_thread(
        urlopen, request(daemon, f"/events?{urlencode({'after': after})}", Accept="text/event-stream"), timeout=PATIENCE
    )

    def read() -> None:
        for line in answer:
            if line.startswith(b"event: "):
                loop.call_soon_threadsafe(types.put_nowait, line.decode().split()[1])

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    try:
        yield types
    finally:
        answer.fp.raw._sock.shutdown(2)
        await asyncio.gather(reading, return_exceptions=True)


async def test_events_wake_readers_at_every_node(three: Trio) -> None:
    """Long poll, stream and `watch` at nodes that do not have the room; a position of one node is good at another."""
    a, b, c = three.daemons.values()
    start = (await poll(a, after="latest"))["next"]
    async with c.client(token=admin_token(c)) as watcher, streaming(b, start) as stream:
        assert (await watcher.ask("watch", after=start))["type"] == "watching"
        polled = asyncio.create_task(poll(c, after=start, wait=25))
        await a.room()
        assert [event["type"] for event in (await polled)["events"]] == ["room-created"]
        assert (await until(watcher, "events"))["events"][0]["type"] == "room-created"
        async with asyncio.timeout(PATIENCE):
            assert await stream.get() == "room-created"
    made, after, found = [], start, []
    for turn in range(30):
        writer, reader = (a, b, c)[turn % 3], (a, b, c)[(turn + 1) % 3]
        made.append((await writer.room())["code"])
        read = await poll(reader, after=after, wait=25)
        found += [event["room"]["code"] for event in read["events"]]
        after = read["next"]
    while len(found) < 31:
        read = await poll(b, after=after, wait=25)
        found += [event["room"]["code"] for event in read["events"]]
        after = read["next"]
    assert found[1:] == made


@pytest.mark.long
async def test_one_node_pushes_to_an_endpoint(tmp_path: Path, postgresql: Server) -> None:
    """It is killed, frozen, and stopped: another one goes on, in order, and each event is taken once by its id."""
    async with Receiver() as receiver:
        with trio(tmp_path, postgresql, **setting(endpoints(tmp_path, backend=receiver.url))) as three:
            made = []

            async def rooms(count: int) -> None:
                """Make rooms at whatever node there is, and wait until the backend knows them."""
                for number in range(count):
                    alive = [one for one in three.daemons.values() if one.is_started]
                    made.append((await alive[number % len(alive)].room())["code"])
                await receiver.until_type("room-created", len(made))

            async def pusher() -> str:
                """Wait until a node pushes."""
                async with asyncio.timeout(PATIENCE):
                    while not (name := await asyncio.to_thread(three.doer, "webhook backend")):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                return name

            await pusher()
            await rooms(6)
            killed = await pusher()
            await asyncio.to_thread(three.daemons[killed].kill)
            await rooms(4)
            stopped = await pusher()
            assert await asyncio.to_thread(three.daemons[stopped].stop) == 0
            three.daemons[killed].start()
            await asyncio.to_thread(wait_ready, three.daemons[killed])
            await rooms(4)
            frozen = three.daemons[await pusher()].process
            frozen.send_signal(signal.SIGSTOP)
            other = next(one for one in three.daemons.values() if one.is_started and one.process is not frozen)
            made.extend([(await other.room())["code"] for _ in range(3)])
            await receiver.until_type("room-created", len(made))
            frozen.send_signal(signal.SIGCONT)
            await rooms(4)
            assert [event["room"]["code"] for event in receiver.events] == made
            assert receiver.forged == 0


async def test_one_node_deletes_what_is_old(tmp_path: Path, postgresql: Server) -> None:
    """Another one goes on when it is gone."""
    with trio(tmp_path, postgresql, ROOMD_EVENTS_KEEP="1s") as three:

        async def deletes() -> str:
            """Wait until all events are deleted, and return who deletes."""
            async with asyncio.timeout(PATIENCE):
                while await asyncio.to_thread(three.sql, "SELECT count(*) FROM events") != "0":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            return await asyncio.to_thread(three.doer, "retention")

        await three.daemons["a"].room()
        name = await deletes()
        await asyncio.to_thread(three.daemons[name].kill)
        other = next(one for one in three.daemons.values() if one.is_started)
        await other.room()
        assert await deletes() not in ("", name)
