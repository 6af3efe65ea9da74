"""Readers of the event log, webhooks and upkeep where several nodes serve the same rooms."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.support.cluster.daemons import Trio, trio, until
from tests.support.daemon import Daemon
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE


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
