"""Who may join, as what, and what a join shows: docs/protocol.md, sections 3 and 4, from a client's side."""

import asyncio
import contextlib
import re
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, error

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,32}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CODE = re.compile(r"[a-z]{3}-[a-z]{3}-[a-z]{3}")
NOWHERE = "zzz-zzz-zzz"
JANE = {"guestName": "Jane"}

# What is wrong with the room, what is asked, and the answer. Rows stand in the order of the table of section 4; where
# two rows fail, the earlier one is the answer.
REFUSALS: dict[str, tuple[set[str], dict[str, Any], dict[str, Any]]] = {
    "no code": (
        set(),
        {"code": None, **JANE},
        error("bad_frame", "Malformed frame: Expected `str`, got `null` - at `$.code`"),
    ),
    "a name that is no string": (
        set(),
        {"guestName": 5},
        error("bad_frame", "Malformed frame: Expected `str | null`, got `int` - at `$.guestName`"),
    ),
    "malformed, before the name": (
        set(),
        {"code": 5},
        error("bad_frame", "Malformed frame: Expected `str`, got `int` - at `$.code`"),
    ),
    "no name": (set(), {}, error("guest_name_required")),
    "null is no name": (set(), {"guestName": None}, error("guest_name_required")),
    "no name, before the room": (set(), {"code": NOWHERE}, error("guest_name_required")),
    "empty name": (set(), {"guestName": ""}, error("invalid_guest_name")),
    "invalid name, before the room": (set(), {"code": NOWHERE, "guestName": " "}, error("invalid_guest_name")),
    "invalid name, before the rest": ({"ended", "closed"}, {"guestName": "x" * 51}, error("invalid_guest_name")),
    "no such room": (set(), {"code": NOWHERE, **JANE}, error("room_not_found")),
    "nothing like a code": (set(), {"code": "abc", **JANE}, error("room_not_found")),
    "ended": ({"ended"}, JANE, error("room_inactive")),
    "ended, before guests": ({"ended", "closed"}, JANE, error("room_inactive")),
    "ended, before locked and full": ({"ended", "locked", "full"}, JANE, error("room_inactive")),
    "no guests": ({"closed"}, JANE, error("guests_not_allowed")),
    "no guests, before locked": ({"closed", "locked"}, JANE, error("guests_not_allowed")),
    "no guests, before full": ({"closed", "full"}, JANE, error("guests_not_allowed")),
    "locked": ({"locked"}, JANE, error("room_locked")),
    "locked, before full": ({"locked", "full"}, JANE, error("room_locked")),
    "full": ({"full"}, JANE, error("room_full")),
}


async def spoil(host: Client, code: str, wrongs: set[str]) -> None:
    """Make a room locked, closed to guests or ended."""
    settings: dict[str, Any] = {}
    if "locked" in wrongs:
        settings["isLocked"] = True
    if "closed" in wrongs:
        settings["allowGuestAccess"] = False
    await host.ask("update-room", code=code, **settings)
    if "ended" in wrongs:
        await host.ask("end-room", code=code)


