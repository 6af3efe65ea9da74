"""Co-hosts, hidden admins, and hosts who are not in the room: docs/protocol.md, sections 2, 5 and 8."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.daemon import Client, Daemon, error

MakeDaemon = Callable[..., Daemon]
JANE = {"guestName": "Jane"}


def cohost(daemon: Daemon, code: str, *, ttl: float = 3600, **grants: Any) -> str:
    """A token of Dora's, who is a co-host of the room."""
    return daemon.token("dora", ttl=ttl, name="Dora", roomd={"room": code, "host": True, **grants})


async def take(client: Client, type_: str) -> dict[str, Any]:
    """Take frames up to the first one of a type."""
    while (frame := await client.receive())["type"] != type_:
        pass
    return frame


async def test_a_cohost_has_the_rights_of_a_host(daemon: Daemon) -> None:
    """In the room of the token, and in no other; everybody sees the role."""
    room = await daemon.room(waitingRoom=True)
    code = room["code"]
    async with daemon.client(token=cohost(daemon, code)) as dora, daemon.client() as jane:
        seat = (await dora.join(code))["participant"]
        assert (seat["role"], seat["isHost"]) == ("cohost", False)
        assert (await jane.ask("join-room", code=code, **JANE))["type"] == "waiting"
        [waits] = (await dora.receive())["waiting"]
        assert await dora.ask("admit-participant", participantId=waits["participantId"]) == {"type": "ok"}
        assert (await jane.receive())["participant"]["role"] == "member"
        assert seat in (await jane.receive())["participants"]
        await dora.events()
        assert (await dora.ask("update-room", code=code, isLocked=True))["room"]["isLocked"] is True
        assert (await dora.receive())["type"] == "room-updated"
        assert await dora.ask("create-room") == error("wrong_room")
    other = await daemon.room()
    async with daemon.client(token=cohost(daemon, code)) as dora:
        assert await dora.ask("update-room", code=other["code"], name="x") == error("wrong_room")


async def test_the_rights_of_a_cohost_end(make_daemon: MakeDaemon) -> None:
    """They are stored with the seat over a restart, and end the grace after the token."""
    daemon = make_daemon(steered=True, ROOMD_AUTH_GRACE="100", ROOMD_AUTH_LEEWAY="0")
    code = (await daemon.room())["code"]
    async with daemon.client(token=cohost(daemon, code, ttl=1000)) as dora:
        seat = await dora.join(code)
    daemon.kill()
    daemon.start()
    async with daemon.client() as dora:
        back = await dora.ask("resume", resumeToken=seat["resumeToken"])
        assert (back["participant"]["role"], back["participant"]["id"]) == ("cohost", seat["participant"]["id"])
        await dora.receive()
        assert await dora.ask("list-bans") == {"type": "bans", "bans": [], "nextCursor": None}
        daemon.advance(1101)
        assert await dora.ask("list-bans") == error("token_expired")
        await dora.send("authenticate", token=daemon.token("dora"))
        assert [one["role"] for one in (await take(dora, "participants-changed"))["updated"]] == ["member"]
        await take(dora, "authenticated")
        assert await dora.ask("list-bans") == error("not_host")


async def test_metadata_is_shown_and_renewed(make_daemon: MakeDaemon) -> None:
    """What the token says of its user: to everyone, over a restart, until a newer token says something else."""
    daemon = make_daemon()
    code = (await daemon.room())["code"]
    token = daemon.token("bob", roomd={"metadata": {"team": "red", "level": 3}})
    async with daemon.client("alice") as alice, daemon.client(token=token) as bob:
        await alice.join(code)
        seat = await bob.join(code)
        assert seat["participant"]["metadata"] == {"team": "red", "level": 3}
        assert "metadata" not in seat["state"]["participants"][0]
        assert (await alice.receive())["joined"] == [seat["participant"]]
        assert (await bob.ask("update-participant", state={"metadata": "mine"})) == {"type": "ok"}
        assert (await alice.receive())["updated"][0]["metadata"] == {"team": "red", "level": 3}
    daemon.kill()
    daemon.start()
    async with daemon.client() as bob, daemon.client("alice") as alice:
        await alice.join(code)
        back = await bob.ask("resume", resumeToken=seat["resumeToken"])
        assert back["participant"]["metadata"] == {"team": "red", "level": 3}
        await alice.events()
        await bob.send("authenticate", token=daemon.token("bob", roomd={"metadata": {"team": "blue"}}))
        assert [one["metadata"] for one in (await alice.receive())["updated"]] == [{"team": "blue"}]


async def test_a_token_that_may_create_no_rooms(daemon: Daemon) -> None:
    """It joins, and is refused a room of its own."""
    code = (await daemon.room())["code"]
    async with daemon.client(token=daemon.token("bob", roomd={"create": False})) as bob:
        assert await bob.ask("create-room") == error("not_allowed", "The token may not create rooms")
        assert (await bob.join(code))["participant"]["role"] == "member"


