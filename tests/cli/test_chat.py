"""What is typed in `roomd join`, and how a visit ends, against a server that says what a test tells it."""

import asyncio
import os
from typing import Any

import msgspec
import pytest

from roomd.cli.chat import LONGEST_MESSAGE, Chat, CommandError, Person, find_exact, find_person
from roomd.cli.join import MeetingEnded, TerminalMeeting
from roomd.cli.meeting_text import HELLO
from roomd.client import Closed
from roomd.client.meeting import open_meeting
from roomd.protocol.requests import JoinRoom
from tests.support.people import BOB, CARL, ROOM, WAITER, message, person
from tests.support.processes import PATIENCE
from tests.support.scripted import JOIN, Script, Server, Sleep, closing, meeting_with, serving, settings

OK: dict[str, Any] = {"type_": "ok"}
TYPED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Hello, all", {"type": "send-message", "text": "Hello, all"}, OK),
    ("/say /me waves", {"type": "send-message", "text": "/me waves"}, OK),
    ("/SAY  hi", {"type": "send-message", "text": "hi"}, OK),
    ("/msg Bob hi  there", {"type": "send-message", "text": "hi  there", "to": "bob"}, OK),
    ("/msg bob hi", {"type": "send-message", "text": "hi", "to": "bob"}, OK),
    ("/msg Jane Smith hi", {"type": "send-message", "text": "hi", "to": "smith"}, OK),
    ('/msg "jane smith" hi', {"type": "send-message", "text": "hi", "to": "smith"}, OK),
    ("/mute BOB", {"type": "mute-participant", "participantId": "bob"}, OK),
    ("/remove Bob", {"type": "remove-participant", "participantId": "bob", "ban": False}, OK),
    (
        "/ban Bob for spam",
        {"type": "remove-participant", "participantId": "bob", "ban": True, "reason": "for spam"},
        OK,
    ),
    ("/admit W", {"type": "admit-participant", "participantId": "w"}, OK),
    ("/admit all", {"type": "admit-all"}, OK),
    ("/deny w", {"type": "deny-participant", "participantId": "w"}, OK),
    ("/lock", {"type": "update-room", "code": ROOM.code, "isLocked": True}, {"type_": "room", "room": ROOM}),
    ("/unlock", {"type": "update-room", "code": ROOM.code, "isLocked": False}, {"type_": "room", "room": ROOM}),
    ("/end", {"type": "end-room", "code": ROOM.code}, {"type_": "room", "room": ROOM}),
]


def room_with(reply: dict[str, Any], asked: list[dict[str, Any]]) -> Script:
    """Serve a room with people in it and somebody in line, and answer one request."""

    async def script(server: Server) -> None:
        await server.seat(BOB, person("smith", display_name="Jane Smith"), CARL, person("carl-2", display_name="Carl"))
        await server.send("waiting-changed", waiting=[WAITER])
        await server.answer(**reply)
        asked.append({key: value for key, value in server.asked[-1].items() if key != "id"})
        await server.left()

    return script


@pytest.mark.parametrize(("line", "request_", "reply"), TYPED)
async def test_typed(line: str, request_: dict[str, Any], reply: dict[str, Any]) -> None:
    """Each line asks for what it says; people are called by name, however it is capitalised, or by id."""
    asked: list[dict[str, Any]] = []
    async with meeting_with(room_with(reply, asked)) as meeting:
        for _ in range(2):
            await anext(meeting)
        assert await Chat(meeting, lambda: None).serve(line) == []
    assert [{key: value for key, value in one.items() if key != "clientId"} for one in asked] == [request_]


MISTYPED = [
    ("/nonsense", "There is no such command"),
    ("/msg Nobody hi", "There is nobody else with that name"),
    ("/msg Bobby hi", "There is nobody else with that name"),
    ("/msg Jane hi", "There is nobody else with that name"),
    ("/mute Bob please", "There is nobody else with that name"),
    ("/msg Carl hi", "Several people have that name; give an id: carl, carl-2"),
    ("/msg Bob", "A message has 1 to 2,000 characters"),
    ("x" * (LONGEST_MESSAGE + 1), "A message has 1 to 2,000 characters"),
    ("/admit", "There is nobody else with that name"),
]


@pytest.mark.parametrize(("line", "words"), MISTYPED)
async def test_mistyped(line: str, words: str) -> None:
    """What cannot be meant is said to be wrong, and nothing is asked."""
    asked: list[dict[str, Any]] = []
    async with meeting_with(room_with(OK, asked)) as meeting:
        chat = Chat(meeting, lambda: None)
        with pytest.raises(CommandError, match=words):
            await chat.serve(line)
        await chat.serve("what is asked first is this")
    assert asked[0]["text"] == "what is asked first is this"


