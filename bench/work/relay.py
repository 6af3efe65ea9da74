"""(f): pairs signal each other, an answer for every offer; signals passed on per second."""

from collections.abc import Iterator

from bench.rig import Figure, Rig, leave_all
from roomd.load import Crowd, Kind, Line

PAIRS = 100
DATA = {"candidate": {"candidate": "candidate:1 1 udp 2122260223 " + "x" * 120, "sdpMid": "0", "sdpMLineIndex": 0}}

WARM_UP = 0.3


class End:
    """One of two who signal each other."""

    passed = 0

    def __init__(self, line: Line, crowd: Crowd[Line]) -> None:
        self.line = line
        self.address = ""
        self.to = ""
        self._fail = crowd.fail
        self._signal = b""
        line.on_frame = self._on_frame

    def start(self, to: str) -> None:
        """Know whom to signal to."""
        self._signal = self.line.dialect.signal(to, DATA)

    def signal(self) -> None:
        """Send one."""
        self.line.send(self._signal)

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.SIGNAL:
            self.passed += 1
            self.line.send(self._signal)
        elif kind is Kind.JOINED:
            self.address = self.line.address or self.line.dialect.address(payload)
        elif kind not in (Kind.STATE, Kind.CHANGED):
            self._fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")


def _pairs(ends: list[End]) -> Iterator[tuple[End, End]]:
    return zip(ends[::2], ends[1::2], strict=True)


async def measure(rig: Rig, seconds: float) -> list[Figure]:
    """Measure the signals per second of a hundred pairs, each in a room of its own, with one signal under way."""
    codes = await rig.create_rooms(PAIRS, 2)
    async with rig.crowd() as crowd:
        ends = [End(line, crowd) for line in await crowd.open(2 * PAIRS)]
        for number, end in enumerate(ends):
            end.line.join(codes[number // 2], number)
        while not all(end.address for end in ends):
            await crowd.until_later(0.05)
        await crowd.until_later(WARM_UP)  # on Socket.IO and Colyseus who joined last is in a moment after the answer
        for one, other in _pairs(ends):
            one.start(other.address)
            other.start(one.address)
            one.signal()
        await crowd.until_later(WARM_UP)
        start, before = rig.server.clock(), sum(end.passed for end in ends)
        await crowd.until_later(seconds)
        usage, passed = start.until(rig.server.clock()), sum(end.passed for end in ends) - before
        if not passed:
            raise RuntimeError("no signal came through")
        await crowd.until(leave_all(crowd))
        return [Figure("f", passed / usage.seconds, usage)]
