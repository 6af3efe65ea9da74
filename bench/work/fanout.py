"""(e): deliveries per second of messages of 200 bytes, which each member of a room gets.

The members send in turn, and a fixed number of messages is under way at any time: whenever the last member, who joined
last and so is written to last, gets a message, the next member sends one. There are so many senders that each stays
below the default limits on a client (`limits.told_rate`, `limits.request_rate`).

All messages have the same length. So all other members only count the bytes they receive: a callback for each frame
would cost more than the frame cost the server. At the end every member must have got exactly what was sent.
"""

import asyncio
import itertools

from picows import WSFrame

from bench.clients import Client, Crowd, Kind
from bench.rig import Figure, Rig

WINDOW = 20
"""Messages under way."""
SENDERS = 50
TEXT = "x" * 200

WARM_UP = 0.3
"""Seconds before the measurement."""
QUIET = 10.0
"""Seconds in which messages under way must arrive at the end."""


class ByteCounter(asyncio.BufferedProtocol):
    """Takes over a client's connection, and counts the bytes it receives."""

    def __init__(self, client: Client, buffer: memoryview) -> None:
        """All counters share `buffer`, since its content is never read."""
        assert client.transport is not None
        self.received = 0
        self._buffer = buffer
        self._transport = client.transport.underlying_transport
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def get_buffer(self, _: int) -> memoryview:
        """See asyncio."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """See asyncio."""
        self.received += size

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss to the client, which fails the measurement."""
        self._before.connection_lost(exc)

    def close(self) -> None:
        """Give the connection back to the client."""
        self._transport.set_protocol(self._before)


class Pacer:
    """The last member of the room, who starts the next message whenever one arrives."""

    def __init__(self, crowd: Crowd) -> None:
        self.sent = 0
        self.received = 0
        self.is_over = True
        self.size = -1
        """Bytes of a message's payload, as the server writes it."""
        self._client = crowd.clients[-1]
        self._client.tap = self._tap
        request = self._client.dialect.say(TEXT)
        self._senders = itertools.cycle([(client.send, request) for client in crowd.clients[:SENDERS]])

    def send_next(self) -> None:
        """Have the next sender send a message."""
        self.sent += 1
        send, request = next(self._senders)
        send(request)

    def _tap(self, frame: WSFrame) -> bool:
        if frame.payload_size != self.size:
            return False
        self.received += 1
        if not self.is_over:
            self.send_next()
        return True


async def fanout(rig: Rig, crowd: Crowd, seconds: float) -> Figure:
    """Measure deliveries per second to the members of one room: the clients of `crowd`, who have joined it."""
    pacer = Pacer(crowd)
    size = await _one_message(crowd, pacer)
    buffer = memoryview(bytearray(256 * 1024))
    counters = [ByteCounter(client, buffer) for client in crowd.clients[:-1]]
    pacer.sent, pacer.size, pacer.is_over = 0, size, False
    frame = size + (2 if size < 126 else 4)  # with the header: RFC 6455, section 5.2
    for _ in range(WINDOW):
        pacer.send_next()
    await crowd.until_later(WARM_UP)
    start, before = rig.server.clock(), sum(counter.received for counter in counters) / frame + pacer.received
    await crowd.until_later(seconds)
    usage, after = start.until(rig.server.clock()), sum(one.received for one in counters) / frame + pacer.received
    pacer.is_over = True
    await crowd.until(asyncio.ensure_future(_all_received(counters, frame, pacer)), QUIET)
    for counter in counters:
        counter.close()
    return Figure(f"e{len(crowd.clients)}", (after - before) / usage.seconds, usage)


async def _one_message(crowd: Crowd, pacer: Pacer) -> int:
    """Have one message sent and received by everybody, and return the size of its payload in bytes."""
    sizes: list[int] = []

    def on_frame(kind: Kind, payload: bytes) -> None:
        if kind is Kind.MESSAGE:
            sizes.append(len(payload))
        elif kind not in (Kind.STATE, Kind.CHANGED):
            crowd.fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")

    for client in crowd.clients:
        client.tap = client.tap if client is crowd.clients[-1] else None
        client.on_frame = on_frame
    pacer.send_next()
    async with asyncio.timeout(QUIET):
        while len(sizes) < len(crowd.clients):
            await crowd.until_later(0.02)
    if len(set(sizes)) != 1:
        raise RuntimeError(f"messages of different sizes: {set(sizes)}")
    return sizes[0]


async def _all_received(counters: list[ByteCounter], frame: int, pacer: Pacer) -> None:
    """Wait until everybody has received every message; a ping is smaller than one, more than that never ends."""
    while pacer.received != pacer.sent or any(one.received // frame != pacer.sent for one in counters):  # noqa: ASYNC110 - not timed
        await asyncio.sleep(0.02)
