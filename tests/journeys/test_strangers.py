"""What keeps strangers from spoiling a room, as clients see it: holds, queues, denials, bans, and what a code shows."""

import contextlib
import time
from collections.abc import Callable

from tests.support.daemon import Daemon, error

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}


async def test_a_guests_ban_keeps_the_address_out(make_daemon: Callable[..., Daemon]) -> None:
    """By participant id, also after the guest has left, and over a restart; users come in; `unban` lifts it."""
    daemon = make_daemon()
    code = (await daemon.room())["code"]
    async with daemon.client("alice") as alice, daemon.client() as jane, daemon.client() as joe:
        await alice.join(code)
        stays = (await joe.join(code, guestName="Joe"))["participant"]
        left = (await jane.join(code, **JANE))["participant"]
        await jane.ask("leave-room")
        while not (await alice.receive()).get("left"):
            pass
        await joe.events()
        assert await alice.ask("ban", participantId="0" * 24) == error("participant_not_found")
        assert (await alice.ask("ban", participantId=left["id"], userId="bob"))["code"] == "bad_frame"
        assert (await alice.ask("ban"))["code"] == "bad_frame"
        assert (await joe.ask("ban", participantId=left["id"]))["code"] == "not_host"
        assert await alice.ask("ban", participantId=left["id"], reason="spam") == OK
        [ban] = (await alice.ask("list-bans"))["bans"]
        assert ban == {
            "userId": None, "displayName": "Jane", "reason": "spam", "bannedAt": ban["bannedAt"], "id": ban["id"],
            "expiresAt": ban["expiresAt"],
        }  # fmt: skip
        assert await jane.ask("join-room", code=code, **JANE) == error("banned")
        shown = await jane.ask("get-room", code=code)
        assert (shown["room"], shown["admission"]["code"]) == (None, "banned")
        assert stays["id"] in {who["id"] for who in (await joe.ask("list-participants", code=code))["participants"]}
    daemon.kill()
    daemon.start()
    async with daemon.client("alice") as alice, daemon.client() as jane, daemon.client("bob") as bob:
        assert await jane.ask("join-room", code=code, **JANE) == error("banned")
        await bob.join(code)
        assert (await alice.ask("list-bans", code=code))["bans"] == [ban]
        assert (await alice.ask("unban", code=code))["code"] == "bad_frame"
        assert (await alice.ask("unban", code=code, banId="x"))["message"] == "There is no such ban"
        assert await alice.ask("unban", code=code, banId=ban["id"]) == OK
        await jane.join(code, **JANE)
        assert await alice.ask("ban", code=code, userId="bob") == OK
        while (frame := await bob.receive())["type"] != "removed":
            pass
        assert (frame, await bob.closed()) == ({"type": "removed", "reason": None}, 4403)
        await alice.events()
        [ban] = (await alice.ask("list-bans", code=code))["bans"]
        await alice.send("unban", code=code, id=ban["id"])
        assert await alice.receive() == {"type": "ok", "id": ban["id"]}, "the id of the frame is that of the ban"


async def test_a_denied_guest_waits(daemon: Daemon) -> None:
    """429 with `retryAfter`, after the lock; a user from the same address knocks as before."""
    room = await daemon.room(waitingRoom=True)
    code = room["code"]
    async with daemon.client("alice") as alice, daemon.client() as jane, daemon.client("bob") as bob:
        await alice.join(code)
        waits = await jane.ask("join-room", code=code, **JANE)
        await alice.events()
        assert await alice.ask("deny-participant", participantId=waits["participantId"]) == OK
        assert await jane.receive() == error("denied", id=1)
        again = await jane.ask("join-room", code=code, **JANE)
        assert (again["statusCode"], again["code"], 0 < again["retryAfter"] <= 30) == (429, "rate_limited", True)
        assert (await bob.ask("join-room", code=code))["type"] == "waiting"
        await alice.events()
        await alice.ask("update-room", code=code, isLocked=True)
        assert await jane.ask("join-room", code=code, **JANE) == error("room_locked")


async def test_an_address_has_five_places(daemon: Daemon) -> None:
    """The sixth guest is refused with the reason; a user of the same address waits as well."""
    code = (await daemon.room(waitingRoom=True))["code"]
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(5):
            guest = await stack.enter_async_context(daemon.client())
            assert (await guest.ask("join-room", code=code, **JANE))["type"] == "waiting"
        guest = await stack.enter_async_context(daemon.client())
        refused = await guest.ask("join-room", code=code, **JANE)
        assert (refused["code"], refused["message"]) == ("room_full", "5 guests of your network address wait already")
        bob = await stack.enter_async_context(daemon.client("bob"))
        assert (await bob.ask("join-room", code=code))["position"] == 6


async def test_who_joins_and_drops_does_not_fill_a_room(daemon: Daemon) -> None:
    """A hundred guests who drop at once keep nobody out: neither another guest nor the host."""
    code = (await daemon.room(maxParticipants=10))["code"]
    for _ in range(100):
        async with daemon.client() as stranger:
            await stranger.join(code, **JANE)
            stranger.websocket.transport.abort()
    async with daemon.client() as honest, daemon.client("alice") as alice:
        await honest.join(code, guestName="Joan")
        await alice.join(code)


async def test_a_guest_who_had_just_come_is_held_for_three_seconds(daemon: Daemon) -> None:
    """`left` comes after three seconds, though `rooms.seat_hold` is longer."""
    code = (await daemon.room())["code"]
    async with daemon.client("alice") as alice:
        await alice.join(code)
        async with daemon.client() as jane:
            await jane.join(code, **JANE)
            began = time.monotonic()
            jane.websocket.transport.abort()
        assert (await alice.receive())["joined"]
        assert (await alice.receive())["updated"]
        assert (await alice.receive())["left"]
        assert time.monotonic() - began > 2.9


async def test_user_ids_are_for_users_where_the_server_says_so(make_daemon: Callable[..., Daemon]) -> None:
    """`rooms.show_user_ids = users`: a guest gets names alone, in replies and events; codes can be longer."""
    daemon = make_daemon(ROOMD_ROOMS_SHOW_USER_IDS="users", ROOMD_ROOMS_CODE_GROUPS="5")
    code = (await daemon.room())["code"]
    assert (len(code), code.count("-")) == (19, 4)
    async with daemon.client("alice") as alice, daemon.client() as jane, daemon.client("bob") as bob:
        await alice.join(code)
        shown = await jane.ask("get-room", code=code.upper().replace("-", " "))
        assert (shown["room"]["code"], shown["room"]["hostId"]) == (code, "")
        joined = await jane.join(code, **JANE)
        assert [who["userId"] for who in joined["state"]["participants"]] == [None, None]
        assert joined["state"]["participants"][0]["displayName"] == "alice"
        await bob.join(code)
        frames = await jane.events()
        assert [who["userId"] for frame in frames for who in frame["joined"]] == [None]
        listed = await jane.ask("list-participants", code=code)
        assert {who["userId"] for who in listed["participants"]} == {None}
        await alice.events()
        await alice.ask("update-room", code=code, name="Weekly")
        assert "alice" not in str([frame["room"]["hostId"] for frame in await jane.events()])
        [updated] = await bob.events()
        assert updated["room"]["hostId"] == "alice"
        assert {who["userId"] for who in (await bob.ask("list-participants", code=code))["participants"]} == {
            "alice", "bob", None,
        }  # fmt: skip
