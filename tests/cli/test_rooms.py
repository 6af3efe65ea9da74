"""`roomd room` with a running daemon, as users and scripts see it."""

import asyncio
import re

from typer.testing import Result

from tests.support.commands import MISUSED, OK, as_json, roomd
from tests.support.daemon import Daemon, error


def test_create_show_lock_and_end_a_room(daemon: Daemon) -> None:
    """A room is created, shown, locked, unlocked and ended; its code may be typed with spaces and in capitals."""
    code = roomd("room", "create", "--name", "Weekly", "--max", 3, environ=daemon.environ).stdout.strip()
    loose = code.replace("-", " ").upper()

    def sheet() -> dict[str, str]:
        lines = roomd("room", "show", loose, environ=daemon.environ).stdout.splitlines()
        return {line[:14].strip(): line[14:] for line in lines}

    shown = sheet()
    assert (shown["code"], shown["name"], shown["host"]) == (code, "Weekly", "operator")
    assert (shown["state"], shown["seats"], shown["guests"], shown["you may join"]) == (
        "open",
        "0 of 3",
        "allowed",
        "yes",
    )
    assert roomd("room", "lock", loose, environ=daemon.environ).stdout == f"{code} (Weekly) is locked\n"
    assert sheet()["state"] == "locked"
    assert sheet()["you may join"] == "yes", "the lock is for others"
    assert roomd("room", "unlock", loose, environ=daemon.environ).stdout == f"{code} (Weekly) is open\n"
    assert roomd("room", "end", loose, environ=daemon.environ).stdout == f"{code} (Weekly) has ended\n"
    assert (sheet()["state"], "ended" in sheet()) == ("ended", True)


def test_json_output(daemon: Daemon) -> None:
    """With --json every command prints one document, in the form of the wire."""
    made = as_json(roomd("room", "create", "--no-guests", "--as", "carol", "--json", environ=daemon.environ))
    code = made["room"]["code"]
    assert made["type"] == "room"
    assert "id" not in made
    assert (made["room"]["hostId"], made["room"]["allowGuestAccess"]) == ("carol", False)
    shown = as_json(roomd("room", "show", code, "--json", environ=daemon.environ))
    assert shown == {**made, "admission": {"allowed": True}}
    for command in ("lock", "unlock", "end"):
        changed = as_json(roomd("room", command, code, "--json", environ=daemon.environ))["room"]
        assert (changed["isLocked"], changed["isActive"]) == (command == "lock", command != "end")


def test_list_rooms(daemon: Daemon) -> None:
    """A user lists their own rooms, an admin every room; --active and --ended choose among them."""
    for _ in range(3):
        roomd("room", "create", "--as", "dora", environ=daemon.environ)
    mine = as_json(roomd("room", "list", "--as", "dora", "--json", environ=daemon.environ))
    assert len(mine["rooms"]) == 3
    code = mine["rooms"][0]["code"]
    roomd("room", "end", code, environ=daemon.environ)
    ended = roomd("room", "list", "--ended", "--as", "dora", environ=daemon.environ).stdout.splitlines()
    assert [line.split()[0] for line in ended] == ["CODE", code]
    active = as_json(roomd("room", "list", "--active", "--as", "dora", "--json", environ=daemon.environ))
    assert len(active["rooms"]) == 2
    assert code in roomd("room", "list", environ=daemon.environ).stdout


async def test_list_participants(daemon: Daemon) -> None:
    """The list has who is in the room, and with --history also who has left."""
    room = await daemon.room()
    command = ("room", "participants", room["code"])
    async with daemon.client() as jane, daemon.client("bob") as bob:
        await jane.join(room["code"], guestName="Jane")
        await bob.join(room["code"])
        await bob.ask("leave-room")
        here = await asyncio.to_thread(roomd, *command, environ=daemon.environ)
        ever = await asyncio.to_thread(roomd, *command, "--history", environ=daemon.environ)
    rows = [line.split()[:3] for line in here.stdout.splitlines()]
    assert rows == [["STATE", "NAME", "USER"], ["here", "Jane", "-"]]
    rows = [line.split()[:3] for line in ever.stdout.splitlines()]
    assert rows[1:] == [["here", "Jane", "-"], ["left", "bob", "bob"]]


def test_update_a_room(daemon: Daemon) -> None:
    """`room update` changes the settings that are given, and no others."""
    code = roomd("room", "create", "--name", "Weekly", "--waiting-room", environ=daemon.environ).stdout.strip()
    options = ("--name", "Daily", "--max", 7, "--no-guests", "--no-waiting-room")
    sheet = roomd("room", "update", code, *options, environ=daemon.environ).stdout
    for word, value in (("name", "Daily"), ("guests", "not allowed"), ("newcomers", "come in at once")):
        assert f"{word:<14}{value}\n" in sheet
    changed = as_json(roomd("room", "update", code, "--waiting-room", "--json", environ=daemon.environ))["room"]
    assert (changed["waitingRoom"], changed["name"], changed["maxParticipants"]) == (True, "Daily", 7)
    nothing = roomd("room", "update", code, environ=daemon.environ)
    assert (nothing.exit_code, "give a setting to change" in nothing.stderr) == (MISUSED, True)


