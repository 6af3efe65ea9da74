"""The parts of the command line's client that need no daemon: input, addresses, words, and `roomd room` in pages."""

import asyncio
import json
import os
from pathlib import Path

import msgspec
import pytest
import typer

from roomd.cli.access import Access, websocket_url
from roomd.cli.keyboard import LONGEST_LINE, typed_lines
from roomd.cli.meeting_text import HELLO, describe_end, describe_event, list_people
from roomd.cli.options import room_code
from roomd.cli.output import plain, table
from roomd.cli.rooms import list_rooms
from roomd.client import (
    AnyMeetingEvent,
    Dropped,
    Entered,
    Joined,
    Left,
    LobbyChanged,
    MessagesSkipped,
    MuteRequested,
    Over,
    Placed,
    Refreshed,
    Returned,
    RoomChanged,
    Said,
    Signalled,
    Updated,
    View,
)
from roomd.config import ConfigError, ServerConfig, local_url
from roomd.protocol.events import WaitingChanged
from tests.support.people import BOB, BOB_AWAY, CARL, JANE, ROOM, WAITER, message, person, present
from tests.support.processes import PATIENCE
from tests.support.scripted import Server, serving


async def typed(data: bytes, tmp_path: Path, *, regular: bool) -> list[str]:
    """Return the lines the keyboard finds in a pipe or a regular file."""
    if regular:
        (tmp_path / "typed").write_bytes(data)
        descriptor = os.open(tmp_path / "typed", os.O_RDONLY)
    else:
        descriptor, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
    try:
        async with asyncio.timeout(PATIENCE):
            return [line async for line in typed_lines(descriptor)]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("regular", [True, False])
async def test_keyboard(tmp_path: Path, regular: bool) -> None:
    """Lines come whole from a pipe and from a file, the last one too; a line too long to keep is dropped."""
    assert await typed(b"/who\n \xff\n/leave", tmp_path, regular=regular) == ["/who", "\ufffd", "/leave"]
    if regular:
        [line] = await typed(b"x" * (LONGEST_LINE + 10_000) + b"\n", tmp_path, regular=True)
        assert len(line) < LONGEST_LINE