@pytest.mark.parametrize(("wrongs", "fields", "refusal"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_refused_join(daemon: Daemon, wrongs: set[str], fields: dict[str, Any], refusal: dict[str, Any]) -> None:
    """The first check that fails is the answer, and a refused join changes nothing and is told to nobody."""
    room = await daemon.room(maxParticipants=2)
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        host, member, guest = [await stack.enter_async_context(daemon.client(who)) for who in ("alice", "bob", None)]
        await member.join(code)
        if "full" in wrongs:
            filler = await stack.enter_async_context(daemon.client("carol"))
            await filler.join(code)
        await spoil(host, code, wrongs)
        await member.events()
        before = await host.ask("list-participants", code=code, history=True)
        assert await guest.ask("join-room", **{"code": code, **fields}) == refusal
        assert await host.ask("list-participants", code=code, history=True) == before
        await member.nothing_more()
        assert await guest.ask("leave-room") == error("not_in_room")


REFUSED_USERS = {
    "ended": ({"ended"}, error("room_inactive")),
    "locked": ({"locked"}, error("room_locked")),
    "locked, before full": ({"locked", "full"}, error("room_locked")),
    "full": ({"full"}, error("room_full")),
}


@pytest.mark.parametrize(("wrongs", "refusal"), REFUSED_USERS.values(), ids=REFUSED_USERS.keys())
@pytest.mark.parametrize("user", ["bob", "alice"], ids=["user", "host"])
async def test_refused_user(daemon: Daemon, user: str, wrongs: set[str], refusal: dict[str, Any]) -> None:
    """Users are held to the same rows as guests; the host too, but for the lock: nobody has a seat by right."""
    room = await daemon.room(maxParticipants=2)
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon.client("alice"))
        for name in ("carol", "dave") if "full" in wrongs else ():
            await (await stack.enter_async_context(daemon.client(name))).join(room["code"])
        await spoil(host, room["code"], wrongs)
        client = await stack.enter_async_context(daemon.client(user))
        reply = await client.ask("join-room", code=room["code"])
        if user == "alice" and "locked" in wrongs:
            refusal = error("room_full")
        assert reply == refusal or (user == "alice" and wrongs == {"locked"} and reply["type"] == "participant")


async def test_user_in_a_room_without_guests(daemon: Daemon) -> None:
    """`allowGuestAccess: false` shuts out guests, not users."""
    room = await daemon.room(allowGuestAccess=False)
    async with daemon.client("bob") as bob:
        assert (await bob.join(room["code"]))["participant"]["userId"] == "bob"


NAMES = {
    "plain": ("Jane Smith", "Jane Smith"),
    "trimmed": (" \t Jane\u3000\n", "Jane"),
    "one character": ("J", "J"),
    "50 characters": ("x" * 50, "x" * 50),
    "50 after trimming": ("  " + "x" * 50 + "  ", "x" * 50),
    "50 astral characters": ("\U0001f600" * 50, "\U0001f600" * 50),
    "NFC": ("Zoe\u0308", "Zo\u00eb"),
    "with an ignorable character": ("Jane\u200b", "Jane"),
    "50 after NFC": ("e\u0301" * 50, "\u00e9" * 50),
}


@pytest.mark.parametrize(("sent", "kept"), NAMES.values(), ids=NAMES.keys())
async def test_guest_name(daemon: Daemon, sent: str, kept: str) -> None:
    """Names are trimmed and put into NFC, and length counts code points after that."""
    room = await daemon.room()
    async with daemon.client() as guest:
        participant = (await guest.join(room["code"], guestName=sent))["participant"]
        assert (participant["guestName"], participant["displayName"]) == (kept, kept)


BAD_NAMES = {
    "empty": "",
    "empty after trimming": " \t\u3000",
    "Hangul filler": "\u3164",
    "51 characters": "x" * 51,
    "51 astral characters": "\U0001f600" * 51,
    "NUL": "Ja\0ne",
    "line break": "Ja\nne",
    "C1 control": "Ja\u0085ne",
    "bidi override": "Jane\u202egnp.exe",
    "bidi isolate": "\u2066Jane\u2069",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
async def test_bad_guest_name(daemon: Daemon, name: str) -> None:
    """A name is 1 to 50 characters without control or direction-override characters."""
    room = await daemon.room()
    async with daemon.client() as guest:
        assert await guest.ask("join-room", code=room["code"], guestName=name) == error("invalid_guest_name")


async def test_the_join_of_a_guest(daemon: Daemon) -> None:
    """A guest gets their participant and a resume token, then the whole room with themselves in it."""
    room = await daemon.room(name="Weekly", maxParticipants=5)
    async with daemon.client() as guest:
        reply = await guest.join(room["code"], guestName="Jane Smith")
    participant, state = reply["participant"], reply.pop("state")
    assert participant == {
        "id": participant["id"],
        "roomId": room["id"],
        "userId": None,
        "guestName": "Jane Smith",
        "isActive": True,
        "isHost": False,
        "joinedAt": participant["joinedAt"],
        "leftAt": None,
        "displayName": "Jane Smith",
        "state": {},
        "role": "member",
    }
    assert reply == {"type": "participant", "participant": participant, "resumeToken": reply["resumeToken"]}
    assert state == {
        "type": "room-state",
        "epoch": state["epoch"],
        "seq": state["seq"],
        "room": {**room, "participantCount": 1},
        "participants": [participant],
        "messages": [],
    }
    assert all(IDENTIFIER.fullmatch(text) for text in (participant["id"], room["id"], state["epoch"]))
    assert TIME.fullmatch(participant["joinedAt"])
    assert TIME.fullmatch(room["createdAt"])
    assert CODE.fullmatch(room["code"])
    assert isinstance(state["seq"], int)
    assert isinstance(reply["resumeToken"], str)


PEOPLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "host": ({"sub": "alice"}, {"userId": "alice", "displayName": "alice", "isHost": True, "role": "host"}),
    "user": ({"sub": "bob"}, {"userId": "bob", "displayName": "bob", "isHost": False}),
    "named": ({"sub": "bob", "name": "Bob B."}, {"userId": "bob", "displayName": "Bob B.", "isHost": False}),
    "admin": (
        {"sub": "root", "roomd": {"admin": True}},
        {"userId": "root", "displayName": "root", "isHost": False, "role": "cohost"},
    ),
}


@pytest.mark.parametrize(("claims", "expected"), PEOPLE.values(), ids=PEOPLE.keys())
@pytest.mark.parametrize("extra", [{}, {"guestName": "Mallory"}, {"guestName": "\0"}], ids=["", "name", "bad name"])
async def test_the_join_of_a_user(
    daemon: Daemon, claims: dict[str, Any], expected: dict[str, Any], extra: dict[str, Any]
) -> None:
    """A user is who the token says, host only by id; a `guestName` they send is ignored, whatever it is."""
    room = await daemon.room()
    others = {key: value for key, value in claims.items() if key != "sub"}
    async with daemon.client(token=daemon.token(claims["sub"], **others)) as user:
        participant = (await user.join(room["code"], **extra))["participant"]
    assert participant == {
        "id": participant["id"],
        "roomId": room["id"],
        "guestName": None,
        "isActive": True,
        "joinedAt": participant["joinedAt"],
        "leftAt": None,
        "state": {},
        "role": "member",
        **expected,
    }


TYPED = {
    "as it is": str,
    "upper case with spaces": lambda code: code.upper().replace("-", " "),
    "without separators": lambda code: code.replace("-", ""),
    "with space around": lambda code: f" {code}\n",
    "upper case": str.upper,
}


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED.keys())
async def test_code_as_typed(daemon: Daemon, typed: Any) -> None:
    """A code may be typed in capitals, with spaces, or without separators."""
    room = await daemon.room()
    async with daemon.client() as guest:
        reply = await guest.join(typed(room["code"]), guestName="Jane")
        assert reply["state"]["room"]["code"] == room["code"]


