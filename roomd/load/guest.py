"""A guest of a load test: it joins and leaves one room repeatedly, and sends each request after the last reply.

A guest must need much less processor time than the daemon needs to serve it. So frames are not parsed: their first
bytes show their type.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from roomd.load.times import Times

MIN_INTERVAL = 0.0025
"""The least seconds between two requests of a guest: 400 a second, below the daemon's default limit of 500."""
RETRY_AFTER = 0.5
"""The seconds that a guest waits after a refusal."""
MAX_FRAME = 64 * 1024 * 1024
"""The bytes of the largest frame that a guest accepts: the state of a large room."""
HANDSHAKE_TIMEOUT = 60.0
"""The seconds that the WebSocket's handshake may take."""

LEAVE = b'{"type":"leave-room","id":2}'
"""The request to leave, as JSON."""


class Counts:
    """The counts and the times of all guests of a test."""

    def __init__(self) -> None:
        self.joins = Times()
        """The durations of joins since the last `take`."""
        self.leaves = Times()
        """The durations of leaves since the last `take`."""
        self.errors: Counter[str] = Counter()
        """The number of each error since the start of the test: codes of refusals, and lost connections."""

    def take(self) -> tuple[Times, Times]:
        """Return the durations of joins and of leaves, and start new ones."""
        taken = self.joins, self.leaves
        self.joins, self.leaves = Times(), Times()
        return taken


class Guest(WSListener):
    """One guest with one WebSocket."""

    def __init__(self, code: str, number: int, counts: Counts) -> None:
        """Build a guest for the room `code`. `number` is a part of the guest's name."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """The future that is done when `end` was called and the guest has left."""
        self._join = f'{{"type":"join-room","id":1,"code":"{code}","guestName":"Guest {number:04}"}}'.encode()
        self._counts = counts
        self._transport: WSTransport | None = None
        self._asked_at = 0.0
        self._is_ending = False
        self._is_closed = False

    async def connect(self, url: str) -> None:
        """Open the WebSocket at `url`.

        Raises `OSError` and `picows.WSError` when that fails.
        """
        await ws_connect(
            lambda: self, url, max_frame_size=MAX_FRAME, websocket_handshake_timeout=HANDSHAKE_TIMEOUT
        )  # fmt: skip

    def start(self) -> None:
        """Send a join, unless `end` was called."""
        if not self._is_ending:
            self._ask(self._join)
        elif not self.ended.done():
            self.ended.set_result(None)

    def end(self) -> asyncio.Future[None]:
        """Let the guest leave after its running request, and return `ended`."""
        self._is_ending = True
        return self.ended

    async def close(self) -> None:
        """Drop the connection."""
        self._is_closed = True
        if self._transport:
            self._transport.disconnect()
            await self._transport.wait_disconnected()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count a reply and send the next request. Other frames are ignored."""
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            if payload.startswith(b'{"type":"participant",'):
                # The order of keys is not guaranteed, so search the whole frame. The ids that roomd makes are strings.
                if b'"id":2' in payload:
                    self._answered(self._counts.leaves, self.start)
                else:
                    self._answered(self._counts.joins, self._leave)
            elif payload.startswith(b'{"type":"error",'):
                self._counts.errors[refusal_code(payload)] += 1
                asyncio.get_running_loop().call_later(RETRY_AFTER, self.start)
        elif frame.msg_type == WSMsgType.CLOSE:
            self._lost(f"closed by the server with {int.from_bytes(frame.get_payload_as_bytes()[:2])}")
            transport.disconnect()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Count the lost connection, unless `close` was called."""
        self._lost("connection lost")

    def _lost(self, reason: str) -> None:
        if not self._is_closed:
            self._counts.errors[reason] += 1

    def _leave(self) -> None:
        self._ask(LEAVE)

    def _ask(self, request: bytes) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._asked_at = time.perf_counter()
            self._transport.send(WSMsgType.TEXT, request)

    def _answered(self, times: Times, then: Callable[[], None]) -> None:
        taken = time.perf_counter() - self._asked_at
        times.add(taken)
        if taken < MIN_INTERVAL:
            asyncio.get_running_loop().call_later(MIN_INTERVAL - taken, then)
        else:
            then()


def refusal_code(refusal: bytes) -> str:
    """Return the code of an `error` reply, or its first 200 bytes if it has none."""
    try:
        code: str = msgspec.json.decode(refusal)["code"]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeError):
        return refusal[:200].decode(errors="replace")
    return code
