"""One connection of the client, against a server that says what a test tells it."""

import asyncio
import socket

import msgspec
import pytest

from roomd.client import Closed, Connection, Refused, Unreachable, connect
from roomd.client.connection import decode, is_loopback
from roomd.protocol import events, replies
from roomd.protocol.events import ServerRestarting
from roomd.protocol.replies import PongReply, RoomReply
from roomd.protocol.requests import GetRoom, Ping
from tests.support.people import ROOM
from tests.support.processes import free_port
from tests.support.scripted import Server, serving


async def test_request_and_events() -> None:
    """A reply is found by its id, every frame is heard in order; unknown types are no error."""
    heard: list[replies.Reply | events.Event] = []
    ended = asyncio.Event()

    async def script(server: Server) -> None:
        request = await server.take("ping")
        await server.send("server-restarting", retryAfter=1.5)
        await server.send("invented-tomorrow", anything=1)
        await server.send("room-updated", seq=2, room=ROOM)
        await server.send("pong", id=request["id"])
        await server.send("pong", id="of nobody")
        await server.websocket.close(1012)

    async with serving(script) as url, connect(url, on_frame=heard.append, on_end=ended.set) as connection:
        assert await connection.request(Ping(), PongReply) == PongReply(id=1)
        await ended.wait()
        with pytest.raises(Closed) as closed:
            await connection.request(Ping(), PongReply)
        assert connection.has_ended
    assert (closed.value.code, closed.value.retry_after) == (1012, 1.5)
    assert heard == [
        ServerRestarting(retry_after=1.5),
        events.RoomUpdated(seq=2, room=ROOM),
        PongReply(id=1),
        PongReply(id="of nobody"),
    ]


async def test_requests_side_by_side() -> None:
    """Several may ask at once; one that gives up takes nothing from the others, and its late reply is no trouble."""
    both = asyncio.Event()

    async def script(server: Server) -> None:
        asked = [await server.take("ping") for _ in range(2)]
        both.set()
        await server.take("get-room")
        for request in asked:
            await server.send("pong", id=request["id"])
        await server.gone()

    async with serving(script) as url, connect(url) as connection:
        first, second = (asyncio.create_task(connection.request(Ping(), PongReply)) for _ in range(2))
        await both.wait()
        first.cancel()
        await asyncio.wait({first})
        third = asyncio.create_task(connection.request(GetRoom(code=ROOM.code), RoomReply))
        assert (await second).id == 2
        assert list(connection._waiting) == [3]
    with pytest.raises(Closed):
        await third


async def test_error_without_id() -> None:
    """An error about the connection itself, sent before it closes, is the answer to whatever was asked."""

    async def script(server: Server) -> None:
        for _ in range(2):
            await server.take()
        await server.send("error", statusCode=401, code="token_expired", message="Token has expired")
        await server.websocket.close(4401)

    async with serving(script) as url, connect(url, "t.o.k") as connection:
        answers = await asyncio.gather(connection.ask(Ping()), connection.ask(Ping()), return_exceptions=True)
    for refused in answers:
        assert isinstance(refused, Refused)
        assert (refused.kind.status_code, refused.kind.code) == (401, "token_expired")


@pytest.mark.parametrize("text", ["no json", "[]", '{"type": "room", "room": 1}', '{"type": "pong", "id": 1}'])
async def test_not_roomd(text: str) -> None:
    """What does not speak roomd/1 is said not to."""

    async def script(server: Server) -> None:
        await server.take()
        await server.websocket.send(text)
        await server.gone()

    async with serving(script) as url, connect(url) as connection:
        with pytest.raises(Unreachable, match="does not speak roomd/1"):
            await connection.request(GetRoom(code=ROOM.code), RoomReply)


async def test_a_request_that_is_too_long() -> None:
    """It is refused here: the server would close the connection for good. What fits to the byte is sent."""

    async def script(server: Server) -> None:
        await server.answer("pong")
        await server.gone()

    longest = Ping(id="x" * 64)
    size = len(msgspec.json.encode(longest))
    async with serving(script) as url, connect(url, max_frame=size) as connection:
        with pytest.raises(Refused, match="too_long") as refused:
            await connection.request(GetRoom(code="x" * size), RoomReply)
        assert refused.value.kind.status_code == 0
        assert not connection.has_ended
        await connection.request(longest, PongReply)


async def test_no_answer() -> None:
    """A daemon that says nothing is not waited for forever."""
    words = r"no answer within 0\.2 seconds"
    async with serving(Server.gone) as url, connect(url) as connection:
        connection._patience = 0.2  # from here on, so that it suffices to connect
        with pytest.raises(Unreachable, match=words):
            await connection.request(Ping(), PongReply)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match=words):
        await connect(f"ws://127.0.0.1:{silent.getsockname()[1]}/ws", patience=0.2).__aenter__()


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP status 404"), (b"hello\r\n", "no WebSocket there")],
)
async def test_no_websocket_there(answer: bytes, words: str) -> None:
    """Another server on that port is told from a daemon that is down."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        with pytest.raises(Unreachable, match=words):
            await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws").__aenter__()


async def test_unreachable() -> None:
    """The system's reason is passed on, without asyncio's list of addresses."""
    with pytest.raises(Unreachable) as refused:
        await connect(f"ws://localhost:{free_port()}/ws").__aenter__()
    assert refused.value.reason.startswith(("Connection refused", "Multiple exceptions"))
    with pytest.raises(Unreachable):
        await connect("ws://host.invalid/ws").__aenter__()


async def test_closing_is_cut_short() -> None:
    """Whoever is cancelled while the server takes its time to close is not kept."""
    release = asyncio.Event()
    taken = asyncio.Event()

    async def script(server: Server) -> None:
        await server.take()
        server.websocket.transport.pause_reading()
        taken.set()
        await release.wait()
        server.websocket.transport.resume_reading()

    async def converse(url: str) -> None:
        async with connect(url) as connection:
            held.append(connection)
            asking = asyncio.ensure_future(connection.ask(Ping()))
            await taken.wait()
            asking.cancel()
            closing.set()

    closing = asyncio.Event()
    held: list[Connection] = []
    async with serving(script) as url:
        task = asyncio.create_task(converse(url))
        await closing.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert held[0]._websocket.transport.is_closing()
        release.set()


def test_decode() -> None:
    """Types of a newer daemon are passed over."""
    assert decode(b'{"type": "hologram", "message": {}}') is None
    assert decode(b'{"type": "pong", "id": 1, "extra": true}') == PongReply(id=1)


@pytest.mark.parametrize(
    ("url", "own"),
    [("ws://127.0.0.1:1/", True), ("ws://[::1]/", True), ("ws://localhost/", True), ("ws://rooms.example/", False)],
)
def test_is_loopback(url: str, own: bool) -> None:
    """A proxy of the environment is not asked for this machine."""
    assert is_loopback(url) is own
