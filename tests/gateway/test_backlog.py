"""Clients that send more than is parsed at once share a part of each turn of the event loop."""

import asyncio

import pytest

from roomd.gateway.backlog import SHARE, Backlog
from roomd.gateway.websocket import FRAMES_A_TURN
from tests.support.processes import PATIENCE
from tests.support.sockets import Recorder, client_frame, turns

FLOOD = client_frame(b"x") * (4 * FRAMES_A_TURN)
"""Four times as many messages as are parsed at once."""


class Work:
    """A clock that moves only by work: `seconds` for each message of the `clients`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.backlog = Backlog(lambda: self.now)
        self.clients: list[Recorder] = []

    def client(self) -> Recorder:
        """Connect one more client."""
        work = self

        class Worker(Recorder):
            def text(self, message: str) -> "asyncio.Future[None] | None":
                work.now += work.seconds
                return super().text(message)

        self.clients.append(Worker(backlog=self.backlog))
        return self.clients[-1]

    def served(self) -> list[int]:
        """Return how many messages of each client were served."""
        return [len(client.messages) for client in self.clients]


@pytest.mark.parametrize(("part", "clients_a_turn"), [(0.4, 3), (0.9, 2), (2.0, 1), (0.01, 10)])
async def test_a_turn_has_a_share_for_all_of_them(part: float, clients_a_turn: int) -> None:
    """However many they are, a turn parses the first of them until its share is used up, and the others in order."""
    work = Work(seconds=SHARE * part / FRAMES_A_TURN)
    for _ in range(10):
        work.client().receive(FLOOD)
    assert work.served() == [FRAMES_A_TURN] * 10
    rounds = [FRAMES_A_TURN] * 10
    parsed = 0
    while min(work.served()) < 4 * FRAMES_A_TURN:
        await asyncio.sleep(0)
        for number in range(parsed, min(parsed + clients_a_turn, 30)):
            rounds[number % 10] += FRAMES_A_TURN
        parsed += clients_a_turn
        assert work.served() == rounds
    await turns()
    assert all(client.transport.is_reading for client in work.clients)


async def test_others_do_not_wait_for_them() -> None:
    """A client that sends little is served when its bytes come, however long the backlog is."""
    work = Work(seconds=SHARE)
    for _ in range(10):
        work.client().receive(FLOOD)
    ordinary = work.client()
    ordinary.receive(client_frame(b"hello"))
    assert ordinary.messages == ["hello"]


async def test_who_must_wait_is_not_parsed() -> None:
    """A client that is held, or has gone, takes no part of a turn; a hold that ends puts it last."""
    work = Work(seconds=SHARE)
    held, gone, other = work.client(), work.client(), work.client()
    for client in work.clients:
        client.receive(FLOOD)
    held.socket.hold_reading(0.001)
    gone.transport.lose()
    await asyncio.sleep(0)
    assert work.served() == [FRAMES_A_TURN, FRAMES_A_TURN, 2 * FRAMES_A_TURN]
    await asyncio.wait_for(held.transport.reading.wait(), PATIENCE)
    assert len(held.messages) == 4 * FRAMES_A_TURN
    assert len(other.messages) == 4 * FRAMES_A_TURN
    assert len(gone.messages) == FRAMES_A_TURN


async def test_a_fault_of_one_does_not_stop_the_others() -> None:
    """The loop reports it, and the next ones are parsed in the next turn."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    backlog, read = Backlog(), []

    class Reader:
        def __init__(self, number: int) -> None:
            self.number = number

        def read_on(self) -> None:
            if not self.number:
                raise ArithmeticError
            read.append(self.number)

    for number in (0, 1, 2):
        backlog.add(Reader(number))
    await turns()
    assert read == [1, 2]
    assert [type(fault) for fault in faults] == [ArithmeticError]