@pytest.mark.parametrize("wrongs", [{"full"}, {"full", "locked"}], ids=["full", "full and locked"])
async def test_takeover(daemon: Daemon, wrongs: set[str]) -> None:
    """A user who joins again takes over their own seat, full and locked rooms included; the first one is closed."""
    room = await daemon.room(maxParticipants=2)
    code = room["code"]
    async with (
        daemon.client("alice") as host,
        daemon.client("bob") as first,
        daemon.client("bob") as second,
        daemon.client() as guest,
    ):
        before = await first.join(code)
        await host.join(code)
        await spoil(host, code, wrongs)
        await host.events()
        after = await second.join(code)
        assert after["participant"] == before["participant"]
        assert after["resumeToken"] != before["resumeToken"]
        assert after["state"]["room"]["participantCount"] == 2
        assert await first.closed() == 4409
        assert await guest.ask("resume", resumeToken=before["resumeToken"]) == error("taken_over")
        await host.nothing_more()
        # The end of the first connection does not touch the seat it lost.
        assert (await host.ask("list-participants", code=code))["participants"] == after["state"]["participants"]
        refusal = await guest.ask("join-room", code=code, guestName="Jane")
        assert refusal == error("room_locked" if "locked" in wrongs else "room_full")


async def test_takeover_of_a_held_seat(daemon: Daemon) -> None:
    """A user whose connection dropped joins again without a resume token and has the same seat."""
    room = await daemon.room()
    async with daemon.client("alice") as host:
        await host.join(room["code"])
        async with daemon.client("bob") as bob:
            before = (await bob.join(room["code"]))["participant"]
            await host.receive()
        assert (await host.receive())["updated"] == [{**before, "isActive": False}]
        async with daemon.client("bob") as bob:
            assert (await bob.join(room["code"]))["participant"] == before
            assert (await host.receive())["updated"] == [before]


