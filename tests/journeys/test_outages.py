"""What clients see while storage fails or is slow: docs/protocol.md, section 9."""

import asyncio
import json
from collections.abc import Callable

import pytest

from roomd.system.signals import STOP_TIMEOUT
from tests.support.daemon import Daemon, error
from tests.support.outages import no_leaving, outage
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.both_stores

JANE = {"guestName": "Jane"}
MakeDaemon = Callable[..., Daemon]
UNAVAILABLE = error("unavailable", retryAfter=1.0)


async def test_changes_are_refused_while_storage_fails(make_daemon: MakeDaemon) -> None:
    """While storage fails, changes are refused with 503, none is made or sent; then the daemon serves them again."""
    daemon = make_daemon(ROOMD_DATABASE_BUSY_TIMEOUT="0.2")
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as member, daemon.client() as guest:
        state = (await host.join(room["code"]))["state"]
        seat = await member.join(room["code"], **JANE)
        await host.receive()
        before = await host.ask("list-participants", code=room["code"])
        with outage(daemon):
            for client, type_ in ((guest, "join-room"), (member, "join-room"), (member, "leave-room")):
                assert await client.ask(type_, code=room["code"], **JANE) == UNAVAILABLE
            assert await host.ask("update-room", code=room["code"], name="x") == UNAVAILABLE
            assert await host.ask("end-room", code=room["code"]) == UNAVAILABLE
            assert await guest.ask("resume", resumeToken=seat["resumeToken"]) == UNAVAILABLE
            assert await host.ask("list-participants", code=room["code"]) == before
            assert await host.ask("list-rooms", limit=1)  # reading works
            await member.nothing_more()
        await host.nothing_more()
        joined = await guest.join(room["code"], **JANE)
        assert joined["state"] == {**joined["state"], "epoch": state["epoch"], "seq": state["seq"] + 2}
        assert (await host.receive())["joined"] == [joined["participant"]]


async def test_no_room_is_created_while_storage_fails(make_daemon: MakeDaemon) -> None:
    """A room that cannot be stored is not created, and the error says when to try again."""
    daemon = make_daemon(ROOMD_DATABASE_BUSY_TIMEOUT="0.2")
    async with daemon.client("alice") as alice:
        with outage(daemon):
            assert await alice.ask("create-room") == UNAVAILABLE
        assert (await alice.ask("list-rooms"))["rooms"] == []
        assert (await alice.ask("create-room"))["type"] == "room"


async def test_drop_while_storage_fails(make_daemon: MakeDaemon) -> None:
    """A drop that cannot be stored is sent once it is stored. The hold runs from the drop, and is over by then."""
    daemon = make_daemon(steered=True, ROOMD_DATABASE_BUSY_TIMEOUT="0.2")
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest:
        seq = (await host.join(room["code"]))["state"]["seq"]
        with outage(daemon):
            async with daemon.client("bob") as bob:
                assert await bob.ask("join-room", code=room["code"]) == UNAVAILABLE
        async with daemon.client("bob") as bob:
            participant = (await bob.join(room["code"]))["participant"]
            await host.receive()
            with outage(daemon):
                await bob.websocket.close()
                failed = daemon.log.read_text().count("storage failed")
                async with asyncio.timeout(PATIENCE):
                    while daemon.log.read_text().count("storage failed") == failed:  # until storing the drop failed
                        assert await guest.ask("join-room", code=room["code"], **JANE) == UNAVAILABLE
                await host.nothing_more()
                daemon.advance(3600)
        event = await host.receive()
        left = {**participant, "isActive": False, "leftAt": event["left"][0]["leftAt"]}
        lists = {"joined": [], "updated": [], "left": [left]}
        assert event == {"type": "participants-changed", "seq": seq + 2, **lists}


