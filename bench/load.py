"""The clients: a compiled WebSocket client, requests encoded beforehand, replies told apart by a few bytes.

A client must cost far less than the server does for it, so nothing here parses JSON while a clock runs. What the
those bytes promised is checked in full afterwards.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.processes import Server, Usage

CLIENTS = 200
SEATS = 4

WARM_UP = 0.5
CONNECT_AT_ONCE = 50
# Room for a storm's room-state. Grown from picows' 16 KiB on a thousand connections at once, the buffers made the first
# storm's clients five times as dear as the next's.
READ_BUFFER = 512 * 1024
PATIENCE = 60.0

LEAVE = b'{"type":"leave-room","id":2}'
REPLY = b'{"type":"participant",'
# Anywhere in a reply, as the order of keys is nobody's promise; the ids roomd gives are strings, so these are ours.
JOINED = b'"id":1'
LEFT = b'"id":2'
EVENTS = (b'{"type":"room-state",', b'{"type":"participants-changed",')


def join_frame(code: str, number: int) -> bytes:
    """Write the join of guest `number`; the same size for all of them."""
    return f'{{"type":"join-room","id":1,"code":"{code}","guestName":"Guest {number:04}"}}'.encode()


class Load:
    """A set of connections to one server. Leave the block to drop them all."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.url = url
        self.headers = headers
        self.clients: list[Client] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, count: int) -> "Load":
        """Open `count` connections, a few at a time so that no accept queue overflows."""
        while missing := min(CONNECT_AT_ONCE, count - len(self.clients)):
            await asyncio.gather(*(self._open() for _ in range(missing)))
        return self

    async def _open(self) -> None:
        client = Client(self.fail)
        await ws_connect(lambda: client, self.url, extra_headers=self.headers, read_buffer_init_size=READ_BUFFER)
        self.clients.append(client)

    def fail(self, reason: str) -> None:
        """Spoil the measurement: a figure with errors in it is no figure."""
        if not self.failed.done():
            self.failed.set_exception(RuntimeError(reason))

    async def until(self, done: asyncio.Future[Any], patience: float = PATIENCE) -> None:
        """Wait for `done`; raises `RuntimeError` when a client failed first, or nothing happened in time."""
        await asyncio.wait({done, self.failed}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if self.failed.done():
            self.failed.result()
        if not done.done():
            raise RuntimeError(f"not done within {patience:.0f} s")

    async def until_later(self, seconds: float) -> None:
        """Let the load run."""
        await self.until(asyncio.ensure_future(asyncio.sleep(seconds)))

    async def __aenter__(self) -> "Load":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.failed.cancel()
        for client in self.clients:
            client.transport.disconnect()
        await asyncio.gather(*(client.transport.wait_disconnected() for client in self.clients))


class Client(WSListener):
    """One connection; `on_text` is what it does with a frame."""

    transport: WSTransport
    on_text: Callable[[bytes], None]

    def __init__(self, fail: Callable[[str], None]) -> None:
        self.fail = fail
        self.on_text = self.unexpected

    def send(self, request: bytes) -> None:
        """Send one text frame."""
        self.transport.send(WSMsgType.TEXT, request)

    def unexpected(self, payload: bytes) -> None:
        """Fail on a frame nobody asked for."""
        self.fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """Hand on text; a close is a failure, and pings are answered below."""
        if frame.msg_type == WSMsgType.TEXT:
            self.on_text(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self.fail(f"closed by the server with {frame.get_close_code()}")

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Fail, unless the measurement is over."""
        self.fail("connection lost")


class Count:
    """What a steady load got done."""

    replies = 0


def start_echoing(client: Client, frame: bytes, count: Count) -> None:
    """Keep one frame under way."""

    def on_text(payload: bytes) -> None:
        if len(payload) == len(frame):
            count.replies += 1
            client.send(frame)
        else:
            client.unexpected(payload)

    client.on_text = on_text
    client.send(frame)


def start_cycling(client: Client, join: bytes, count: Count) -> None:
    """Join, leave, join, leave, each as soon as the one before was answered."""
    expected = JOINED

    def on_text(payload: bytes) -> None:
        nonlocal expected
        if payload.startswith(REPLY) and expected in payload:
            count.replies += 1
            if expected is JOINED:
                expected = LEFT
                client.send(LEAVE)
            else:
                expected = JOINED
                client.send(join)
        elif not payload.startswith(EVENTS):
            client.unexpected(payload)

    client.on_text = on_text
    client.send(join)


class Rate(NamedTuple):
    """The outcome of a steady load."""

    per_second: float
    usage: Usage


async def measure_rate(server: Server, load: Load, count: Count, seconds: float) -> Rate:
    """Count the replies of `seconds`, after a moment to warm up."""
    await load.until_later(WARM_UP)
    start, before = server.clock(), count.replies
    await load.until_later(seconds)
    usage, replies = start.until(server.clock()), count.replies - before
    return Rate(replies / usage.seconds, usage)


async def echo(server: Server, seconds: float) -> Rate:
    """Measure the yardstick's frames per second."""
    count = Count()
    async with Load(f"ws://{server.host}/") as load:
        await load.connect(CLIENTS)
        for number, client in enumerate(load.clients):
            start_echoing(client, join_frame("abc-def-ghi", number), count)
        return await measure_rate(server, load, count, seconds)


async def cycle(server: Server, token: str, seconds: float) -> Rate:
    """Measure joins and leaves per second of guests in small rooms."""
    count = Count()
    codes = await create_rooms(server, token, CLIENTS // SEATS, SEATS)
    async with Load(f"ws://{server.host}/ws") as load:
        await load.connect(CLIENTS)
        for number, client in enumerate(load.clients):
            start_cycling(client, join_frame(codes[number // SEATS], number), count)
        return await measure_rate(server, load, count, seconds)


async def create_rooms(server: Server, token: str, count: int, seats: int) -> list[str]:
    """Open rooms as a user and return their codes."""
    codes: list[str] = []
    request = json.dumps({"type": "create-room", "id": 1, "maxParticipants": seats}).encode()
    async with Load(f"ws://{server.host}/ws", {"Authorization": f"Bearer {token}"}) as load:
        (host,) = (await load.connect(1)).clients
        for _ in range(count):
            reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            host.on_text = reply.set_result
            host.send(request)
            await load.until(reply)
            frame = json.loads(reply.result())
            if frame["type"] != "room":
                raise RuntimeError(f"create-room was refused: {frame}")
            codes.append(frame["room"]["code"])
    return codes
