"""Messages on their way, the kept seat, codes in links, and text that is no Unicode."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roomd.client import Closed, KeptSeat, NoAnswer, Refused, SeatFile, code_of
from roomd.client.encoding import encode
from roomd.client.outbox import MOST_WAITING
from roomd.client.presence import Presence, hands
from roomd.protocol.requests import Signal
from tests.support.people import BOB, JANE, message, person
from tests.support.scripted import Server, Sleep, drop, meeting_with, until


async def test_each_message_has_its_own_id() -> None:
    """Without one of the program's own it is drawn; it has at most 64 characters."""
    drawn: list[str] = []

    async def script(server: Server) -> None:
        await server.seat()
        drawn.extend([(await server.answer("ok"))["clientId"] for _ in range(20)])
        await server.left()

    async with meeting_with(script) as meeting:
        for _ in range(20):
            await meeting.say("Hello")
    assert len(set(drawn)) == 20
    assert all(1 <= len(one) <= 64 for one in drawn)


async def test_what_has_no_answer_is_sent_again_in_order() -> None:
    """Several messages that a drop cut off come with the next connection, in the order they were said, each once."""
    sent: list[str] = []

    async def cut(server: Server) -> None:
        await server.seat()
        sent.append((await server.take("send-message"))["text"])
        await server.websocket.close(1011)

    async def back(server: Server) -> None:
        await server.seat()
        while len(sent) < 4:
            request = await server.take()
            if request["type"] == "send-message":
                sent.append(request["text"])
                await server.send("ok", id=request["id"])
            else:
                await server.send("messages", id=request["id"], messages=[], nextCursor=None)
        await server.left()

    async with meeting_with(cut, back) as meeting:
        await asyncio.gather(*(meeting.say(str(number)) for number in range(3)))
    assert sent == ["0", "0", "1", "2"]


async def test_a_message_that_turns_up_is_answered() -> None:
    """One that is among the missed messages was kept: it is not sent again."""
    own = msgspec.structs.replace(message("m1"), participant_id=JANE.id, client_id="c")

    async def cut(server: Server) -> None:
        await server.seat()
        await server.take("send-message")
        await server.send("message", message=msgspec.structs.replace(own, id="m0", participant_id=BOB.id))
        await server.send("message", message=own)
        await server.websocket.close(1011)

    async def back(server: Server) -> None:
        await server.seat()
        assert (await server.answer("messages", messages=[], nextCursor=None))["type"] == "list-messages"
        listed.set()
        await server.left()

    listed = asyncio.Event()
    async with meeting_with(cut, back) as meeting:
        await meeting.say("Hello", client_id="c")
        await listed.wait()


async def test_a_message_without_an_answer_is_given_up() -> None:
    """It is asked again on a connection that lives, for a stated time; later messages are not held up."""
    asked: list[str] = []

    async def script(server: Server) -> None:
        await server.seat()
        while (request := await server.take())["type"] == "send-message":
            if request["text"] == "lost":
                asked.append(request["clientId"])
            else:
                await server.send("ok", id=request["id"])
        await server.left(request)

    async with meeting_with(script, patience=1, message_patience=4) as meeting:
        with pytest.raises(NoAnswer, match=r"no answer within 4 seconds"):
            await meeting.say("lost", client_id="c")
        await meeting.say("Hello")
    assert len(asked) > 1
    assert set(asked) == {"c"}


async def test_a_request_without_an_answer_fails_and_later_ones_go_on() -> None:
    """No request holds up another one: it fails after a stated time, with an error of its own."""

    async def script(server: Server) -> None:
        await server.seat()
        await server.take("admit-all")
        await server.answer("ok")
        await server.left()

    async with meeting_with(script, patience=2) as meeting:
        first = asyncio.create_task(meeting.admit_all())
        await asyncio.sleep(0)
        await meeting.mute("bob")
        with pytest.raises(NoAnswer, match=r"no answer within 2 seconds"):
            await first


async def test_messages_wait_for_the_connection() -> None:
    """A hundred may wait, and no more; the end of the meeting ends the waiting."""
    sleep = Sleep(asleep=True)
    async with meeting_with(drop(), sleep=sleep) as meeting:
        await sleep.began.wait()
        waiting = [asyncio.create_task(meeting.say("Hello")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="too_many"):
            await meeting.say("Hello")
        with pytest.raises(Closed):
            await meeting.leave()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, Closed)


async def test_who_waits_says_nothing() -> None:
    """There is no seat to say it from."""

    async def script(server: Server) -> None:
        await server.answer("waiting", participantId="jane", position=1, reason="room_full", resumeToken="t")
        await server.left()

    async with meeting_with(script) as meeting:
        with pytest.raises(Closed):
            await meeting.say("Hello")


