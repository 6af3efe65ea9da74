"""Coming back without a token, after a lost reply, and to a seat in use elsewhere: docs/protocol.md, section 5."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from tests.support.daemon import SEAT_HOLD, Client, Daemon, error
from tests.support.in_process import InProcess, MakeInProcess
from tests.support.wire import changed

MakeDaemon = Callable[..., Daemon]
JANE = {"guestName": "Jane"}
LIFE, GRACE = 60, 1000
"""Seconds for which a token lives in these tests, and for which a seat then still carries host rights."""


@pytest.fixture
def strict(make_in_process: MakeInProcess) -> InProcess:
    """A daemon that accepts no expired token; its clock can be moved."""
    return make_in_process(auth={"leeway": 0, "grace": GRACE})


async def lost(client: Client) -> None:
    """Have the connection end without a close."""
    client.websocket.transport.abort()


# An expired token.


@pytest.mark.parametrize("claims", [{}, {"roomd": {"admin": True}}], ids=["host", "admin"])
async def test_an_expired_token_costs_neither_seat_nor_rights(
    strict: InProcess, claims: dict[str, dict[str, bool]]
) -> None:
    """A host whose token has expired resumes without one, with the rights of a host in this room and nowhere else."""
    user = "root" if claims else "alice"
    room, other = await strict.room(), await strict.room()
    async with strict.client(token=strict.token(user, ttl=LIFE, **claims)) as client:
        before = await client.join(room["code"])
    strict.advance(LIFE + 1)
    async with strict.client() as client:
        reply = await client.ask("resume", resumeToken=before["resumeToken"])
        assert reply["participant"] == before["participant"]
        await client.receive()
        renamed = (await client.ask("update-room", code=room["code"], name="Still mine"))["room"]
        assert (await client.receive(), renamed["name"]) == (
            {"type": "room-updated", "seq": 4, "room": renamed},
            "Still mine",
        )
        assert await client.ask("update-room", code=other["code"], name="Not mine") == error("not_host")
        assert await client.ask("create-room") == error("unauthenticated")
        assert await client.ask("join-room", code=other["code"]) == error("guest_name_required")
        again = await client.join(room["code"])
        assert again["participant"] == before["participant"], "in this room it has a name"
        bob = strict.token("bob", ttl=SEAT_HOLD)
        assert await client.ask("authenticate", token=bob) == error("wrong_user")
        fresh = await client.ask("authenticate", token=strict.token(user, ttl=SEAT_HOLD, **claims))
        assert (fresh["type"], fresh["userId"]) == ("authenticated", user)
        assert (await client.ask("create-room"))["room"]["hostId"] == user


async def test_another_room_is_joined_as_a_guest(strict: InProcess) -> None:
    """Who resumed a user's seat without a token is a guest elsewhere."""
    room, other = await strict.room(), await strict.room()
    async with strict.client("bob") as client:
        before = await client.join(room["code"])
    async with strict.client() as client:
        await client.ask("resume", resumeToken=before["resumeToken"])
        await client.receive()
        elsewhere = (await client.join(other["code"], **JANE))["participant"]
        assert (elsewhere["userId"], elsewhere["guestName"]) == (None, "Jane")


async def test_host_rights_end_with_the_grace(strict: InProcess) -> None:
    """Past `exp` and the grace host requests get 401, the seat stays, and a fresh token gives the rights back."""
    room = await strict.room()
    async with strict.client(token=strict.token("alice", ttl=LIFE)) as client:
        before = await client.join(room["code"])
    strict.advance(LIFE + GRACE + 1)
    async with strict.client() as client:
        reply = await client.ask("resume", resumeToken=before["resumeToken"])
        assert reply["participant"] == before["participant"]
        await client.receive()
        for request in (
            {"type_": "update-room", "code": room["code"], "isLocked": True},
            {"type_": "list-bans"},
            {"type_": "list-participants", "code": room["code"], "history": True},
            {"type_": "end-room", "code": room["code"]},
        ):
            assert await client.ask(**request) == error("token_expired")
        assert (await client.ask("list-participants", code=room["code"]))["participants"] == [reply["participant"]]
        await client.ask("authenticate", token=strict.token("alice", ttl=SEAT_HOLD))
        assert (await client.ask("list-bans"))["type"] == "bans"
    async with strict.client() as client:
        await client.ask("resume", resumeToken=reply["resumeToken"])
        await client.receive()
        assert (await client.ask("list-bans"))["type"] == "bans"


# A lost reply.