async def test_grants_that_do_not_go_together(daemon: Daemon) -> None:
    """The token is refused, and the log says why."""
    for grants, reason in (
        ({"host": True}, "host in the claim roomd needs room"),
        ({"hidden": True}, "hidden in the claim roomd needs admin"),
        ({"metadata": {"k": "x" * 2048}}, "metadata in the claim roomd has more than 2048 bytes"),
    ):
        async with daemon.client(token=daemon.token("bob", roomd=grants)) as bob:
            assert await bob.ask("ping") == error("invalid_token")
        await asyncio.to_thread(daemon.wait_for_log, reason)


# Hidden admins.

VOICELESS = error("not_allowed", "You are hidden in this room; join with a token without hidden to take part")


def root(daemon: Daemon, *, hidden: bool = True) -> str:
    """A token of an admin's."""
    return daemon.token("root", roomd={"admin": True, "hidden": hidden})


async def hear_nothing(*clients: Client) -> None:
    """Check that nobody was told anything."""
    for client in clients:
        await client.nothing_more()


async def test_a_hidden_admin_in_a_full_room(daemon: Daemon) -> None:
    """Nobody gets a frame about them, and they get what hosts get, but no private message of others."""
    code = (await daemon.room(maxParticipants=2))["code"]
    async with (
        daemon.client("alice") as alice,
        daemon.client("bob") as bob,
        daemon.client(token=root(daemon)) as admin,
        daemon.client("carol") as carol,
    ):
        (first, second) = [(await client.join(code))["participant"]["id"] for client in (alice, bob)]
        await alice.send("update-room", code=code, isLocked=True)
        await take(alice, "room-updated")
        for client in (alice, bob):
            await client.events()
        seat = await admin.join(code)
        assert (seat["participant"]["isHidden"], seat["participant"]["role"]) == (True, "cohost")
        assert [one["id"] for one in seat["state"]["participants"]] == [first, second]
        assert seat["state"]["room"]["participantCount"] == 2
        for history in (False, True):
            people = await alice.ask("list-participants", code=code, history=history)
            assert [one["id"] for one in people["participants"]] == [first, second]
        assert (await carol.ask("get-room", code=code))["room"]["participantCount"] == 2
        await bob.send("send-message", text="Psst", to=first)
        await bob.send("send-message", text="To all")
        assert (await admin.receive())["message"]["text"] == "To all"
        [message] = (await admin.ask("list-messages", code=code))["messages"]
        assert message["text"] == "To all"
        assert (await admin.ask("update-room", code=code, isLocked=False))["room"]["isLocked"] is False
        await admin.events()
        for client in (alice, bob):
            await client.events()
        assert (await admin.ask("leave-room"))["participant"]["leftAt"] is not None
        await hear_nothing(alice, bob)


async def test_a_hidden_admin_has_no_voice(daemon: Daemon) -> None:
    """Neither messages nor signals nor state; and nobody reaches them by an id."""
    code = (await daemon.room())["code"]
    async with daemon.client("alice") as alice, daemon.client(token=root(daemon)) as admin:
        other = (await alice.join(code))["participant"]["id"]
        own = (await admin.join(code))["participant"]["id"]
        for type_, fields in (
            ("send-message", {"text": "Hello"}),
            ("send-message", {"text": "Hello", "code": code}),
            ("signal", {"to": other, "data": {}}),
            ("update-participant", {"state": {"muted": True}}),
        ):
            assert await admin.ask(type_, **fields) == VOICELESS
        assert await alice.ask("signal", to=own, data={}) == error("participant_not_found")
        assert await alice.ask("send-message", to=own, text="?") == error("participant_not_found")
        await hear_nothing(alice, admin)


async def test_a_hidden_admin_comes_back(make_daemon: MakeDaemon) -> None:
    """After a drop and a restart, unseen; a token that does not hide ends that, and gives a seat."""
    daemon = make_daemon()
    code = (await daemon.room())["code"]
    async with daemon.client(token=root(daemon)) as admin:
        seat = await admin.join(code)
    daemon.kill()
    daemon.start()
    async with daemon.client("alice") as alice, daemon.client() as admin:
        await alice.join(code)
        back = await admin.ask("resume", resumeToken=seat["resumeToken"])
        assert back["participant"] == seat["participant"]
        await admin.receive()
        assert await admin.ask("signal", to="x", data={}) == VOICELESS
        await hear_nothing(alice)
        async with daemon.client(token=root(daemon, hidden=False)) as seen:
            joined = (await seen.join(code))["participant"]
            assert "isHidden" not in joined
            assert await admin.receive() == {"type": "removed", "reason": None}
            assert await admin.closed() == 4403
            assert (await alice.receive())["joined"] == [joined]