async def test_guests_are_never_matched_by_name(daemon: Daemon) -> None:
    """Two guests of one name are two participants."""
    room = await daemon.room()
    async with daemon.client() as first, daemon.client() as second:
        one, two = await first.join(room["code"], **JANE), await second.join(room["code"], **JANE)
        assert one["participant"]["id"] != two["participant"]["id"]
        assert two["state"]["participants"] == [one["participant"], two["participant"]]
        assert (await first.receive())["joined"] == [two["participant"]]


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_second_join_for_the_same_room(daemon: Daemon, user: str | None) -> None:
    """A second `join-room` for the room the connection is in returns the same participant and is told to nobody."""
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("alice") as host, daemon.client(user) as client:
        await host.join(room["code"])
        first = await client.join(room["code"], **JANE)
        await host.receive()
        await host.ask("update-room", code=room["code"], isLocked=True)
        await host.events()
        await client.events()
        second = await client.join(room["code"], guestName="Joan")
        assert second["participant"] == first["participant"]
        assert second["state"]["participants"] == first["state"]["participants"]
        await host.nothing_more()
        await client.nothing_more()


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_move_to_another_room(daemon: Daemon, user: str | None) -> None:
    """A connection that joins another room leaves the first and hears nothing more of it."""
    first, second = await daemon.room(), await daemon.room()
    async with daemon.client("alice") as host, daemon.client(user) as client:
        await host.join(first["code"])
        before = await client.join(first["code"], **JANE)
        assert (await host.receive())["joined"] == [before["participant"]]
        after = await client.join(second["code"], **JANE)
        assert after["participant"]["id"] != before["participant"]["id"]
        assert after["state"]["participants"] == [after["participant"]]
        told = await host.receive()
        left = {**before["participant"], "isActive": False, "leftAt": told["left"][0]["leftAt"]}
        assert told == {"type": "participants-changed", "seq": told["seq"], "joined": [], "updated": [], "left": [left]}
        await host.ask("update-room", code=first["code"], name="Heard by those who are in it")
        await client.nothing_more()
        resume = await client.ask("resume", resumeToken=before["resumeToken"])
        assert resume == error("seat_expired")


async def test_refused_move(daemon: Daemon) -> None:
    """A connection leaves the first room only once the second has let it in."""
    first, second = await daemon.room(), await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest:
        await host.join(first["code"])
        before = await guest.join(first["code"], **JANE)
        await host.receive()
        await host.ask("update-room", code=second["code"], isLocked=True)
        assert await guest.ask("join-room", code=second["code"], **JANE) == error("room_locked")
        await host.nothing_more()
        assert (await guest.ask("list-participants", code=first["code"]))["participants"][1] == before["participant"]
        await host.ask("end-room", code=first["code"])
        assert (await guest.receive())["type"] == "room-ended"


async def test_move_into_a_seat_taken_over(daemon: Daemon) -> None:
    """A move can be a takeover as well: the first room is left, the other connection closed."""
    first, second = await daemon.room(), await daemon.room()
    async with daemon.client("bob") as one, daemon.client("bob") as two, daemon.client("alice") as host:
        await host.join(first["code"])
        await one.join(first["code"])
        await host.receive()
        seat = (await two.join(second["code"]))["participant"]
        assert (await one.join(second["code"]))["participant"] == seat
        assert await two.closed() == 4409
        assert [who["userId"] for who in (await host.receive())["left"]] == ["bob"]


@pytest.mark.parametrize("wait", [True, False, None])
async def test_wait_where_there_is_room(daemon: Daemon, wait: bool | None) -> None:
    """`wait` changes nothing while a seat is free; in a full room false and null are as absent."""
    room = await daemon.room(maxParticipants=2)
    async with contextlib.AsyncExitStack() as stack:
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(3)]
        for guest in guests[:2]:
            await guest.join(room["code"], wait=wait, **JANE)
        if not wait:
            assert await guests[2].ask("join-room", code=room["code"], wait=wait, **JANE) == error("room_full")


async def test_joins_at_once(daemon: Daemon) -> None:
    """However many join at once, every seat is taken, none twice, and the others are told that the room is full."""
    room = await daemon.room(maxParticipants=7)
    async with contextlib.AsyncExitStack() as stack:
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(30)]
        replies = await asyncio.gather(*(guest.ask("join-room", code=room["code"], **JANE) for guest in guests))
        let_in = [reply for reply in replies if reply["type"] == "participant"]
        assert len({reply["participant"]["id"] for reply in let_in}) == 7
        assert len({reply["resumeToken"] for reply in let_in}) == 7
        assert [reply for reply in replies if reply not in let_in] == [error("room_full")] * 23
