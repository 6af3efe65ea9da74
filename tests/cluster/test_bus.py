"""The contract of `Bus`: the bus in memory and NATS keep it. And what NATS alone does."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from roomd.cluster.nats import NatsBus, NatsSettings
from roomd.cluster.ports import Bus, BusFailed
from tests.support.cluster.ear import Ear, until_away, until_there
from tests.support.cluster.network import Network
from tests.support.cluster.waiting import comes_true
from tests.support.nats import NatsServer, running
from tests.support.processes import PATIENCE

Make = Callable[[], Bus]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running(tmp_path) as server:
        yield server


@pytest.fixture(params=["memory", "nats"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    if request.param == "memory":
        yield Network().bus
        return
    server: NatsServer = request.getfixturevalue("server")
    yield lambda: NatsBus(NatsSettings([server.url]))


async def test_messages_arrive_in_their_order(make: Make) -> None:
    """At the node of the name alone."""
    ears = {name: Ear() for name in "abc"}
    buses = {name: make() for name in ears}
    for name, bus in buses.items():
        await bus.open(name, ears[name])
    for number in range(200):
        buses["a"].send("b", b"%d" % number)
    await comes_true(lambda: len(ears["b"].messages) == 200)
    assert ears["b"].messages == [b"%d" % number for number in range(200)]
    assert (ears["a"].messages, ears["c"].messages) == ([], [])
    await until_there(buses["a"])
    for bus in buses.values():
        await bus.close()
        await bus.close()


async def test_a_node_that_is_not_there(make: Make) -> None:
    """The sender is told."""
    ear, other = Ear(), Ear()
    bus, second = make(), make()
    await bus.open("a", ear)
    await second.open("b", other)
    bus.send("b", b"here")
    await comes_true(lambda: other.messages)

    def is_missing(name: str) -> bool:
        bus.send(name, b"hello?")  # again and again: it may be lost
        return name in ear.missing

    await comes_true(lambda: is_missing("nobody"))
    assert set(ear.missing) == {"nobody"}
    await second.close()
    await comes_true(lambda: is_missing("b"))
    assert other.messages == [b"here"]
    await bus.close()


async def test_a_large_message(make: Make) -> None:
    """It arrives in one, though it is larger than the server takes."""
    ear = Ear()
    bus, other = make(), make()
    await bus.open("a", Ear())
    await other.open("b", ear)
    large = bytes(range(256)) * 4096 * 4
    for data in (b"small", large, b"", large + b"!", b"last"):
        bus.send("b", data)
    await comes_true(lambda: len(ear.messages) == 5)
    assert ear.messages == [b"small", large, b"", large + b"!", b"last"]
    await bus.close()
    await other.close()


async def test_nats_comes_back(server: NatsServer) -> None:
    """Nodes connect again by themselves; meanwhile the bus does not answer, and what is sent is lost."""
    ear, other = Ear(), Ear()
    bus, second = NatsBus(NatsSettings([server.url])), NatsBus(NatsSettings([server.url]))
    await bus.open("a", ear)
    await second.open("b", other)
    server.stop()

    await until_away(bus)
    bus.send("b", b"lost")
    assert bus.lost == 1
    server.start()
    await comes_true(lambda: ear.reconnects and other.reconnects)
    await until_there(bus)
    bus.send("b", b"found")
    await comes_true(lambda: other.messages)
    assert other.messages == [b"found"]
    await bus.close()
    await second.close()


async def test_nats_that_is_not_there(tmp_path: Path) -> None:
    """The start fails."""
    server = NatsServer(tmp_path)
    with pytest.raises(BusFailed):
        await NatsBus(NatsSettings([server.url])).open("a", Ear())


async def test_a_refusal_at_the_moment_at_which_the_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start fails, though the client gets the refusal in place of the cancellation."""
    attempts = 0

    async def connect(*_: object, **__: object) -> None:
        nonlocal attempts
        attempts += 1
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            raise ConnectionRefusedError from None

    monkeypatch.setattr("nats.aio.client.TcpTransport.connect", connect)
    monkeypatch.setattr("roomd.cluster.nats.CONNECT_TIMEOUT", 0.1)
    with pytest.raises(BusFailed):
        await NatsBus(NatsSettings(["nats://127.0.0.1:4222"])).open("a", Ear())
    assert attempts == 1


async def test_nats_with_a_password(tmp_path: Path) -> None:
    """It is in the URL; a wrong one is refused at once, with the reason."""
    with running(tmp_path, "--user", "roomd", "--pass", "secret") as server:
        address = server.url.removeprefix("nats://")
        bus = NatsBus(NatsSettings([f"nats://roomd:secret@{address}"]))
        await bus.open("a", Ear())
        await until_there(bus)
        await bus.close()
        with pytest.raises(BusFailed, match="Authorization Violation"):
            await NatsBus(NatsSettings([f"nats://roomd:wrong@{address}"])).open("a", Ear())


@pytest.mark.parametrize("kind", ["closed", "silent", "unknown"])
async def test_no_server_answers(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The start ends with a line for people, and may be tried again. Its own end of a connection is not logged."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "silent":
            listening.listen()
        host = "nobody.invalid" if kind == "unknown" else "127.0.0.1"
        bus = NatsBus(NatsSettings([f"nats://{host}:{listening.getsockname()[1]}"]))
        with pytest.raises(BusFailed, match="no server answers") as failed:
            await bus.open("a", Ear())
    assert not failed.value.is_lasting
    assert "Errno" not in str(failed.value)
    assert "bus disconnected" not in caplog.text