async def test_a_late_leave_does_not_release_a_new_seat(make_daemon: MakeDaemon) -> None:
    """A client that moved to another room and back, while no leave could be stored, keeps its first seat."""
    daemon = make_daemon()
    room, other = await daemon.room(), await daemon.room()
    async with daemon.client("bob") as bob, daemon.client("alice") as host, daemon.client("alice") as watch:
        await host.join(room["code"])
        await watch.join(other["code"])
        await bob.join(room["code"])
        await host.events()
        with no_leaving(daemon):
            await bob.join(other["code"])
            await host.ask("update-room", code=room["code"], name="Heard by those who are in it")
            await bob.nothing_more()
            seat = (await bob.join(room["code"]))["participant"]
            async with asyncio.timeout(PATIENCE):
                while daemon.log.read_text().count("storage failed") < 2:
                    await watch.events()  # until storing both leaves failed
        while not (await watch.receive())["left"]:
            pass  # the leave of the other room, the later of the two, is tried again until it is stored
        await host.events()
        assert seat in (await host.ask("list-participants", code=room["code"]))["participants"]
        assert (await bob.ask("leave-room"))["participant"]["id"] == seat["id"]


async def test_a_late_drop_does_not_change_a_new_claim(make_daemon: MakeDaemon) -> None:
    """A drop that could not be stored at once does not change a seat that its user has taken back since."""
    daemon = make_daemon(ROOMD_DATABASE_BUSY_TIMEOUT="0.2")
    code = (await daemon.room())["code"]
    async with daemon.client("alice") as host, daemon.client("bob") as bob, daemon.client("carol") as carol:
        people = [(await client.join(code))["participant"] for client in (host, bob, carol)]
        await host.events()
        with outage(daemon):
            await bob.websocket.close()
            await carol.websocket.close()
            async with asyncio.timeout(PATIENCE):
                while daemon.log.read_text().count("storage failed") < 2:
                    assert await host.ask("end-room", code=code) == UNAVAILABLE
        async with daemon.client("bob") as back:
            assert (await back.join(code))["participant"] == people[1]
            while people[2]["id"] not in [who["id"] for who in (await host.receive())["updated"]]:
                pass  # the drop of carol, tried again at the same intervals, is stored
            assert people[1] in (await host.ask("list-participants", code=code))["participants"]


async def test_stop_while_storage_is_locked(make_daemon: MakeDaemon) -> None:
    """The daemon stops in order within 10 s, however long an append waits."""
    assert STOP_TIMEOUT < 10
    daemon = make_daemon(ROOMD_DATABASE_BUSY_TIMEOUT="3600")
    room = await daemon.room()
    async with daemon.client() as member, daemon.client() as joining:
        await member.join(room["code"], **JANE)
        with outage(daemon):
            await joining.send("join-room", code=room["code"], **JANE)
            assert await asyncio.to_thread(daemon.stop) == 0


@pytest.mark.sqlite  # an append to PostgreSQL fails at once: there no batch is running while the daemon stops
async def test_requests_while_the_daemon_stops(make_daemon: MakeDaemon) -> None:
    """While the daemon finishes running batches before it stops, new requests get 503 `restarting`."""
    daemon = make_daemon(ROOMD_DATABASE_BUSY_TIMEOUT="3600")
    room = await daemon.room()
    async with daemon.client() as joining, daemon.client() as other:
        with outage(daemon):
            await joining.send("join-room", id="last", code=room["code"], **JANE)
            stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
            while (reply := await other.ask("ping")) == {"type": "pong"}:
                pass
        expected = {"type": "error", "statusCode": 503, "code": "restarting", "message": "The server is restarting"}
        assert reply == {**expected, "retryAfter": 2.0}
        assert (await joining.receive())["id"] == "last"
        assert await joining.closed() == 1012
        assert await stopping == 0


SECRETS = ("sqlite", "Traceback", "locked", ".db", "/", "Error")


async def test_errors_hold_no_secrets(make_daemon: MakeDaemon) -> None:
    """No error holds the text of an exception, a path or a token."""
    daemon = make_daemon(ROOMD_DATABASE_BUSY_TIMEOUT="0.1")
    room = await daemon.room()
    token = daemon.token("bob", ttl=-60)
    with outage(daemon):
        async with daemon.client() as guest:
            replies = [
                await guest.ask("join-room", code=room["code"], **JANE),
                await guest.ask("resume", resumeToken=f"{room['code']}.abc.secret"),
                await guest.ask("authenticate", token=token),
            ]
    for reply in replies:
        assert reply["type"] == "error"
        text = json.dumps(reply)
        assert not [secret for secret in (*SECRETS, token, "secret", str(daemon.database)) if secret in text]
