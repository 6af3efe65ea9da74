"""A guest of a load test: joins and leaves one room again and again, each time as soon as the last answer is there.

The guests must cost far less than the daemon does for them, so no frame is parsed: its first bytes say what it is.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from roomd.load.times import Times

PACE = 0.0025
"""Least seconds from one request of a guest to the next: below the limit a daemon has by default, 500 a second."""
RETRY_AFTER = 0.5
"""Seconds that a guest waits after a refusal."""
MAX_FRAME = 64 * 1024 * 1024
"""Bytes of the largest frame that a guest accepts: the state of a large room."""
HANDSHAKE_PATIENCE = 60.0
"""Seconds for the WebSocket's handshake."""

LEAVE = b'{"type":"leave-room","id":2}'


class Tally:
    """What all guests of a test have done."""

    def __init__(self) -> None:
        self.joins = Times()
        """How long joins took, since the last `take`."""
        self.leaves = Times()
        """How long leaves took, since the last `take`."""
        self.errors: Counter[str] = Counter()
        """How often each error occurred since the start of the test: codes of refusals, lost connections."""

    def take(self) -> tuple[Times, Times]:
        """Return the times of joins and of leaves, and begin new ones."""
        taken = self.joins, self.leaves
        self.joins, self.leaves = Times(), Times()
        return taken


class Guest(WSListener):
    """One guest, on one WebSocket."""

    def __init__(self, code: str, number: int, tally: Tally) -> None:
        """`code` is the room's; `number` makes the guest's name."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the guest was asked to end and has left."""
        self._join = f'{{"type":"join-room","id":1,"code":"{code}","guestName":"Guest {number:04}"}}'.encode()
        self._tally = tally
        self._transport: WSTransport | None = None
        self._asked_at = 0.0
        self._is_ending = False
        self._is_closed = False

    async def connect(self, url: str) -> None:
        """Open the WebSocket; raise `OSError` or `picows.WSError` when that fails."""
        await ws_connect(
            lambda: self, url, max_frame_size=MAX_FRAME, websocket_handshake_timeout=HANDSHAKE_PATIENCE
        )  # fmt: skip

    def start(self) -> None:
        """Ask for a seat, unless the guest is to end."""
        if not self._is_ending:
            self._ask(self._join)
        elif not self.ended.done():
            self.ended.set_result(None)

    def end(self) -> asyncio.Future[None]:
        """Give up the seat, or the one that is granted next, and ask for no other; return `ended`."""
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
        """Count an answer, and send the next request; other frames mean nothing here."""
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            if payload.startswith(b'{"type":"participant",'):
                # Anywhere in it, since the order of keys is not promised; the ids that roomd makes are strings.
                if b'"id":2' in payload:
                    self._answered(self._tally.leaves, self.start)
                else:
                    self._answered(self._tally.joins, self._leave)
            elif payload.startswith(b'{"type":"error",'):
                self._tally.errors[refusal_code(payload)] += 1
                asyncio.get_running_loop().call_later(RETRY_AFTER, self.start)
        elif frame.msg_type == WSMsgType.CLOSE:
            self._lost(f"closed by the server with {int.from_bytes(frame.get_payload_as_bytes()[:2])}")
            transport.disconnect()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Count the loss, unless `close` was called."""
        self._lost("connection lost")

    def _lost(self, reason: str) -> None:
        if not self._is_closed:
            self._tally.errors[reason] += 1

    def _leave(self) -> None:
        self._ask(LEAVE)

    def _ask(self, request: bytes) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._asked_at = time.perf_counter()
            self._transport.send(WSMsgType.TEXT, request)

    def _answered(self, times: Times, then: Callable[[], None]) -> None:
        taken = time.perf_counter() - self._asked_at
        times.add(taken)
        if taken < PACE:
            asyncio.get_running_loop().call_later(PACE - taken, then)
        else:
            then()


def refusal_code(refusal: bytes) -> str:
    """Return the code of an `error` reply, or its first 200 bytes if it has none."""
    try:
        code: str = msgspec.json.decode(refusal)["code"]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeError):
        return refusal[:200].decode(errors="replace")
    return code
