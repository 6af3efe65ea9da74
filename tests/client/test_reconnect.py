"""A meeting over more than one connection: drops, restarts, refusals, gaps, and ends."""

import asyncio
from typing import Any

import pytest

from roomd.client import (
    Closed,
    Dropped,
    Entered,
    Joined,
    Left,
    MessagesSkipped,
    Over,
    Replaced,
    Returned,
    Said,
    SeatLost,
    ServerRestarts,
    Updated,
)
from roomd.client.catch_up import CATCH_UP
from roomd.client.meeting import open_meeting
from tests.support.people import BOB, BOB_AWAY, CARL, JANE, ROOM, message, person
from tests.support.processes import PATIENCE
from tests.support.scripted import (
    JOIN,
    Server,
    Sleep,
    closing,
    drop,
    end,
    meeting_with,
    rest,
    serving,
    settings,
)


async def test_comes_back() -> None:
    """After a drop it resumes, waiting longer each time, and tells what changed meanwhile."""
    sleep = Sleep()
    asked: list[dict[str, Any]] = []

    async def busy(server: Server) -> None:
        await server.refuse(503, "unavailable", "Storage is unavailable", retryAfter=6.25)
        await server.gone()

    async def back(server: Server) -> None:
        await end(BOB_AWAY, CARL, seq=7, messages=[message("1")])(server)
        asked.extend(server.asked)

    async with meeting_with(drop(1011, BOB), closing, busy, back, sleep=sleep) as meeting:
        assert await rest(meeting) == [
            Entered(),
            Dropped("Connection lost", 1.0),
            Dropped("Connection lost", 5.0),
            Dropped("Storage is unavailable", 6.25),
            Returned(),
            Joined(CARL),
            Updated(BOB_AWAY, BOB),
            Said(message("1")),
        ]
        assert meeting.over == Over("room_ended", "The room has ended")
    assert sleep.delays == [1.0, 5.0, 6.25]
    assert asked[0] == {"type": "resume", "id": 1, "resumeToken": "after 1"}


async def test_drops_on_the_way_in() -> None:
    """A connection that goes between the seat and the room was no return: the next one resumes what it gave."""
    asked: list[dict[str, Any]] = []

    async def half(server: Server) -> None:
        await server.answer("participant", participant=JANE, resumeToken="half")
        await server.websocket.close(1011)

    async def back(server: Server) -> None:
        await end(seq=7)(server)
        asked.extend(server.asked)

    async with meeting_with(drop(), half, back) as meeting:
        lost = [Dropped("Connection lost", 1.0), Dropped("Connection lost", 2.0)]
        assert await rest(meeting) == [Entered(), *lost, Returned()]
    assert asked[0] == {"type": "resume", "id": 1, "resumeToken": "half"}


async def test_a_restart() -> None:
    """A server that restarts says when to come back."""
    sleep = Sleep()

    async def script(server: Server) -> None:
        await server.seat()
        await server.send("server-restarting", retryAfter=3.2)
        await server.websocket.close(1012)

    async with meeting_with(script, end(seq=1), sleep=sleep) as meeting:
        assert await rest(meeting) == [Entered(), ServerRestarts(), Dropped("Connection lost", 3.2), Returned()]
    assert sleep.delays == [3.2]


async def test_an_unreachable_server_is_tried_again() -> None:
    """While nobody listens, it tries on with growing waits."""
    sleep = Sleep(asleep=True)
    async with serving(drop()) as url:
        joining = open_meeting(url, JOIN, None, settings(sleep))
        meeting = await joining.__aenter__()
        await sleep.began.wait()
    sleep.gate.set()
    events = [await anext(meeting) for _ in range(4)]
    assert [event.delay for event in events if isinstance(event, Dropped)] == [1.0, 2.0, 4.0]
    assert str(events[2]).count("Cannot reach the server: Connect")
    await joining.__aexit__(None, None, None)


async def test_joins_anew() -> None:
    """When the held seat has expired, it joins again on the same connection."""
    asked: list[dict[str, Any]] = []
    again = person("jane-2")

    async def gone(server: Server) -> None:
        await server.refuse(410, "seat_expired", "Seat is no longer held")
        await end(CARL, me=again)(server)
        asked.extend(server.asked)

    async with meeting_with(drop(1011, BOB), gone) as meeting:
        expected = [Entered(), Dropped("Connection lost", 1.0), SeatLost(), Entered(), Joined(CARL), Left(BOB)]
        assert await rest(meeting) == expected
        assert meeting.me == again
    assert [request["type"] for request in asked] == ["resume", "join-room", "list-messages"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(4403, "removed"), (4409, "taken_over"), (1003, "bad_frame"), (1009, "bad_frame")],
)
async def test_final_closes(code: int, reason: str) -> None:
    """After a close that means no it does not come back, and says why."""
    async with meeting_with(drop(code)) as meeting:
        assert await rest(meeting) == [Entered()]
        assert meeting.over is not None
        assert (meeting.over.code, meeting.status) == (reason, "over")
        assert not await meeting.wait_present()
        with pytest.raises(Closed):
            await meeting.say("Hello?")
        await meeting.leave()


