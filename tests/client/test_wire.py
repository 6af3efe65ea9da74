"""One connection of the client, against a server that says what a test tells it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from roomd.client import Closed, Connection, Refused, Unreachable, connect
from roomd.client.comeback import LASTING, Comeback, backoff
from roomd.client.connection import decode, is_loopback
from roomd.client.events import Over
from roomd.protocol import events, replies
from roomd.protocol.errors import ErrorKind
from roomd.protocol.events import ServerRestarting
from roomd.protocol.objects import Participant
from roomd.protocol.replies import PongReply, RoomReply
from roomd.protocol.requests import GetRoom, Ping
from tests.client.test_view import JANE, ROOM
from tests.support.processes import free_port

Script = Callable[["Server"], Awaitable[None]]


class Server:
    """One connection, as the daemon would see it."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.asked: list[dict[str, Any]] = []

    async def take(self, type_: str | None = None) -> dict[str, Any]:
        """Wait for the next request, which must be of that type."""
        request: dict[str, Any] = json.loads(await self.websocket.recv())
        assert type_ in (None, request["type"]), request
        self.asked.append({key: value for key, value in request.items() if value is not None})
        return request

    async def send(self, type_: str, **fields: Any) -> None:
        """Send a frame."""
        await self.websocket.send(json.dumps({"type": type_, **msgspec.to_builtins(fields)}))

    async def answer(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Answer the next request."""
        request = await self.take()
        await self.send(type_, id=request["id"], **fields)
        return request

    async def refuse(self, status: int, code: str, message: str = "No", **fields: Any) -> dict[str, Any]:
        """Answer the next request with an error."""
        return await self.answer("error", statusCode=status, code=code, message=message, **fields)

    async def seat(self, *others: Participant, seq: int = 1, me: Participant = JANE, **fields: Any) -> dict[str, Any]:
        """Answer the next request with a seat in the room."""
        request = await self.answer("participant", participant=me, resumeToken=f"after {seq}")
        await self.state(me, *others, seq=seq, **fields)
        return request

    async def state(self, *people: Participant, seq: int = 1, **fields: Any) -> None:
        """Tell the room's state."""
        room = msgspec.structs.replace(ROOM, participant_count=len(people))
        await self.send("room-state", **{"epoch": "e", "seq": seq, "room": room, "messages": [], **fields,
                                         "participants": people})  # fmt: skip

    async def left(self) -> None:
        """Take a `leave-room`, and answer it."""
        request = await self.take("leave-room")
        gone = msgspec.structs.replace(JANE, is_active=False, left_at="2026-03-03T10:40:00.000Z")
        await self.send("participant", id=request["id"], participant=gone)

    async def gone(self) -> None:
        """Wait until the client closes."""
        await self.websocket.wait_closed()


@contextlib.asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[str]:
    """Serve each connection by the next script; the last one serves the rest. A script that fails fails the test."""
    left = list(scripts)
    failed: list[Exception] = []

    async def handler(websocket: ServerConnection) -> None:
        try:
            await (left.pop(0) if len(left) > 1 else left[0])(Server(websocket))
        except Exception as exc:  # noqa: BLE001 - told below
            failed.append(exc)

    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    assert not failed, failed


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


def refused(status: int, code: str, retry_after: float | None = None) -> Refused:
    """An error, as a request raises it."""
    return Refused(ErrorKind(status, code, "No"), retry_after=retry_after)


ENDS: list[tuple[Refused | Closed | Unreachable, float | str]] = [
    (Closed(1006, ""), 0.5),
    (Closed(1012, "", 3.2), 3.2),
    (Closed(1012, "", -1.0), 0.0),
    (Closed(1013, ""), 5.0),
    (Closed(4429, ""), 5.0),
    (Closed(4408, ""), 0.5),
    (Closed(1003, ""), "bad_frame"),
    (Closed(1007, ""), "bad_frame"),
    (Closed(1009, ""), "bad_frame"),
    (Closed(4401, ""), "bad_token"),
    (Closed(4403, ""), "removed"),
    (Closed(4409, ""), "taken_over"),
    (Unreachable("ws://x", "down"), 0.5),
    (refused(503, "unavailable", 1.5), 1.5),
    (refused(429, "rate_limited", 2.5), 2.5),
    (refused(500, "internal_error"), 0.5),
    (refused(401, "token_expired"), "bad_token"),
    (refused(403, "banned"), "removed"),
    (refused(403, "banned", 1.0), "removed"),
    (refused(403, "denied"), "denied"),
    (refused(400, "room_full"), "room_full"),
    (refused(410, "seat_expired"), "seat_expired"),
]


@pytest.mark.parametrize(("end", "verdict"), ENDS)
def test_when_to_come_back(end: Refused | Closed | Unreachable, verdict: float | str) -> None:
    """Every end of a connection has its answer: how long to wait, or why it was the last."""
    after = Comeback(lambda: 1.0, lambda: 0.0, can_renew=False).after(end)
    assert (after.reason if isinstance(after, Over) else after) == verdict


def test_waits_longer_each_time() -> None:
    """The wait doubles to a bound until the client is back and stays; at least half of it is kept."""
    now = [0.0]
    comeback = Comeback(lambda: 1.0, lambda: now[0], can_renew=False)
    delays = [comeback.after(Unreachable("ws://x", "down")) for _ in range(8)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert comeback.after(Closed(1013, "")) == 30.0
    comeback.arrived()
    assert comeback.after(Closed(1006, "")) == 30.0
    now[0] += LASTING
    assert comeback.after(Closed(1006, "")) == 30.0
    comeback.arrived()
    now[0] += LASTING
    assert comeback.after(Closed(1006, "")) == 0.5
    assert comeback.after(Closed(1012, "", 3.0)) == 3.0
    assert comeback.after(Closed(1006, "")) == 2.0
    assert backoff(1, 0.0) == 0.5
    assert backoff(10_000, 1.0) == 30.0


@pytest.mark.parametrize("end", [Closed(4401, ""), refused(401, "token_expired")])
def test_a_fresh_token_is_tried_once(end: Refused | Closed) -> None:
    """Where every connection gets a token of its own, one refusal may be bad luck; two in a row are an answer."""
    comeback = Comeback(lambda: 1.0, lambda: 0.0, can_renew=True)
    for delay in (0.5, 1.0):
        assert comeback.after(end) == delay
        comeback.arrived()
    comeback.after(end)
    second = comeback.after(end)
    assert isinstance(second, Over)
    assert second.reason == "bad_token"
