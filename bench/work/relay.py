"""(f): the clients of a pair signal each other, one answer to each offer; signals passed on per second."""

from collections.abc import Iterator

from bench.clients import Client, Crowd, Kind
from bench.rig import Figure, Rig, leave_all

PAIRS = 100
DATA = {"candidate": {"candidate": "candidate:1 1 udp 2122260223 " + "x" * 120, "sdpMid": "0", "sdpMLineIndex": 0}}

WARM_UP = 0.3
"""Seconds before the first signal, and before the measurement."""


class End:
    """One client of a pair."""

    passed = 0
    """How many signals it got."""

    def __init__(self, client: Client, crowd: Crowd) -> None:
        self.client = client
        self.address = ""
        """Whom the other client signals to; empty until this one has joined."""
        self._fail = crowd.fail
        self._signal = b""
        client.on_frame = self._on_frame

    def aim(self, to: str) -> None:
        """Send all signals to the participant `to`."""
        self._signal = self.client.dialect.signal(to, DATA)

    def signal(self) -> None:
        """Send a signal."""
        self.client.send(self._signal)

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.SIGNAL:
            self.passed += 1
            self.client.send(self._signal)
        elif kind is Kind.JOINED:
            self.address = self.client.address or self.client.dialect.address(payload)
        elif kind not in (Kind.STATE, Kind.CHANGED):
            self._fail(f"unexpected frame: {payload[:200].decode(errors='replace')}")


def _pairs(ends: list[End]) -> Iterator[tuple[End, End]]:
    return zip(ends[::2], ends[1::2], strict=True)


async def measure(rig: Rig, seconds: float) -> list[Figure]:
    """Measure signals per second of 100 pairs, each in a room of its own with one signal under way."""
    codes = await rig.create_rooms(PAIRS, 2)
    async with rig.crowd() as crowd:
        ends = [End(client, crowd) for client in await crowd.open(2 * PAIRS)]
        for number, end in enumerate(ends):
            end.client.join(codes[number // 2], number)
        while not all(end.address for end in ends):
            await crowd.until_later(0.05)
        await crowd.until_later(WARM_UP)  # Socket.IO and Colyseus add a client to its room shortly after the answer
        for one, other in _pairs(ends):
            one.aim(other.address)
            other.aim(one.address)
            one.signal()
        await crowd.until_later(WARM_UP)
        start, before = rig.server.clock(), sum(end.passed for end in ends)
        await crowd.until_later(seconds)
        usage, passed = start.until(rig.server.clock()), sum(end.passed for end in ends) - before
        if not passed:
            raise RuntimeError("no signal was passed on")
        await crowd.until(leave_all(crowd))
        return [Figure("f", passed / usage.seconds, usage)]
