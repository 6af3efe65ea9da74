"""(e): everybody in a room is told what its members say, a message of 200 bytes; deliveries are counted.

The members speak in turn, a window of messages under way at any time: whenever one of them, who came last and so is
told last, hears a message, the next speaks. There are so many speakers that each keeps to the limits on a client that
are on by default (`limits.told_rate`, `limits.request_rate`).

All messages are equally long. So the others only count the bytes they receive: a callback a frame would cost more than
the frame cost the server. In the end everybody must have heard exactly what was said.
"""

import asyncio
import itertools

from picows import WSFrame

from bench.rig import Figure, Rig
from roomd.load import Crowd, Kind, Line

WINDOW = 20
SPEAKERS = 50
TEXT = "x" * 200

WARM_UP = 0.3
QUIET = 10.0


class Ears(asyncio.BufferedProtocol):
    """One member who counts bytes; what they are is known."""

    def __init__(self, line: Line, buffer: memoryview) -> None:
        """`buffer` is everybody's: nobody looks at what is in it."""
        assert line.transport is not None
        self.heard = 0
        self._buffer = buffer
        self._transport = line.transport.underlying_transport
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def get_buffer(self, _: int) -> memoryview:
        """See asyncio."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """See asyncio."""
        self.heard += size

    def connection_lost(self, exc: Exception | None) -> None:
        """Be missed: what is said from now on is not heard."""
        self._before.connection_lost(exc)

    def close(self) -> None:
        """Let the line hear again."""
        self._transport.set_protocol(self._before)


class Pacer:
    """The member who has the next speak."""

    def __init__(self, crowd: Crowd[Line]) -> None:
        self.said = 0
        self.heard = 0
        self.is_over = True
        self.size = -1
        """Bytes of a message, as it comes over the wire."""
        self._line = crowd.lines[-1]
        self._line.tap = self._tap
        say = self._line.dialect.say(TEXT)
        self._speakers = itertools.cycle([(line.send, say) for line in crowd.lines[:SPEAKERS]])

    def speak(self) -> None:
        """Have somebody say something."""
        self.said += 1
        send, say = next(self._speakers)
        send(say)

    def _tap(self, frame: WSFrame) -> bool:
        if frame.payload_size != self.size:
            return False
        self.heard += 1
        if not self.is_over:
            self.speak()
        return True


async def fanout(rig: Rig, crowd: Crowd[Line], seconds: float) -> Figure:
    """Measure the deliveries per second to the members of one room, which the crowd is in."""
    pacer = Pacer(crowd)
    size = await _one_message(crowd, pacer)
    buffer = memoryview(bytearray(256 * 1024))
    ears = [Ears(line, buffer) for line in crowd.lines[:-1]]
    pacer.said, pacer.size, pacer.is_over = 0, size, False
    frame = size + (2 if size < 126 else 4)  # RFC 6455, section 5.2
    for _ in range(WINDOW):
        pacer.speak()
    await crowd.until_later(WARM_UP)
    start, before = rig.server.clock(), sum(ear.heard for ear in ears) / frame + pacer.heard
    await crowd.until_later(seconds)
    usage, after = start.until(rig.server.clock()), sum(ear.heard for ear in ears) / frame + pacer.heard
    pacer.is_over = True
    await crowd.until(asyncio.ensure_future(_quiet(ears, frame, pacer)), QUIET)
    for ear in ears:
        ear.close()
    return Figure(f"e{len(crowd.lines)}", (after - before) / usage.seconds, usage)


async def _one_message(crowd: Crowd[Line], pacer: Pacer) -> int:
    """Have one message said and heard by everybody, and return its size."""
    sizes: list[int] = []

    def on_frame(kind: Kind, payload: bytes) -> None:
        if kind is Kind.MESSAGE:
            sizes.append(len(payload))
        elif kind not in (Kind.STATE, Kind.CHANGED):
            crowd.fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")

    for line in crowd.lines:
        line.tap = line.tap if line is crowd.lines[-1] else None
        line.on_frame = on_frame
    pacer.speak()
    async with asyncio.timeout(QUIET):
        while len(sizes) < len(crowd.lines):
            await crowd.until_later(0.02)
    if len(set(sizes)) != 1:
        raise RuntimeError(f"messages of different sizes: {set(sizes)}")
    return sizes[0]


async def _quiet(ears: list[Ears], frame: int, pacer: Pacer) -> None:
    """Wait until everybody has heard everything, pings aside; more than that would never be quiet."""
    while pacer.heard != pacer.said or any(ear.heard // frame != pacer.said for ear in ears):  # noqa: ASYNC110 - no hurry
        await asyncio.sleep(0.02)
