"""The parts of the command line's client: against a scripted server, and those that are pure."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from websockets.asyncio.server import ServerConnection, serve

from roomd.cli.access import Access, websocket_url
from roomd.cli.client import Closed, Unreachable, connect, decode, is_loopback
from roomd.cli.join import Attendance, Over, backoff
from roomd.cli.keyboard import LONGEST_LINE, Keyboard
from roomd.cli.output import plain, table
from roomd.cli.rooms import list_rooms
from roomd.cli.roster import Roster
from roomd.config import ServerConfig, local_url
from roomd.errors import Refused
from roomd.frames import (
    GetRoom,
    JoinRoom,
    Participant,
    ParticipantsChanged,
    Ping,
    PongReply,
    Room,
    RoomReply,
    RoomState,
    RoomUpdated,
    ServerRestarting,
)
from tests.conftest import PATIENCE, free_port

ROOM = Room(
    id="r", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=5,
    allow_guest_access=True, waiting_room=False, participant_count=1, created_at="2026-03-03T10:35:00.000Z",
    ended_at=None,
)  # fmt: skip
JANE = Participant(
    id="p", room_id="r", user_id=None, guest_name="Jane", is_active=True, is_host=False,
    joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name="Jane",
)  # fmt: skip
JOIN = JoinRoom(code=ROOM.code, guest_name="Jane")

Script = Callable[[ServerConnection], Awaitable[None]]


async def send(websocket: ServerConnection, type_: str, **fields: Any) -> None:
    """Send a frame as the daemon would."""
    await websocket.send(json.dumps({"type": type_, **msgspec.to_builtins(fields)}))


async def seat(websocket: ServerConnection) -> dict[str, Any]:
    """Answer the first request of a connection with a seat, and return it."""
    request: dict[str, Any] = json.loads(await websocket.recv())
    await send(websocket, "participant", id=request["id"], participant=JANE, resumeToken="again")
    await send(websocket, "room-state", epoch="e", seq=1, room=ROOM, participants=[JANE])
    return request


@contextlib.asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[str]:
    """Serve each connection by the next script; the last one serves the rest."""
    left = list(scripts)

    async def handler(websocket: ServerConnection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(websocket)

    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


async def test_request_and_events() -> None:
    """A reply is found by its id; what overtakes it is kept, in order; unknown types are no error."""

    async def script(websocket: ServerConnection) -> None:
        request = json.loads(await websocket.recv())
        await send(websocket, "server-restarting", retryAfter=1.5)
        await send(websocket, "invented-tomorrow", anything=1)
        await send(websocket, "room-updated", seq=2, room=ROOM)
        await send(websocket, "pong", id=request["id"])
        await websocket.close(1012)

    async with serving(script) as url, connect(url) as connection:
        assert await connection.request(Ping(), PongReply) == PongReply(id=1)
        assert await connection.receive() == ServerRestarting(retry_after=1.5)
        assert await connection.receive() == RoomUpdated(seq=2, room=ROOM)
        with pytest.raises(Closed) as closed:
            await connection.receive()
    assert (closed.value.code, closed.value.retry_after) == (1012, 1.5)


async def test_error_without_id() -> None:
    """An error about the connection itself, sent before it closes, is the answer to whatever was asked."""

    async def script(websocket: ServerConnection) -> None:
        await send(websocket, "error", statusCode=401, code="token_expired", message="Token has expired")
        await websocket.close(4401)

    async with serving(script) as url, connect(url, "t.o.k") as connection:
        with pytest.raises(Refused) as refused:
            await connection.request(Ping(), PongReply)
    assert (refused.value.kind.status_code, refused.value.kind.code) == (401, "token_expired")


@pytest.mark.parametrize("text", ["no json", "[]", '{"type": "room", "room": 1}', '{"type": "pong", "id": 1}'])
async def test_not_roomd(text: str) -> None:
    """What does not speak roomd/1 is said not to."""

    async def script(websocket: ServerConnection) -> None:
        await websocket.recv()
        await websocket.send(text)
        await websocket.wait_closed()

    async with serving(script) as url, connect(url) as connection:
        with pytest.raises(Unreachable, match="does not speak roomd/1"):
            await connection.request(GetRoom(code=ROOM.code), RoomReply)


async def test_no_answer() -> None:
    """A daemon that says nothing is not waited for forever."""
    words = r"no answer within 0\.2 seconds"
    async with serving(ServerConnection.wait_closed) as url, connect(url, patience=0.2) as connection:
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


def test_decode() -> None:
    """Types of a newer daemon are passed over."""
    assert decode(b'{"type": "message", "message": {}}') is None
    assert decode(b'{"type": "pong", "id": 1, "extra": true}') == PongReply(id=1)


@pytest.mark.parametrize(
    ("url", "own"),
    [("ws://127.0.0.1:1/", True), ("ws://[::1]/", True), ("ws://localhost/", True), ("ws://rooms.example/", False)],
)
def test_is_loopback(url: str, own: bool) -> None:
    """A proxy of the environment is not asked for this machine."""
    assert is_loopback(url) is own


def attendance(url: str) -> Attendance:
    """Attend with a pipe nobody writes to."""
    quiet, _ = os.pipe()
    return Attendance(url, lambda: None, JOIN, keyboard=quiet)


@pytest.mark.parametrize(
    ("code", "words"),
    [(4403, "The host removed you"), (4409, "taken over"), (4401, "the token"), (1007, "did not understand")],
)
async def test_final_closes(code: int, words: str) -> None:
    """After a close that means no, it does not come back, and says why."""

    async def script(websocket: ServerConnection) -> None:
        await seat(websocket)
        await websocket.close(code)

    async with serving(script) as url:
        with pytest.raises(Over, match=words):
            await asyncio.wait_for(attendance(url).run(), PATIENCE)


async def test_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """It resumes after a drop, waits as long as a refusal asks, and joins anew when the seat is gone."""
    asked: list[dict[str, Any]] = []

    async def drop(websocket: ServerConnection) -> None:
        asked.append(await seat(websocket))
        await send(websocket, "server-restarting", retryAfter=0.01)
        await websocket.close(1012)

    def refuse(**error: Any) -> Script:
        async def script(websocket: ServerConnection) -> None:
            asked.append(json.loads(await websocket.recv()))
            await send(websocket, "error", id=asked[-1]["id"], **error)
            await websocket.wait_closed()

        return script

    async def end(websocket: ServerConnection) -> None:
        asked.append(await seat(websocket))
        await send(websocket, "room-ended", seq=2, roomId="r")
        await websocket.wait_closed()

    busy = refuse(statusCode=503, code="unavailable", message="Storage is unavailable", retryAfter=0.01)
    gone = refuse(statusCode=410, code="seat_expired", message="Seat is no longer held")
    async with serving(drop, busy, gone, end) as url:
        await asyncio.wait_for(attendance(url).run(), PATIENCE)
    assert [request["type"] for request in asked] == ["join-room", "resume", "resume", "join-room"]
    assert [request.get("resumeToken") for request in asked] == [None, "again", "again", None]
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "The room has ended."
    assert err.splitlines() == [
        "Connection lost; coming back in 0.0 s.",
        "Storage is unavailable; coming back in 0.0 s.",
        "Your seat is no longer held, joining anew.",
    ]


async def test_first_connection_closed() -> None:
    """Before there is a seat, a close is no drop: it is passed on."""

    async def full(websocket: ServerConnection) -> None:
        await websocket.close(1013)

    async with serving(full) as url:
        with pytest.raises(Closed):
            await attendance(url).run()


async def test_leaves_without_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon that goes while the person leaves does not keep them, nor does one that knows no seat of theirs."""

    async def gone(websocket: ServerConnection) -> None:
        await seat(websocket)
        await websocket.recv()
        await websocket.close(1011)

    async def seatless(websocket: ServerConnection) -> None:
        await seat(websocket)
        request = json.loads(await websocket.recv())
        await send(
            websocket, "error", id=request["id"], statusCode=400, code="not_in_room", message="Join a room first"
        )
        await websocket.wait_closed()

    ended, writing = os.pipe()
    os.close(writing)
    for script, words in ((gone, "gives the seat up by itself"), (seatless, "")):
        async with serving(script) as url:
            await asyncio.wait_for(Attendance(url, lambda: None, JOIN, keyboard=ended).run(), PATIENCE)
        out, err = capsys.readouterr()
        assert "You left." not in out
        assert words in err
    os.close(ended)