async def test_typed_in_vain() -> None:
    """A refusal is passed on with nothing in it that steers a terminal; a lost connection is said to be lost."""
    sleep = Sleep(asleep=True)

    async def script(server: Server) -> None:
        await server.seat()
        await server.refuse(403, "not_host", "Only\x1b the host")
        await server.websocket.close(1011)

    async with meeting_with(script, sleep=sleep) as meeting:
        chat = Chat(meeting, lambda: None)
        with pytest.raises(CommandError) as refused:
            await chat.serve("/lock")
        assert str(refused.value) == "not_host: Only\\x1b the host"
        await sleep.began.wait()
        with pytest.raises(CommandError, match="the connection is lost"):
            await chat.serve("/unlock")


async def test_what_only_shows() -> None:
    """/who and /help ask for nothing; /leave says so."""
    gone = asyncio.Event()
    asked: list[dict[str, Any]] = []
    async with meeting_with(room_with(OK, asked)) as meeting:
        chat = Chat(meeting, gone.set)
        assert (await chat.serve("/who"))[:2] == ["  Jane (you, guest)", "  Bob (guest)"]
        helped = await chat.serve("/help")
        assert any("/ban NAME [REASON]" in line and "ban the user" in line for line in helped)
        await chat.serve("/leave")
        assert gone.is_set()
        await chat.serve("bye")


BOB_SAYS_I, SPAMMER = Person("b1", "Bob I"), Person("b2", "bob spam")
FOUND: list[tuple[str, Person, str]] = [
    ("jane smithers", Person("1", "Jane"), "smithers"),
    ("2", Person("2", "Jane Smith"), ""),
    ("2 is  here", Person("2", "Jane Smith"), "is  here"),
    ('"jane" smith is here', Person("1", "Jane"), "smith is here"),
    ('"Jane Smith" is here', Person("2", "Jane Smith"), "is here"),
    ('"Q" "R" hello', Person("3", 'Q" "R'), "hello"),
    ("4 me", Person("4", "Four"), "me"),
]


@pytest.mark.parametrize(("text", "somebody", "rest"), FOUND)
def test_find(text: str, somebody: Person, rest: str) -> None:
    """People are meant by id, by name or by "name", and what follows is kept as typed; an id wins over a name."""
    people = [Person("1", "Jane"), Person("2", "Jane Smith"), Person("3", 'Q" "R'), Person("4", "Four")]
    assert find_person(text, [*people, Person("5", "4 me"), Person("6", "4")]) == (somebody, rest)


AMBIGUOUS = [
    ("Bob I love you", '"Bob" (b), "Bob I" (b1)'),
    ("bob spam", '"Bob" (b), "bob spam" (b2)'),
    ("Bob spam for ever", '"Bob" (b), "bob spam" (b2)'),
]


@pytest.mark.parametrize(("text", "names"), AMBIGUOUS)
def test_find_asks(text: str, names: str) -> None:
    """Nobody takes another's message or ban by a name that goes on as the sentence does: it has to be said who."""
    people = [Person("b", "Bob"), BOB_SAYS_I, SPAMMER]
    with pytest.raises(CommandError) as mistyped:
        find_person(text, people)
    assert str(mistyped.value) == f"That can mean several people; put the name in quotes, or give the id: {names}"
    assert find_person(f'"bob"{text[3:]}', people) == (people[0], text[4:])


def test_find_whole() -> None:
    """A command that takes nothing but a name takes all that follows as the name."""
    people = [Person("b", "Bob"), BOB_SAYS_I, SPAMMER]
    for text, somebody in (("bob i", BOB_SAYS_I), ("Bob", people[0]), ('"Bob spam"', SPAMMER), ("b1", BOB_SAYS_I)):
        assert find_exact(text, people) == somebody
    with pytest.raises(CommandError, match="There is nobody else with that name"):
        find_exact("Bob please", people)


def attendance(url: str, keyboard: int | None = None, entry: JoinRoom = JOIN) -> TerminalMeeting:
    """Attend with a pipe nobody writes to, or another descriptor."""
    return TerminalMeeting(
        open_meeting(url, entry, None, settings()), keyboard=os.pipe()[0] if keyboard is None else keyboard
    )