HALF = "cut emoji \ud83d"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("plain", "plain"),
        (HALF, "cut emoji \ufffd"),
        ("\ud83d\udca5", "\U0001f4a5"),
        ({HALF: [HALF, 1, None, (HALF,)]}, {"cut emoji \ufffd": ["cut emoji \ufffd", 1, None, ["cut emoji \ufffd"]]}),
        (
            Signal(to=HALF, data=msgspec.Raw(b"[1]")),
            {"type": "signal", "id": None, "to": "cut emoji \ufffd", "data": [1]},
        ),
    ],
)
def test_what_is_no_unicode_is_replaced(value: Any, sent: Any) -> None:
    """Half of a surrogate pair becomes U+FFFD, in keys and values; two halves that belong together one character."""
    assert json.loads(encode(value)) == sent


async def test_half_an_emoji_raises_nothing() -> None:
    """In messages, signals and presence."""
    asked: list[dict[str, Any]] = []

    async def script(server: Server) -> None:
        await server.seat()
        asked.extend([await server.answer("ok") for _ in range(3)])
        await server.left()

    async with meeting_with(script) as meeting:
        await meeting.say(HALF)
        await meeting.signal("bob", {"text": HALF})
        await meeting.update_state({"mood": HALF})
    assert (asked[0]["text"], asked[1]["data"], asked[2]["state"]) == (
        "cut emoji \ufffd",
        {"text": "cut emoji \ufffd"},
        {"mood": "cut emoji \ufffd"},
    )


def test_hands_in_the_order_they_went_up() -> None:
    """A hand without a time comes last."""
    people = [
        person("a", state={"handRaised": "2026-03-03T10:37:02.000Z"}),
        person("b", state={"handRaised": True}),
        person("c", state={"handRaised": "2026-03-03T10:37:01.000Z"}),
        person("d", state={"handRaised": False}),
    ]
    assert [one.id for one in hands(people)] == ["c", "a", "b"]


def test_a_raised_hand_keeps_its_time_in_another_seat() -> None:
    """What the server made of "@now" goes along, and not "@now" again."""
    presence = Presence()
    presence.accept({"handRaised": "@now", "clock": "@now"})
    presence.remember(person("jane", state={"handRaised": "2026-03-03T10:37:00.000Z"}))
    assert presence.restore(person("jane-2")) == {"handRaised": "2026-03-03T10:37:00.000Z", "clock": "@now"}


def test_a_seat_in_a_file(tmp_path: Path) -> None:
    """Only the owner may read it; what is no seat is none; a place that cannot be written keeps nothing."""
    file = SeatFile(tmp_path / "seat")
    assert file.load() is None
    seat = KeptSeat("abc-def-ghi", "jane", "token")
    file.save(seat)
    assert file.load() == seat
    assert stat.S_IMODE((tmp_path / "seat").stat().st_mode) == 0o600
    file.forget()
    file.forget()
    assert list(tmp_path.iterdir()) == []
    for nonsense in (b"", b"{}", b"\xff", b"[1]"):
        (tmp_path / "seat").write_bytes(nonsense)
        assert file.load() is None
    nowhere = SeatFile(tmp_path / "missing" / "seat")
    nowhere.save(seat)
    assert nowhere.load() is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("https://meet.example/#abc-def-ghi", "abc-def-ghi"),
        (" HTTPS://meet.example/rooms/#code=abc-def-ghi&token=x\n", "abc-def-ghi"),
        ("http://127.0.0.1:8765/?room=abc-def-ghi", "abc-def-ghi"),
        ("meet.example/#abc-def-ghi", "abc-def-ghi"),
        ("https://meet.example/?room=abc-def-ghi", "abc-def-ghi"),
        ("https://meet.example/", "https://meet.example/"),
        ("ABC DEF GHI", "ABC DEF GHI"),
    ],
)
def test_the_code_may_be_a_link(text: str, code: str) -> None:
    """What is no link is left as it is."""
    assert code_of(text) == code


async def test_the_hold_can_be_set_before_and_after() -> None:
    """The server is told on each connection."""
    holds: list[float] = []

    async def script(server: Server) -> None:
        await server.seat()
        await server.answer("ok")
        holds.append(server.asked[-1]["hold"])
        await server.answer("ok")
        holds.append(server.asked[-1]["hold"])
        await server.left()

    async with meeting_with(script) as meeting:
        await meeting.update_connection(hold=10)
        await until(lambda: holds == [10])
        await meeting.update_connection(hold=5)
        await until(lambda: holds == [10, 5])