async def test_recipients_of_private_messages(daemon: Daemon) -> None:
    """A private message is shown with the recipient's name, also after they left; JSON has the recipient's id."""
    room = await daemon.room("alice")
    async with daemon.client("alice") as alice, daemon.client() as jane, daemon.client("bob") as bob:
        host = (await alice.join(room["code"]))["participant"]["id"]
        seat = await jane.join(room["code"], guestName="Jane Smith")
        await bob.join(room["code"])
        private = [(alice, "psst", seat["participant"]["id"]), (bob, "hey", host)]
        for client, text, to in [(alice, "hello", None), *private]:
            await client.send("send-message", id="said", text=text, to=to)
            while (await client.receive()).get("id") != "said":
                pass
        await jane.send("leave-room")
        while (await jane.receive())["type"] != "participant":
            pass

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(roomd, "room", "messages", room["code"], *arguments, environ=daemon.environ)

        rows = [re.split("  +", line) for line in (await run("--as", "alice")).stdout.splitlines()]
        everyone = ["everyone", "hello"]
        assert [row[2:] for row in rows[1:]] == [everyone, ["Jane Smith", "psst"], ["alice", "hey"]]
        rows = [re.split("  +", line) for line in (await run("--as", "bob")).stdout.splitlines()]
        assert [row[2:] for row in rows[1:]] == [everyone, ["alice", "hey"]]
        said = as_json(await run("--as", "alice", "--json"))["messages"]
        assert [one["to"] for one in said] == [None, seat["participant"]["id"], host]


async def test_list_messages_and_bans(daemon: Daemon) -> None:
    """A host lists messages and bans, and lifts a ban, without joining the room."""
    room = await daemon.room("alice")
    async with daemon.client("alice") as alice, daemon.client("bob") as bob:
        await alice.join(room["code"])
        seat = await bob.join(room["code"])
        await bob.ask("send-message", text="Buy\x1b now")
        reason = {"ban": True, "reason": "spam"}
        await alice.send("remove-participant", id="x", participantId=seat["participant"]["id"], **reason)
        await bob.closed()
        host = ("--as", "alice")

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(roomd, "room", *arguments, *host, environ=daemon.environ)

        said = await run("messages", room["code"])
        rows = [line.split("  ") for line in said.stdout.splitlines()]
        assert [row[-1] for row in rows] == ["TEXT", "Buy\\x1b now"]
        assert as_json(await run("messages", room["code"], "--json"))["messages"][0]["displayName"] == "bob"
        banned = (await run("bans", room["code"])).stdout.splitlines()
        assert [line.split()[0] for line in banned] == ["USER", "bob"]
        assert banned[1].endswith("spam")
        assert as_json(await run("bans", room["code"], "--json"))["bans"][0]["userId"] == "bob"
        assert (await run("unban", room["code"], "bob")).exit_code == OK
        assert as_json(await run("bans", room["code"], "--json"))["bans"] == []


async def test_ban_and_unban_by_id(daemon: Daemon) -> None:
    """A host bans a user who is not there, and a guest by the participant; `unban --id` lifts a guest's ban."""
    room = await daemon.room("alice")
    async with daemon.client() as jane:
        seat = (await jane.join(room["code"], guestName="Jane"))["participant"]
        host = ("--as", "alice")

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(roomd, "room", *arguments, *host, environ=daemon.environ)

        assert (await run("ban", room["code"], "zoe", "--reason", "spam")).exit_code == OK
        assert (await run("ban", room["code"], "--participant", seat["id"])).exit_code == OK
        assert await jane.closed() == 4403
        of_jane, of_zoe = as_json(await run("bans", room["code"], "--json"))["bans"]
        assert (of_jane["userId"], of_jane["displayName"]) == (None, "Jane")
        assert (of_zoe["userId"], of_zoe["reason"], of_zoe["expiresAt"]) == ("zoe", "spam", None)
        assert of_jane["id"] in (await run("bans", room["code"])).stdout
        assert (await run("unban", room["code"], "--id", of_jane["id"])).exit_code == OK
        assert as_json(await run("bans", room["code"], "--json"))["bans"] == [of_zoe]
        for command in ("ban", "unban"):
            assert "give a user id or --" in (await run(command, room["code"])).stderr
    async with daemon.client("zoe") as zoe:
        assert await zoe.ask("join-room", code=room["code"]) == error("banned")
    shown = await asyncio.to_thread(roomd, "room", "show", room["code"], "--as", "zoe", environ=daemon.environ)
    assert shown.stdout == "you may join  no, banned: You were removed from this room\n"