@pytest.mark.parametrize("crash", [False, True], ids=["a lost connection", "kill -9"])
async def test_a_lost_reply_costs_nothing(make_daemon: MakeDaemon, crash: bool) -> None:
    """A guest whose reply to `resume` was lost resumes with the same token, in a locked room, after a crash too."""
    daemon = make_daemon()
    room = await daemon.room()
    async with daemon.client("alice") as host:
        await host.join(room["code"])
        async with daemon.client() as client:
            before = await client.join(room["code"], **JANE)
        held = {**before["participant"], "isActive": False}
        assert [await host.receive(), await host.receive()][1]["updated"] == [held]
        await host.ask("update-room", code=room["code"], isLocked=True)
        await host.receive()
        async with daemon.client() as client:
            client.websocket.transport.pause_reading()
            await client.send("resume", id=1, resumeToken=before["resumeToken"])
            assert (await host.receive())["updated"] == [before["participant"]]
            if crash:
                await asyncio.to_thread(daemon.kill)
                client.websocket.transport.abort()  # it does not read, so it would wait for the end of a close
            else:
                await lost(client)
    if crash:
        daemon.start()
    async with daemon.client() as client:
        reply = await client.ask("resume", resumeToken=before["resumeToken"])
        assert reply["participant"] == before["participant"]


# Another device.


async def test_a_sleeping_device_takes_nothing_back(daemon: Daemon) -> None:
    """The laptop wakes after the phone has joined: 409 for its token and for its join, until a person asks."""
    room = await daemon.room()
    async with daemon.client("bob") as laptop, daemon.client("bob") as phone, daemon.client("bob") as woken:
        old = (await laptop.join(room["code"]))["resumeToken"]
        seat = await phone.join(room["code"])
        assert await laptop.closed() == 4409
        assert await woken.ask("resume", resumeToken=old) == error("taken_over")
        assert await woken.ask("join-room", code=room["code"], takeOver=False) == error("taken_over")
        await phone.nothing_more()
        again = await phone.join(room["code"], takeOver=False)
        assert again["participant"] == seat["participant"], "the caller's own connection does not count"
        assert (await woken.join(room["code"], takeOver=True))["participant"] == seat["participant"]
        assert await phone.closed() == 4409
        await woken.ask("leave-room")
        assert await woken.ask("resume", resumeToken=again["resumeToken"]) == error("seat_expired")
        assert (await woken.join(room["code"], takeOver=False))["participant"]["id"] != seat["participant"]["id"]


