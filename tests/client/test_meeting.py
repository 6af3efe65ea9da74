"""A meeting as a program sees it that uses `roomd.client`, against a server that says what a test tells it."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from roomd.client import (
    Closed,
    Dropped,
    Entered,
    Joined,
    Meeting,
    Over,
    Placed,
    Refreshed,
    Refused,
    Said,
    Unreachable,
    join,
)
from roomd.client.meeting import open_meeting
from roomd.protocol import objects, replies
from roomd.protocol.requests import JoinRoom
from tests.support.people import BOB, CARL, JANE, ROOM, message, person
from tests.support.processes import PATIENCE, free_port
from tests.support.scripted import JOIN, Server, closing, meeting_with, rest, serving, settings


async def test_a_meeting() -> None:
    """Joins, hears what happens, has the room at hand, and leaves at the end."""
    asked: list[dict[str, Any]] = []

    async def script(server: Server) -> None:
        await server.seat(BOB, seq=4)
        await server.send("participants-changed", seq=5, joined=[CARL], updated=[], left=[])
        await server.send("message", message=message("1"))
        await server.left()
        asked.extend(server.asked)
        await server.gone()
        assert server.websocket.close_code == 1000

    async with serving(script) as url, join(url, ROOM.code, "Jane") as meeting:
        assert await anext(meeting) == Entered()
        assert await anext(meeting) == Joined(CARL)
        assert await anext(meeting) == Said(message("1"))
        assert (meeting.me, list(meeting.participants.values())) == (JANE, [JANE, BOB, CARL])
        assert meeting.room == msgspec.structs.replace(ROOM, participant_count=3)
        assert (meeting.status, meeting.messages, meeting.lobby, meeting.place) == ("joined", [message("1")], (), None)
        assert await meeting.wait_present()
    assert meeting.over == Over("left", "You left the room")
    assert asked == [
        {"type": "join-room", "id": 1, "code": ROOM.code, "guestName": "Jane"},
        {"type": "leave-room", "id": 2},
    ]


Do = Callable[[Meeting], Awaitable[Any]]
OK: dict[str, Any] = {"type": "ok"}
ICE: dict[str, Any] = {"iceServers": [{"urls": ["stun:turn.example:3478"]}], "ttl": 3600}
REQUESTS: list[tuple[Do, dict[str, Any], dict[str, Any], Any]] = [
    (lambda m: m.say("Hi", client_id="c"), {"type": "send-message", "text": "Hi", "clientId": "c"}, OK, None),
    (
        lambda m: m.say("Hi", to="bob", client_id="c"),
        {"type": "send-message", "text": "Hi", "to": "bob", "clientId": "c"},
        OK,
        None,
    ),
    (lambda m: m.raise_hand(), {"type": "update-participant", "state": {"handRaised": "@now"}}, OK, None),
    (lambda m: m.lower_hand(), {"type": "update-participant", "state": {"handRaised": None}}, OK, None),
    (
        lambda m: m.update_state({"muted": True, "handRaised": None}),
        {"type": "update-participant", "state": {"muted": True, "handRaised": None}},
        OK,
        None,
    ),
    (lambda m: m.signal("bob", {"a": [1]}), {"type": "signal", "to": "bob", "data": {"a": [1]}}, OK, None),
    (
        lambda m: m.remove("bob", ban=True, reason="spam"),
        {"type": "remove-participant", "participantId": "bob", "ban": True, "reason": "spam"},
        OK,
        None,
    ),
    (lambda m: m.mute("bob"), {"type": "mute-participant", "participantId": "bob"}, OK, None),
    (lambda m: m.admit("w"), {"type": "admit-participant", "participantId": "w"}, OK, None),
    (lambda m: m.admit_all(), {"type": "admit-all"}, OK, None),
    (lambda m: m.deny("w"), {"type": "deny-participant", "participantId": "w"}, OK, None),
    (lambda m: m.unban("bob"), {"type": "unban", "userId": "bob"}, OK, None),
    (
        lambda m: m.update_room(is_locked=True),
        {"type": "update-room", "code": ROOM.code, "isLocked": True},
        {"type": "room", "room": ROOM},
        ROOM,
    ),
    (
        lambda m: m.update_room(host_id="bob", metadata={}, expires_at="never", end_when_empty=0),
        {
            "type": "update-room",
            "code": ROOM.code,
            "hostId": "bob",
            "metadata": {},
            "expiresAt": "never",
            "endWhenEmpty": 0,
        },
        {"type": "room", "room": ROOM},
        ROOM,
    ),
    (lambda m: m.delete_room(), {"type": "delete-room", "code": ROOM.code}, OK, None),
    (lambda m: m.end_room(), {"type": "end-room", "code": ROOM.code}, {"type": "room", "room": ROOM}, ROOM),
    (
        lambda m: m.ice_servers(),
        {"type": "get-ice-servers"},
        {"type": "ice-servers", **ICE},
        replies.IceServersReply(id=2, ice_servers=[objects.IceServer(urls=["stun:turn.example:3478"])], ttl=3600),
    ),
    (
        lambda m: m.list_messages("1", 5),
        {"type": "list-messages", "code": ROOM.code, "cursor": "1", "limit": 5},
        {"type": "messages", "messages": [], "nextCursor": None},
        replies.MessagesReply(id=2, messages=[], next_cursor=None),
    ),
    (
        lambda m: m.list_bans(limit=5),
        {"type": "list-bans", "limit": 5},
        {"type": "bans", "bans": [], "nextCursor": None},
        replies.BansReply(id=2, bans=[], next_cursor=None),
    ),
]


@pytest.mark.parametrize(("do", "request_", "reply", "result"), REQUESTS)
async def test_requests(do: Do, request_: dict[str, Any], reply: dict[str, Any], result: Any) -> None:
    """Each method asks one thing as docs/protocol.md words it, and returns what the answer brings."""

    async def script(server: Server) -> None:
        await server.seat()
        asked = await server.answer(**{**reply, "type_": reply["type"]})
        asked.pop("id")
        assert {key: value for key, value in asked.items() if value is not None} == request_
        await server.left()

    async with meeting_with(script) as meeting:
        assert await do(meeting) == result


async def test_a_refused_request() -> None:
    """A no is raised where it was asked for, and the meeting goes on."""

    async def script(server: Server) -> None:
        await server.seat()
        await server.refuse(403, "not_host", "Only the host can do this")
        await server.left()

    async with meeting_with(script) as meeting:
        with pytest.raises(Refused) as refused:
            await meeting.admit_all()
        assert refused.value.kind.code == "not_host"
        assert meeting.over is None


async def full(server: Server) -> None:
    """Refuse the join."""
    await server.refuse(400, "room_full", "Room is full")
    await server.gone()


async def test_what_fails_at_first_is_raised() -> None:
    """Before there is a seat nothing is tried again: whoever joins hears why not."""
    async with serving(full) as url:
        with pytest.raises(Refused, match="room_full"):
            await join(url, ROOM.code, "Jane").__aenter__()
    async with serving(closing) as url:
        with pytest.raises(Closed):
            await join(url, ROOM.code, "Jane").__aenter__()
    with pytest.raises(Unreachable):
        await join(f"ws://127.0.0.1:{free_port()}/ws", ROOM.code, "Jane").__aenter__()


async def test_a_seat_without_a_room() -> None:
    """A server that gives a seat and never says the state of the room is not waited for forever."""

    async def script(server: Server) -> None:
        await server.answer("participant", participant=JANE, resumeToken="one")
        await server.gone()

    async with serving(script) as url:
        with pytest.raises(Unreachable, match="the state of the room"):
            await open_meeting(url, JOIN, None, settings(patience=0.2)).__aenter__()


PLACE = {"participantId": "jane", "position": 2, "reason": "room_full"}


async def test_waits() -> None:
    """Who waits is told the place, keeps it over a drop, and comes in under the id of the join."""
    asked: list[dict[str, Any]] = []

    async def first(server: Server) -> None:
        await server.answer("waiting", **PLACE, resumeToken="queue")
        asked.extend(server.asked)
        await server.websocket.close(1011)

    async def again(server: Server) -> None:
        request = await server.answer("waiting", **PLACE, resumeToken="queue-2")
        await server.send("waiting", **{**PLACE, "position": 1})
        await heard.wait()
        await server.send("participant", id=request["id"], participant=JANE, resumeToken="seat")
        await server.state(JANE)
        asked.extend(server.asked)
        await server.left()

    heard = asyncio.Event()
    entry = JoinRoom(code=ROOM.code, guest_name="Jane", wait=True)
    async with serving(first, again) as url, open_meeting(url, entry, None, settings()) as meeting:
        second, nearer = Placed("jane", 2, "room_full"), Placed("jane", 1, "room_full")
        expected = [second, Dropped("Connection lost", 1.0), second, nearer]
        assert [await anext(meeting) for _ in range(4)] == expected
        assert (meeting.status, meeting.place, meeting.room, meeting.me) == ("waiting", nearer, None, None)
        heard.set()
        assert await meeting.wait_present()
        assert (meeting.me, meeting.place) == (JANE, None)
    assert asked[0] == {"type": "join-room", "id": 1, "code": ROOM.code, "guestName": "Jane", "wait": True}
    assert asked[1] == {"type": "resume", "id": 1, "resumeToken": "queue"}


async def test_denied() -> None:
    """Who is not let in hears it, and is not in the way any more."""

    async def script(server: Server) -> None:
        request = await server.answer("waiting", **PLACE)
        fields = {"statusCode": 403, "code": "denied", "message": "The host declined"}
        await server.send("error", id=request["id"], **fields)
        await server.gone()

    async with meeting_with(script) as meeting:
        assert await rest(meeting) == [Placed("jane", 2, "room_full")]
        assert meeting.over == Over("denied", "The host declined")


async def test_leaves_the_queue() -> None:
    """The end of the `async with` gives the place up too."""

    async def script(server: Server) -> None:
        await server.answer("waiting", **PLACE)
        await server.left()

    async with meeting_with(script) as meeting:
        assert meeting.status == "waiting"
    assert meeting.over is not None


async def test_a_slow_reader() -> None:
    """Events beyond the bound are replaced by one `Refreshed`; the view is current all the same."""
    crowd = [person(f"p{number}") for number in range(6)]

    async def script(server: Server) -> None:
        await server.seat()
        for number, one in enumerate(crowd[:5]):
            await server.send("participants-changed", seq=number + 2, joined=[one], updated=[], left=[])
        await server.answer("ok")
        await server.send("participants-changed", seq=7, joined=[crowd[5]], updated=[], left=[])
        await server.left()

    async with meeting_with(script, most_events=3) as meeting:
        await meeting.say("every event before the answer is taken in")
        assert list(meeting.participants.values())[:6] == [JANE, *crowd[:5]]
        got = [await anext(meeting) for _ in range(4)]
        assert got == [Entered(), Joined(crowd[0]), Joined(crowd[1]), Refreshed()]


async def test_leaves_without_an_answer() -> None:
    """A server that does not answer keeps nobody; one that knows no seat is fine."""

    async def silent(server: Server) -> None:
        await server.seat()
        await server.gone()

    async def seatless(server: Server) -> None:
        await server.seat()
        await server.refuse(400, "not_in_room", "Join a room first")
        await server.gone()

    async with meeting_with(silent, leave_patience=0.1) as meeting:
        with pytest.raises(Unreachable, match=r"no answer within 0\.1 seconds"):
            await meeting.leave()
        assert meeting.status == "over"
    async with meeting_with(silent, leave_patience=0.1) as meeting:
        pass
    async with meeting_with(seatless) as meeting:
        await meeting.leave()
        assert meeting.status == "over"


async def test_cancelled_in_the_meeting() -> None:
    """A task that is cancelled in the middle of a meeting leaves it."""
    left = asyncio.Event()
    entered = asyncio.Event()

    async def script(server: Server) -> None:
        await server.seat()
        await server.left()
        left.set()

    async def attendance(url: str) -> None:
        async with join(url, ROOM.code, "Jane") as meeting:
            entered.set()
            await rest(meeting)

    async with serving(script) as url:
        task = asyncio.create_task(attendance(url))
        await entered.wait()
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE)
        assert task.cancelled()
        await asyncio.wait_for(left.wait(), PATIENCE)


async def test_cancelled_while_joining() -> None:
    """Whoever gives up while the join is under way takes it back: no seat is left behind."""
    asked, taken_back = asyncio.Event(), asyncio.Event()

    async def script(server: Server) -> None:
        request = await server.take("join-room")
        asked.set()
        leaving = await server.take("leave-room")
        await server.send("participant", id=request["id"], participant=JANE, resumeToken="one")
        await server.state(JANE)
        gone = msgspec.structs.replace(JANE, left_at=JANE.joined_at)
        await server.send("participant", id=leaving["id"], participant=gone)
        taken_back.set()

    async with serving(script) as url:
        task = asyncio.create_task(join(url, ROOM.code, "Jane").__aenter__())
        await asked.wait()
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE)
        assert task.cancelled()
        await asyncio.wait_for(taken_back.wait(), PATIENCE)


async def test_an_exception_in_the_meeting_is_the_users_own() -> None:
    """What goes wrong in the `async with` comes out as it is, after the room was left."""

    async def script(server: Server) -> None:
        await server.seat()
        await server.left()

    with pytest.raises(ZeroDivisionError):
        async with meeting_with(script):
            raise ZeroDivisionError


async def test_closing_twice() -> None:
    """Closing is fine however often, and where nothing was opened."""
    meeting = Meeting("ws://127.0.0.1:1/ws", JOIN, None, settings())
    for _ in range(2):
        await meeting.close()
        assert await rest(meeting) == []


def test_loads_nothing_of_the_daemon() -> None:
    """A program that uses the library loads the words it shares with the daemon, and no more."""
    program = (
        "import sys, roomd.client; print(*sorted({n.split('.')[1] for n in sys.modules if n.startswith('roomd.')}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert sorted(done.stdout.split()) == ["client", "protocol"]