def test_backoff() -> None:
    """The wait doubles to a bound, and at least half of it is kept."""
    assert [backoff(attempt, 1.0) for attempt in (0, 1, 2, 6, 10_000)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert backoff(1, 0.0) == 0.5


async def typed(data: bytes, tmp_path: Path, *, regular: bool) -> list[str]:
    """Return the lines the keyboard finds in a pipe or a regular file."""
    lines: list[str] = []
    ended = asyncio.Event()
    if regular:
        (tmp_path / "typed").write_bytes(data)
        descriptor = os.open(tmp_path / "typed", os.O_RDONLY)
    else:
        descriptor, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
    keyboard = Keyboard(descriptor, lines.append, ended.set)
    await asyncio.wait_for(ended.wait(), PATIENCE)
    keyboard.close()
    os.close(descriptor)
    return lines


@pytest.mark.parametrize("regular", [True, False])
async def test_keyboard(tmp_path: Path, regular: bool) -> None:
    """Lines come whole from a pipe and from a file; a line too long to keep is dropped, not kept."""
    assert await typed(b"/who\n \xff\n/leave", tmp_path, regular=regular) == ["/who", "\ufffd"]
    if regular:
        [line] = await typed(b"x" * (LONGEST_LINE + 10_000) + b"\n", tmp_path, regular=True)
        assert len(line) < LONGEST_LINE


async def test_keyboard_without_input() -> None:
    """A standard input that is closed is one that has ended."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    ended = asyncio.Event()
    Keyboard(descriptor, print, ended.set)
    await asyncio.wait_for(ended.wait(), PATIENCE)


def test_plain() -> None:
    """Nothing in a name steers the terminal; everything else stays as it is."""
    assert plain("\x1b[2J\u202egnp\n\x9b") == "\\x1b[2J\\u202egnp\\n\\x9b"
    for name in ("Zoë", "日本", "👩\u200d💻", "\u05d0\u05d1", "O'Neil & Söhne"):
        assert plain(name) == name
    assert table(("A", "B"), [("\x1b", "x")]) == "A     B\n\\x1b  x"


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("localhost:8765", "ws://localhost:8765/ws"),
        ("https://rooms.example/", "wss://rooms.example/ws"),
        ("ws://[::1]:1/other", "ws://[::1]:1/other"),
    ],
)
def test_websocket_url(typed: str, url: str) -> None:
    """An address is taken as people type it."""
    assert websocket_url(typed) == url


@pytest.mark.parametrize("typed", ["", "ws://", "ftp://host", "ws://user@host/ws", "ws://host:0/ws", "ws://[/ws"])
def test_websocket_url_refused(typed: str) -> None:
    """An address that is none is refused."""
    with pytest.raises(typer.BadParameter):
        websocket_url(typed)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "ws://127.0.0.1:8765/ws"),
        ("::", "ws://[::1]:8765/ws"),
        ("::1", "ws://[::1]:8765/ws"),
        ("rooms.internal", "ws://rooms.internal:8765/ws"),
    ],
)
def test_local_url(host: str, url: str) -> None:
    """A daemon that listens everywhere is reached by the loopback address."""
    assert local_url(ServerConfig(host=host)) == url


async def test_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """A list is complete, however many pages the daemon cuts it into."""
    asked: list[str | None] = []

    async def script(websocket: ServerConnection) -> None:
        async for text in websocket:
            request = json.loads(text)
            asked.append(request["cursor"])
            following = {None: "2", "2": "3", "3": None}[request["cursor"]]
            await send(websocket, "rooms", id=request["id"], rooms=[ROOM], nextCursor=following)

    async with serving(script) as url:
        await asyncio.to_thread(list_rooms, Access(url=url, token="t.o.k"), json=True)
    assert asked == [None, "2", "3"]
    printed = json.loads(capsys.readouterr().out)
    assert (printed["type"], len(printed["rooms"]), printed["nextCursor"]) == ("rooms", 3, None)


def test_roster_tells_settings() -> None:
    """Every setting people notice is told when it changes, and only then."""
    roster = Roster()
    roster.me = JANE
    assert roster.apply(RoomUpdated(seq=1, room=ROOM)) == []
    changed = msgspec.structs.replace(
        ROOM, name="\x1b", is_locked=True, max_participants=9, allow_guest_access=False, participant_count=2
    )
    roster.apply(RoomState(epoch="e", seq=1, room=ROOM, participants=[JANE]))
    assert roster.apply(RoomUpdated(seq=2, room=changed)) == [
        "* The room is locked",
        "* The room is now called \\x1b",
        "* The room now has 9 seats",
        "* Guests are no longer let in",
    ]
    assert roster.apply(RoomUpdated(seq=3, room=changed)) == []
    opened = msgspec.structs.replace(changed, is_locked=False, allow_guest_access=True)
    assert roster.apply(RoomUpdated(seq=4, room=opened)) == ["* The room is open again", "* Guests are allowed"]


def test_roster_says_nothing_of_its_own_seat() -> None:
    """People are not told about themselves, nor of changes that nobody sees."""
    roster = Roster()
    roster.me = JANE
    roster.apply(RoomState(epoch="e", seq=1, room=ROOM, participants=[JANE]))
    away = msgspec.structs.replace(JANE, is_active=False)
    assert roster.apply(ParticipantsChanged(seq=2, joined=[], updated=[away], left=[])) == []
    assert roster.who() == ["  Jane (you, guest, away)"]
    assert roster.apply(ParticipantsChanged(seq=3, joined=[], updated=[], left=[away])) == []
    assert roster.who() == []
    assert roster.apply(ServerRestarting(retry_after=1)) == []