async def test_removed() -> None:
    """The host's reason is passed on, and the close after it is no drop."""

    async def script(server: Server) -> None:
        await server.seat()
        await server.send("removed", reason="spam")
        await server.websocket.close(4403)

    async with meeting_with(script) as meeting:
        await rest(meeting)
        assert meeting.over == Over("removed", "You were removed from this room", "spam")


async def test_refused_for_good() -> None:
    """What is refused on the way back, with nothing to wait for, is the end."""

    async def locked(server: Server) -> None:
        await server.refuse(403, "room_locked", "Room is locked")
        await server.gone()

    async with meeting_with(drop(), locked) as meeting:
        await rest(meeting)
        assert meeting.over == Over("room_locked", "Room is locked")


@pytest.mark.parametrize(
    ("code", "over"),
    [("banned", Over("removed", "The host declined")), ("denied", Over("denied", "The host declined"))],
)
async def test_sent_away_while_away(code: str, over: Over) -> None:
    """A `resume` that is answered with the host's no is the end: it is not tried again, and no join follows."""
    asked: list[dict[str, Any]] = []

    async def no(server: Server) -> None:
        await server.refuse(403, code, "The host declined")
        asked.extend(server.asked)
        await server.gone()

    sleep = Sleep()
    async with meeting_with(drop(), no, sleep=sleep) as meeting:
        assert await rest(meeting) == [Entered(), Dropped("Connection lost", 1.0)]
        assert meeting.over == over
    assert [request["type"] for request in asked] == ["resume"]
    assert sleep.delays == [1.0]


async def test_what_was_said_meanwhile() -> None:
    """On the way back, what was said is read page by page, by the server's cursors, and told in its order."""
    asked: list[dict[str, Any]] = []
    public, private, now = message("1"), message("2", to="jane"), message("4")

    async def leave_behind(server: Server) -> None:
        await server.seat(messages=[message("0")])
        await server.websocket.close(1011)

    async def busy(server: Server) -> None:
        await server.seat(messages=[message("0"), public])
        await server.take("list-messages")
        await server.websocket.close(1011)

    async def back(server: Server) -> None:
        await server.seat(messages=[message("0"), public, message("3")])
        await server.answer("messages", messages=[public], nextCursor="1")
        request = await server.take("list-messages")
        await server.send("message", message=now)
        await server.send("messages", id=request["id"], messages=[private, message("3")], nextCursor=None)
        asked.extend(server.asked)
        await server.left()

    async with meeting_with(leave_behind, busy, back) as meeting:
        events = [await anext(meeting) for _ in range(9)]
        said = [public, private, message("3"), now]
        assert events[4:] == [Returned(), *(Said(one) for one in said)]
        assert not any(isinstance(event, Said) for event in events[:5])
        assert meeting.messages == [message("0"), *said]
    page = {"type": "list-messages", "id": CATCH_UP, "code": ROOM.code, "limit": 200}
    assert asked[1:3] == [{**page, "cursor": "0"}, {**page, "cursor": "1"}]


async def test_what_was_said_cannot_be_had() -> None:
    """A server that does not tell what was said costs messages, which is told, and not the meeting."""

    async def back(server: Server) -> None:
        await server.seat(messages=[message("1")])
        await server.refuse(503, "unavailable")
        await server.left()

    async with meeting_with(drop(), back) as meeting:
        expected = [
            Entered(),
            Dropped("Connection lost", 1.0),
            Returned(),
            MessagesSkipped(None, "1"),
            Said(message("1")),
        ]
        assert [await anext(meeting) for _ in range(5)] == expected
        assert meeting.status == "joined"