async def test_keyboard_without_input() -> None:
    """A standard input that is closed is one that has ended."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    assert [line async for line in typed_lines(descriptor)] == []


async def test_keyboard_waits_for_its_reader() -> None:
    """No more is read from a pipe than is asked for, and nothing is watched once nobody asks."""
    descriptor, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    lines = typed_lines(descriptor)
    assert await anext(lines) == "one"
    os.write(writing, b"three\n")
    assert await anext(lines) == "two"
    waiting = asyncio.ensure_future(anext(lines))
    assert await waiting == "three"
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
    os.close(writing)


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
        ("http://host/meet/", "ws://host/meet/ws"),
        ("https://host/a/meet/?x=1#abc-def-ghi", "wss://host/a/meet/ws?x=1"),
        ("https://host/meet/ws", "wss://host/meet/ws"),
        ("ws://host//", "ws://host/ws"),
    ],
)
def test_websocket_url(typed: str, url: str) -> None:
    """An address is taken as people type it."""
    assert websocket_url(typed) == url


CASES = json.loads((Path(__file__).parents[1] / "cases" / "codes.json").read_text(encoding="utf-8"))
LINKS = [
    *CASES["links (page and command line)"],
    "https://meet.example/?room=abc%E2%80%93def-ghi",
    "<https://meet.example/meet/#ABC-DEF-GHI>",
    "meet.example/#abc-def-ghi.",
]


@pytest.mark.parametrize("typed", [*CASES["abc-def-ghi"], *LINKS])
def test_room_code(typed: str) -> None:
    """A code is taken as people paste it, and so is a link to the room."""
    assert room_code(typed) == "abc-def-ghi"


@pytest.mark.parametrize("typed", [*CASES["none"], "https://meet.example/", "https://meet.example/#code=abc"])
def test_room_code_refused(typed: str) -> None:
    """A text without a code is refused."""
    with pytest.raises(typer.BadParameter, match="is no room code"):
        room_code(typed)


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


LOCAL: list[tuple[tuple[str, ...], str]] = [
    (("unix:/run/roomd.sock", "[::]:9000", "127.0.0.1:9001"), "ws://[::1]:9000/ws"),
    (("127.0.0.1:0", "localhost:9001"), "ws://localhost:9001/ws"),
]


@pytest.mark.parametrize(("listen", "url"), LOCAL)
def test_local_url_of_listen(listen: tuple[str, ...], url: str) -> None:
    """Commands use the first TCP address whose port is known."""
    assert local_url(ServerConfig(listen=listen)) == url


NOT_LOCAL: list[tuple[ServerConfig, str]] = [
    (ServerConfig(listen=("unix:/run/roomd.sock",)), "server.listen has only Unix sockets, which have no URL: give"),
    (ServerConfig(listen=("[::1]:0",)), "a port in server.listen is 0, so only the daemon knows its port: give --url"),
    (ServerConfig(port=0), "server.port is 0, so only the daemon knows its port: give --url"),
]


@pytest.mark.parametrize(("server", "message"), NOT_LOCAL)
def test_no_local_url(server: ServerConfig, message: str) -> None:
    """Where only the daemon or the proxy knows the address, the message says what to give."""
    with pytest.raises(ConfigError, match=f"^{message}"):
        local_url(server)


async def test_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """A list is complete, however many pages the daemon cuts it into."""
    asked: list[str | None] = []

    async def script(server: Server) -> None:
        for _ in range(3):
            request = await server.take("list-rooms")
            asked.append(request["cursor"])
            following = {None: "2", "2": "3", "3": None}[request["cursor"]]
            await server.send("rooms", id=request["id"], rooms=[ROOM], nextCursor=following)
        await server.gone()

    async with serving(script) as url:
        await asyncio.to_thread(list_rooms, Access(url=url, token="t.o.k"), json=True)
    assert asked == [None, "2", "3"]
    printed = json.loads(capsys.readouterr().out)
    assert (printed["type"], len(printed["rooms"]), printed["nextCursor"]) == ("rooms", 3, None)


CHANGED = msgspec.structs.replace(
    ROOM, name="\x1b", is_locked=True, max_participants=9, allow_guest_access=False, waiting_room=True,
    participant_count=2,
)  # fmt: skip
EVIL = person("evil", display_name="\x1b[2J", guest_name=None, is_host=True, role="host")
SEAT_WAITER = msgspec.structs.replace(WAITER, reason="room_full", is_active=False, display_name="\x1b", guest_name=None)

WORDS: list[tuple[AnyMeetingEvent, list[str]]] = [
    (Placed("jane", 2, "waiting_room"), ["You wait for the host to let you in, at position 2."]),
    (Placed("jane", 1, "room_full"), ["You wait for a seat, at position 1."]),
    (Placed("jane", 1, "invented_tomorrow"), ["You wait in the queue, at position 1."]),
    (Joined(CARL), ["+ Carl (guest) joined"]),
    (Joined(EVIL), ["+ \\x1b[2J (host) joined"]),
    (Joined(person("dora", role="cohost")), ["+ Dora (co-host, guest) joined"]),
    (Updated(BOB_AWAY, BOB), ["~ Bob dropped, the seat is held"]),
    (Updated(BOB, BOB_AWAY), ["~ Bob is back"]),
    (
        Updated(person("bob", state={"muted": True, "x": "\u202e"}), person("bob", state={"hand": 1, "muted": False})),
        ['~ Bob is now {"muted":true,"x":"\\u202e","hand":null}'],
    ),
    (Updated(person("jane", is_active=False, state={"muted": True}), JANE), []),
    (Left(BOB), ["- Bob left"]),
    (Left(JANE), []),
    (
        RoomChanged(CHANGED, ROOM),
        [
            "* The room is locked",
            "* The room is now called \\x1b",
            "* The room now has 9 seats",
            "* Guests are no longer let in",
            "* Newcomers wait for the host",
        ],
    ),
    (
        RoomChanged(ROOM, msgspec.structs.replace(CHANGED, name=ROOM.name, max_participants=ROOM.max_participants)),
        ["* The room is open again", "* Guests are allowed", "* Newcomers come in at once"],
    ),
    (RoomChanged(ROOM, ROOM), []),
    (Said(message("1")), ["Bob: text 1"]),
    (Said(msgspec.structs.replace(message("1"), display_name="\x1b", text="a\nb\x07")), ["\\x1b: a\\nb\\x07"]),
    (Said(message("1", sender="jane")), ["you: text 1"]),
    (Said(message("1", to="jane")), ["Bob to you alone: text 1"]),
    (Said(message("1", sender="jane", to="bob")), ["you to Bob alone: text 1"]),
    (Said(message("1", sender="jane", to="carl")), ["you to somebody who left alone: text 1"]),
    (
        MessagesSkipped("1", "2"),
        ["* Some messages are not shown here; `roomd room messages` lists all of them"],
    ),
    (MuteRequested(), ["* The host asks you to mute yourself"]),
    (LobbyChanged((WAITER, SEAT_WAITER)), ["* In the queue: W (guest), \\x1b (away, waits for a seat)"]),
    (LobbyChanged(()), ["* Nobody waits any more"]),
    (Returned(), ["You are back."]),
    (Refreshed(), ["* More has changed than can be shown; /who shows who is here"]),
    (Signalled("bob", {}), []),
    (Dropped("x", 1.0), []),
]


@pytest.mark.parametrize(("event", "lines"), WORDS)
def test_words(event: AnyMeetingEvent, lines: list[str]) -> None:
    """Every event is a line for people, or none: about oneself, and what only programs care for, nothing is said."""
    assert describe_event(event, present(BOB)) == lines


def test_who() -> None:
    """Who comes in is shown the room, who is there, and what was said last; hosts see who waits."""
    said = tuple(message(str(number)) for number in range(12))
    view = present(BOB_AWAY, said=said)
    listed = ["  Jane (you, guest)", "  Bob (guest, away)"]
    assert describe_event(Entered(), view) == [
        HELLO,
        "Weekly (abc-def-ghi), 2 of 5 seats taken:",
        *listed,
        *(f"Bob: text {number}" for number in range(2, 12)),
    ]
    view.apply(WaitingChanged(waiting=[WAITER]))
    assert list_people(view) == [*listed, "  1. in the queue: W (guest)"]
    assert describe_event(Entered(), View()) == [HELLO]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (Over("left", ""), "You left."),
        (Over("room_ended", ""), "The room has ended."),
        (Over("room_ended", "", "expired"), "The room has ended: its time is over."),
        (Over("room_ended", "", "deleted"), "The room was deleted."),
        (Over("removed", "You were removed"), "The host removed you from the room."),
        (Over("removed", "You were removed", "spam\x1b"), "The host removed you from the room: spam\\x1b"),
        (Over("denied", "The host declined"), "The host declined to let you in."),
        (Over("room_locked", "Room is locked"), "room_locked: Room is locked"),
    ],
)
def test_ends(over: Over, words: str) -> None:
    """Why a meeting is over is said in words."""
    assert describe_end(over) == words
