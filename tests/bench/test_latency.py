"""(g) measures every request that was due, also those that a server answers late."""

import time
from typing import cast

import pytest

from bench.clients import Client, Crowd, Kind
from bench.clients.client import OnFrame
from bench.work.latency import Planned


class FakeClient:
    """Keeps what is asked, for the test to answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.on_frame: OnFrame = lambda _kind, _payload: None

    def join(self, _code: str, _number: int) -> None:
        self.asked.append("join")

    def leave(self) -> None:
        self.asked.append("leave")


async def test_a_join_that_is_due_before_the_end_and_answered_after_it_counts() -> None:
    client = FakeClient()
    now = time.perf_counter()
    async with Crowd(lambda _: cast("Client", client)) as crowd:
        guest = Planned(cast("Client", client), "abc-def-ghi", 0, now - 3.0, 1.0, crowd)
        guest.tick(now)  # a join, a leave, a join and a leave are due, and only the first is asked
        assert client.asked == ["join"]
        guest.end()
        for kind in (Kind.JOINED, Kind.LEFT, Kind.JOINED, Kind.LEFT):
            assert not guest.is_idle
            client.on_frame(kind, b"")
    assert client.asked == ["join", "leave", "join", "leave"]
    assert guest.is_idle
    assert [due for due, _ in guest.latencies] == pytest.approx([now - 3.0, now - 1.0])
    assert all(taken >= 1.0 for _, taken in guest.latencies)


async def test_a_guest_with_a_seat_leaves_at_the_end() -> None:
    client = FakeClient()
    now = time.perf_counter()
    async with Crowd(lambda _: cast("Client", client)) as crowd:
        guest = Planned(cast("Client", client), "abc-def-ghi", 0, now, 1.0, crowd)
        guest.tick(now)
        client.on_frame(Kind.JOINED, b"")
        guest.end()
        assert client.asked == ["join", "leave"]
        client.on_frame(Kind.LEFT, b"")
        assert guest.is_idle