async def test_a_gap() -> None:
    """Events that are missing are noticed; the room is asked for anew on the same connection, once."""

    async def script(server: Server) -> None:
        await server.seat(BOB, seq=4)
        await server.send("participants-changed", seq=6, joined=[], updated=[], left=[])
        request = await server.take("join-room")
        assert (request["code"], request["guestName"]) == (ROOM.code, "Jane")
        await server.send("participants-changed", seq=7, joined=[], updated=[], left=[CARL])
        await server.send("participant", id=request["id"], participant=JANE, resumeToken="again")
        await (await server.websocket.ping())  # a second request would be here before the answer to this
        await server.state(JANE, CARL, seq=7)
        await server.answer("messages", messages=[], nextCursor=None)
        await server.send("participants-changed", seq=8, joined=[BOB], updated=[], left=[])
        await server.left()

    async with meeting_with(script) as meeting:
        events = [await anext(meeting) for _ in range(5)]
        assert events == [Entered(), Joined(CARL), Left(BOB), Replaced(), Joined(BOB)]
        assert list(meeting.participants.values()) == [JANE, CARL, BOB]


async def test_a_gap_that_cannot_be_mended() -> None:
    """When the room is not told anew, a new connection resumes."""
    asked: list[dict[str, Any]] = []

    async def script(server: Server) -> None:
        await server.seat(seq=4)
        await server.send("room-updated", seq=6, room=ROOM)
        await server.refuse(429, "rate_limited", retryAfter=2.5)
        await server.gone()

    async def back(server: Server) -> None:
        await end(seq=6)(server)
        asked.extend(server.asked)

    async with meeting_with(script, back) as meeting:
        assert await rest(meeting) == [Entered(), Dropped("Connection lost", 2.5), Returned()]
    assert asked[0]["type"] == "resume"


async def test_what_was_said_is_asked_for_later() -> None:
    """A server that wants a pause before the next page gets it."""
    sleep = Sleep()

    async def back(server: Server) -> None:
        await server.seat(messages=[message("1")])
        await server.refuse(429, "rate_limited", retryAfter=2.5)
        await server.answer("messages", messages=[message("1")], nextCursor=None)
        await server.left()

    async with meeting_with(drop(), back, sleep=sleep) as meeting:
        expected = [Entered(), Dropped("Connection lost", 1.0), Returned(), Said(message("1"))]
        assert [await anext(meeting) for _ in range(4)] == expected
    assert sleep.delays == [1.0, 2.5]


async def test_a_pause_is_cut_short() -> None:
    """Whoever waits to ask for missed messages notices that the connection is lost."""
    sleep = Sleep(asleep=True)

    async def pausing(server: Server) -> None:
        await server.seat(messages=[message("1")])
        await server.refuse(429, "rate_limited", retryAfter=2.5)
        await server.websocket.close(1011)

    async with meeting_with(drop(), pausing, end(messages=[message("1")]), sleep=sleep) as meeting:
        await sleep.began.wait()
        sleep.began.clear()
        sleep.let_one_pass()
        await sleep.began.wait()  # the pause of 2.5 s, which nothing ends
        sleep.gate.set()
        assert [event for event in await rest(meeting) if isinstance(event, Said)] == [Said(message("1"))]


async def test_requests_while_away() -> None:
    """What is asked as the connection goes, and while there is none, is told so; nothing is kept for later."""
    sleep = Sleep(asleep=True)

    async def script(server: Server) -> None:
        await server.seat()
        await server.take("mute-participant")
        await server.websocket.close(1011)

    async def back(server: Server) -> None:
        await server.seat()
        await server.answer("messages", messages=[message("1")], nextCursor=None)
        await server.left()

    async with meeting_with(script, back, sleep=sleep) as meeting:
        with pytest.raises(Closed):
            await meeting.mute("bob")
        assert meeting.status == "reconnecting"
        with pytest.raises(Closed):
            await meeting.mute("bob")
        sleep.gate.set()
        assert await meeting.wait_present()
        while not meeting.messages:
            await anext(meeting)


async def test_leaves_while_away() -> None:
    """Nobody has to wait for a server that does not come back; it was not told, and that is said."""
    sleep = Sleep(asleep=True)
    async with meeting_with(drop(), sleep=sleep) as meeting:
        await sleep.began.wait()
        with pytest.raises(Closed):
            await meeting.leave()
        assert meeting.over == Over("left", "You left the room")
        assert await rest(meeting) == [Entered(), Dropped("Connection lost", 1.0)]
        await meeting.leave()


async def test_cancelled_while_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes on in the background after the `async with`, which waits for nobody."""
    monkeypatch.setattr("roomd.client.meeting.CLOSE_TIMEOUT", PATIENCE)
    sleep = Sleep(asleep=True)
    before = asyncio.all_tasks()
    async with serving(drop()) as url:
        async with asyncio.timeout(PATIENCE), open_meeting(url, JOIN, None, settings(sleep)):
            await sleep.began.wait()
        assert not [task for task in asyncio.all_tasks() - before if "_run" in repr(task)]
    assert len(sleep.delays) == 1