async def test_the_end_of_a_room_is_told_to_hidden_admins(daemon: Daemon) -> None:
    """As to everyone."""
    room = await daemon.room()
    async with daemon.client("alice") as alice, daemon.client(token=root(daemon)) as admin:
        await admin.join(room["code"])
        await alice.ask("end-room", code=room["code"])
        assert (await admin.receive())["type"] == "room-ended"
        assert await admin.ask("leave-room") == error("not_in_room")


# From outside.


async def test_messages_of_the_service(daemon: Daemon) -> None:
    """From a host, a co-host or an admin who is not in the room; once for each client id, over a retry."""
    code = (await daemon.room())["code"]
    async with daemon.client("bob") as bob, daemon.client() as jane:
        await bob.join(code)
        guest = (await jane.join(code, **JANE))["participant"]["id"]
        await bob.events()
        for token, name in (
            (daemon.token("alice", name="Recorder"), "Recorder"),
            (daemon.token("alice"), "alice"),
            (cohost(daemon, code), "Dora"),
            (daemon.token("root", roomd={"admin": True}), "root"),
        ):
            async with daemon.client(token=token) as host:
                for _ in range(2):
                    assert await host.ask("send-message", code=code, text="Soon", clientId=name) == {"type": "ok"}
                assert await host.ask("send-message", code=code, text="Psst", to=guest) == {"type": "ok"}
                await host.nothing_more()
            public, private = (await jane.receive())["message"], (await jane.receive())["message"]
            assert (public["participantId"], public["displayName"], public["to"]) == (None, name, None)
            assert (private["participantId"], private["to"], private["text"]) == (None, guest, "Psst")
            assert await bob.events() == [{"type": "message", "message": public}]
        listed = (await bob.ask("list-messages", code=code))["messages"]
        assert [one["displayName"] for one in listed] == ["Recorder", "alice", "Dora", "root"]
        assert await bob.ask("send-message", code=code, text="My own") == {"type": "ok"}
        assert (await bob.receive())["message"]["displayName"] == "bob"


async def test_messages_of_the_service_that_are_refused(daemon: Daemon) -> None:
    """Guests, users who are no hosts, and rooms that are over or never were."""
    code, ended = (await daemon.room())["code"], (await daemon.room())["code"]
    async with daemon.client("bob") as bob, daemon.client() as guest, daemon.client("alice") as alice:
        assert await bob.ask("send-message", code=code, text="x") == error("not_host")
        assert await guest.ask("send-message", code=code, text="x") == error("not_host")
        assert await alice.ask("send-message", code="zzz-zzz-zzz", text="x") == error("room_not_found")
        assert await alice.ask("send-message", code=code, text="x", to="nobody") == error("participant_not_found")
        await alice.ask("end-room", code=ended)
        assert await alice.ask("send-message", code=ended, text="x") == error("room_inactive")


async def test_moderation_from_outside(daemon: Daemon) -> None:
    """A co-host who is not in the room lists the queue page by page, admits, denies, mutes, removes and bans."""
    code = (await daemon.room(waitingRoom=True))["code"]
    async with (
        daemon.client(token=cohost(daemon, code)) as dora,
        daemon.client("bob") as bob,
        daemon.client("carol") as carol,
        daemon.client("eve") as eve,
    ):
        ids = [(await client.ask("join-room", code=code))["participantId"] for client in (bob, carol, eve)]
        page = await dora.ask("list-waiting", code=code, limit=2)
        assert [(one["participantId"], one["position"]) for one in page["waiting"]] == [(ids[0], 1), (ids[1], 2)]
        last = await dora.ask("list-waiting", code=code, limit=2, cursor=page["nextCursor"])
        assert ([one["userId"] for one in last["waiting"]], last["nextCursor"]) == (["eve"], None)
        assert await bob.ask("list-waiting", code=code) == error("not_host")
        for type_, key in (("admit-participant", 0), ("admit-participant", 1), ("deny-participant", 2)):
            assert await dora.ask(type_, code=code, participantId=ids[key]) == {"type": "ok"}
        assert (await take(eve, "error"))["code"] == "denied"
        await bob.events()
        assert await dora.ask("mute-participant", code=code, participantId=ids[0]) == {"type": "ok"}
        assert (await bob.receive()) == {"type": "mute-requested"}
        assert await dora.ask("remove-participant", code=code, participantId=ids[0], reason="x") == {"type": "ok"}
        assert await bob.receive() == {"type": "removed", "reason": "x"}
        assert await dora.ask("ban", code=code, userId="carol") == {"type": "ok"}
        assert (await take(carol, "removed"))["reason"] is None
        assert await dora.ask("ban", code=code, userId="zoe") == {"type": "ok"}
        banned = (await dora.ask("list-bans", code=code))["bans"]
        assert [one["userId"] for one in banned] == ["carol", "zoe"]