async def test_a_held_seat_is_taken_without_taking_over(daemon: Daemon) -> None:
    """`takeOver: false` protects a live connection only."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client("bob") as again:
        await host.join(room["code"])
        async with daemon.client("bob") as bob:
            seat = await bob.join(room["code"])
            await lost(bob)
        while not (event := await host.receive())["updated"]:
            pass
        assert event["updated"][0]["isActive"] is False
        assert (await again.join(room["code"], takeOver=False))["participant"] == seat["participant"]


# The host.


@pytest.mark.parametrize("admin", [False, True], ids=["host", "admin"])
async def test_hosts_pass_the_lock_and_the_waiting_room(daemon: Daemon, admin: bool) -> None:
    """A host who has left the own locked room is let in again, and `get-room` says so; others are not."""
    room = await daemon.room()
    token = daemon.token("root", roomd={"admin": True}) if admin else daemon.token("alice")
    async with (
        daemon.client("alice") as alice,
        daemon.client(token=token) as client,
        daemon.client("bob") as bob,
    ):
        await alice.join(room["code"])
        await alice.ask("update-room", code=room["code"], isLocked=True, waitingRoom=True)
        await alice.events()
        await alice.ask("leave-room")
        assert (await client.ask("get-room", code=room["code"]))["admission"] == {"allowed": True}
        assert (await client.join(room["code"]))["participant"]["isHost"] is not admin
        assert await bob.ask("join-room", code=room["code"]) == error("room_locked")


async def test_the_lock_for_everybody(make_daemon: MakeDaemon) -> None:
    """With `rooms.host_passes_lock` off the host of a locked room has to unlock it first."""
    daemon = make_daemon(ROOMD_ROOMS_HOST_PASSES_LOCK="false")
    room = await daemon.room()
    async with daemon.client("alice") as alice:
        await alice.ask("update-room", code=room["code"], isLocked=True)
        assert await alice.ask("join-room", code=room["code"]) == error("room_locked")


async def test_the_host_takes_the_place_of_a_held_guest(daemon: Daemon) -> None:
    """Of the guests who have dropped the newest gives way, ahead of the queue and for good; an admin waits."""
    room = await daemon.room(maxParticipants=8)  # two are no more than a quarter of it
    async with (
        contextlib.AsyncExitStack() as others,
        daemon.client("bob") as bob,
        daemon.client("carol") as carol,
        daemon.client("alice") as alice,
        daemon.client(token=daemon.token("root", roomd={"admin": True})) as admin,
    ):
        for number in range(5):
            await (await others.enter_async_context(daemon.client(f"u{number}"))).join(room["code"])
        seq = (await bob.join(room["code"]))["state"]["seq"]
        guests = []
        for name in ("Ann", "Ben"):
            async with daemon.client() as guest:
                guests.append(await guest.join(room["code"], guestName=name))
                assert (await bob.receive())["joined"] == [guests[-1]["participant"]]
            held = {**guests[-1]["participant"], "isActive": False}
            assert (await bob.receive())["updated"] == [held]
        assert (await carol.ask("join-room", code=room["code"], wait=True))["position"] == 1
        assert await admin.ask("join-room", code=room["code"]) == error("room_full")
        assert (await alice.ask("get-room", code=room["code"]))["admission"] == {"allowed": True}
        joined = await alice.join(room["code"])
        event = await bob.receive()
        left = {**guests[1]["participant"], "isActive": False, "leftAt": event["left"][0]["leftAt"]}
        assert event == changed(seq + 5, joined=[joined["participant"]], left=[left])
        assert joined["state"]["room"]["participantCount"] == 8
        await carol.nothing_more()
        async with daemon.client() as guest:
            assert await guest.ask("resume", resumeToken=guests[1]["resumeToken"]) == error("seat_expired")
            assert (await guest.ask("resume", resumeToken=guests[0]["resumeToken"]))["type"] == "participant"


async def test_a_restart_costs_no_guest_the_seat(make_daemon: MakeDaemon) -> None:
    """All guests are held after a restart, so none of them gives way."""
    daemon = make_daemon()
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("bob") as bob, daemon.client() as guest:
        await bob.join(room["code"])
        seat = await guest.join(room["code"], **JANE)
        await asyncio.to_thread(daemon.kill)
    daemon.start()
    async with daemon.client("alice") as alice, daemon.client() as guest:
        assert await alice.ask("join-room", code=room["code"]) == error("room_full")
        assert (await guest.ask("resume", resumeToken=seat["resumeToken"]))["participant"] == seat["participant"]


# Closing for good.


@pytest.mark.parametrize("code", [1000, 1001])
@pytest.mark.parametrize("user", ["bob", None], ids=["user", "guest"])
async def test_a_clean_close_of_a_client_that_said_so(daemon: Daemon, user: str | None, code: int) -> None:
    """With a hold of 0 a client that closes is gone at once: the others get `left` and nothing else."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client(user) as client:
        seq = (await host.join(room["code"]))["state"]["seq"]
        seat = await client.join(room["code"], **JANE)
        await host.receive()
        assert await client.ask("update-connection", hold=0) == {"type": "ok"}
        await client.websocket.close(code)
        event = await host.receive()
        gone = {**seat["participant"], "isActive": False, "leftAt": event["left"][0]["leftAt"]}
        assert event == changed(seq + 2, left=[gone])
        assert await host.ask("resume", resumeToken=seat["resumeToken"]) == error("seat_expired")


@pytest.mark.parametrize(
    ("hold", "close", "held"),
    [(10, 1001, 10), (1e9, 1000, SEAT_HOLD), (0, None, SEAT_HOLD), (0, 3000, SEAT_HOLD)],
    ids=["clean", "more than seat_hold", "lost", "another code"],
)
async def test_the_hold_of_a_connection(
    make_in_process: MakeInProcess, hold: float, close: int | None, held: float
) -> None:
    """The seat is held for as long as the client asked, at most `seat_hold`; after any other end for `seat_hold`."""
    daemon = make_in_process()
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as client:
        await host.join(room["code"])
        await client.ask("update-connection", hold=hold)
        await client.join(room["code"], **JANE)
        await host.receive()
        daemon.advance(SEAT_HOLD)  # a guest's seat is held for no longer than the guest had been there
        await (client.websocket.close(close) if close is not None else lost(client))
        assert (await host.receive())["updated"][0]["isActive"] is False
        daemon.advance(held - 5)
        await host.nothing_more()
        daemon.advance(6)
        assert (await host.receive())["left"][0]["guestName"] == "Jane"


async def test_a_resume_resets_the_hold(daemon: Daemon) -> None:
    """A client that comes back says anew how it wants to close; a wrong hold is refused."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as client:
        await host.join(room["code"])
        seat = await client.join(room["code"], **JANE)
        for wrong in (-1, "10", True):
            assert (await client.ask("update-connection", hold=wrong))["code"] == "bad_frame"
        await client.ask("update-connection", hold=0)
        await client.ask("resume", resumeToken=seat["resumeToken"])
        await host.receive()
        await client.websocket.close(1000)
        assert (await host.receive())["updated"] == [{**seat["participant"], "isActive": False}]