def ended_pipe(data: bytes = b"") -> int:
    """A pipe with something in it, and an end."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


@pytest.mark.parametrize(
    ("code", "words"),
    [(4403, "The host removed you"), (4409, "in use on another device"), (1007, "did not understand")],
)
async def test_final_closes(code: int, words: str) -> None:
    """After a close that means no, it does not come back, and says why."""

    async def script(server: Server) -> None:
        await server.seat()
        await server.websocket.close(code)

    async with serving(script) as url:
        with pytest.raises(MeetingEnded, match=words):
            await asyncio.wait_for(attendance(url).run(), PATIENCE)


async def test_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """It resumes after a drop, waits as long as a refusal asks, and joins anew when the seat is gone."""

    async def drop(server: Server) -> None:
        await server.seat()
        await server.send("server-restarting", retryAfter=0.01)
        await server.websocket.close(1012)

    async def busy(server: Server) -> None:
        await server.refuse(503, "unavailable", "Storage is\x1b unavailable", retryAfter=6.2)
        await server.gone()

    async def end(server: Server) -> None:
        await server.refuse(410, "seat_expired")
        await server.seat(me=person("jane-2"))
        await server.send("room-ended", seq=2, roomId="r")
        await server.gone()

    async with serving(drop, busy, end) as url:
        await asyncio.wait_for(attendance(url).run(), PATIENCE)
    out, err = capsys.readouterr()
    assert "* The daemon restarts" in out.splitlines()
    assert out.splitlines().count(HELLO) == 2
    assert out.splitlines()[-1] == "The room has ended."
    assert err.splitlines() == [
        "Connection lost; reconnecting in 1.0 s.",
        "Storage is\\x1b unavailable; reconnecting in 6.2 s.",
        "Your seat is no longer held; joining again.",
    ]


async def test_first_connection_closed() -> None:
    """Before there is a seat, a close is no drop: it is passed on."""
    async with serving(closing) as url:
        with pytest.raises(Closed):
            await attendance(url).run()


async def test_leaves_without_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon that goes while the person leaves does not keep them."""

    async def gone(server: Server) -> None:
        await server.seat()
        await server.take("leave-room")
        await server.websocket.close(1011)

    async with serving(gone) as url:
        await asyncio.wait_for(attendance(url, ended_pipe()).run(), PATIENCE)
    out, err = capsys.readouterr()
    assert "You left." not in out
    assert err == "The daemon did not answer. The seat is held for a short time, then the daemon gives it up.\n"


async def test_leaves_before_it_is_in(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever gives up while the daemon still thinks leaves no seat behind."""
    asked = asyncio.Event()

    async def script(server: Server) -> None:
        await server.take("join-room")
        asked.set()
        await server.left()

    async with serving(script) as url:
        visitor = attendance(url)
        visit = asyncio.create_task(visitor.run())
        await asked.wait()
        visitor._interrupted(2)
        await asyncio.wait_for(visit, PATIENCE)
    assert capsys.readouterr() == ("", "")


async def test_a_pipe_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of a pipe is served, in order, before its end leaves; nothing after /leave is."""
    asked: list[dict[str, Any]] = []

    async def script(server: Server) -> None:
        await server.seat()
        for number in range(2):
            said = await server.answer("ok")
            own = msgspec.structs.replace(message(str(number), sender="jane"), text=said["text"])
            await server.send("message", message=own)
        await server.left()
        asked.extend(server.asked)

    async with serving(script) as url:
        typed = b"one\n\n/nonsense\ntwo\n/leave\nthree\n"
        await asyncio.wait_for(attendance(url, ended_pipe(typed)).run(), PATIENCE)
    assert [request.get("text") for request in asked] == [None, "one", "two", None]
    out, err = capsys.readouterr()
    assert out.splitlines()[-3:] == ["you: one", "you: two", "You left."]
    assert err.startswith("There is no such command; /help lists them")


async def test_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """Who waits is told so; nobody hears what is typed meanwhile; a no is the end of it."""
    typed, typing = os.pipe()

    async def script(server: Server) -> None:
        place = {"participantId": "jane", "position": 2, "reason": "waiting_room"}
        request = await server.answer("waiting", **place)
        os.write(typing, b"/who\nhello?\n")
        while "You cannot send messages" not in "".join(told):
            told.extend(capsys.readouterr())
            await asyncio.sleep(0)
        fields = {"statusCode": 403, "code": "denied", "message": "The host declined"}
        await server.send("error", id=request["id"], **fields)
        await server.gone()

    told: list[str] = []
    async with serving(script) as url:
        with pytest.raises(MeetingEnded, match="The host declined to let you in"):
            await asyncio.wait_for(attendance(url, typed).run(), PATIENCE)
    assert "".join(told).count("You wait for the host to let you in, at position 2.") == 2
    for descriptor in (typed, typing):
        os.close(descriptor)


async def test_a_keyboard_that_cannot_be_is_no_silence() -> None:
    """What goes wrong with reading lines ends the visit, after the room was left, and is not swallowed."""

    async def script(server: Server) -> None:
        await server.seat()
        await server.left()

    async with serving(script) as url:
        with pytest.raises(ValueError, match="file descriptor"):
            await asyncio.wait_for(attendance(url, keyboard=-1).run(), PATIENCE)
