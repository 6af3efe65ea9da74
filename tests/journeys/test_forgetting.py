"""`roomd forget`: what was stored about somebody is gone, from the file too, and what is about others is as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from roomd.verify.replay import Replay
from tests.support.commands import MISUSED, OK, REFUSED, UNREACHABLE, as_json, roomd
from tests.support.daemon import Client, Daemon, faults, serving
from tests.support.databases import problems, reading

pytestmark = pytest.mark.both_stores

NAME, TEXT, SECRET = "Zaphod Beeblebrox", "my private address is 42 Sector ZZ9", "zaphod@galaxy.example"
USER, GUEST = "zaphod-the-user", "Ford Prefect"


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    with serving(tmp_path, ROOMD_EVENTS_MESSAGES="true") as daemon:
        yield daemon
        assert faults(daemon) == []


def claims(daemon: Daemon) -> str:
    return daemon.token(USER, name=NAME, roomd={"metadata": {"mail": SECRET}})


async def said(client: Client, *texts: str, **to: str) -> None:
    for text in texts:
        await client.send("send-message", text=text, **to)
    await client.events()


async def leave(client: Client) -> None:
    await client.events()
    await client.ask("leave-room")


async def live(daemon: Daemon) -> dict[str, Any]:
    """Let a user and a guest do all that is stored, and leave; return the rooms and the guest."""
    room, hosted = await daemon.room("bob"), await daemon.room(USER)
    async with daemon.client("bob") as bob, daemon.client(token=claims(daemon)) as user, daemon.client() as guest:
        await bob.join(room["code"])
        me = (await user.join(room["code"]))["participant"]
        ford = (await guest.join(room["code"], guestName=GUEST))["participant"]
        for client in (bob, user, guest):
            await client.events()
        await user.send("update-participant", state={"mood": SECRET})
        await said(user, TEXT, "again " + TEXT)
        await said(user, "psst " + TEXT, to=ford["id"])
        await said(guest, "I am " + GUEST)
        await said(bob, "to you alone " + TEXT, to=me["id"])
        await said(bob, "hello all")
        await leave(user)
        await user.join(hosted["code"])
        await leave(user)
        await user.send("end-room", code=hosted["code"])
        await user.events()
        await bob.send("ban", code=room["code"], userId=USER, reason=TEXT)
        await bob.events()
        await leave(guest)
        await leave(bob)
    return {"room": room, "hosted": hosted, "guest": ford["id"], "user": me["id"]}


@pytest.fixture
async def world(daemon: Daemon) -> dict[str, Any]:
    return await live(daemon)


def at(daemon: Daemon) -> tuple[object, ...]:
    return ("--database", daemon.database)


def content(daemon: Daemon) -> bytes:
    """Everything in the files."""
    if daemon.database_url is not None:  # the server's files are its operator's: what it returns has to do
        with reading(daemon) as db:
            return "\n".join(db.iterdump()).encode()
    return b"".join(file.read_bytes() for file in daemon.database.parent.glob("roomd.db*") if file.is_file())


def stays(daemon: Daemon) -> list[tuple[Any, ...]]:
    with reading(daemon) as db:
        rows = db.execute("SELECT room_id, id, joined_at, left_at FROM participants ORDER BY room_id, id")
        return list(map(tuple, rows))


def people(daemon: Daemon) -> dict[str, Any]:
    with reading(daemon) as db:
        rows = db.execute("SELECT id, user_id, display_name, left_at FROM participants").fetchall()
    return {key: rest for key, *rest in rows}


def events(daemon: Daemon) -> list[dict[str, Any]]:
    with reading(daemon) as db:
        return [json.loads(body) for (body,) in db.execute("SELECT body FROM events ORDER BY position")]


async def test_a_user_is_forgotten(daemon: Daemon, world: dict[str, Any]) -> None:
    """A dry run counts and changes nothing; then it is done, for readers of the log and newcomers."""
    async with daemon.client(token=daemon.token("root", ttl=7200, roomd={"admin": True})) as admin:
        before, log = stays(daemon), events(daemon)
        tried = as_json(roomd("forget", "--user", USER, "--dry-run", "--json", *at(daemon)))
        assert (stays(daemon), events(daemon)) == (before, log)
        about = [event for event in log if USER in json.dumps(event) or NAME in json.dumps(event)]
        counts = {"stays": 2, "messages": 4, "bans": 1, "rooms": 1, "events": len(about)}
        assert tried == {"pseudonym": None, **counts, "isWiped": True}
        done = as_json(roomd("forget", "--user", USER, "--json", *at(daemon)))
        pseudonym = done["pseudonym"]
        assert pseudonym.startswith("forgotten-")
        # That the ban is lifted is an event too.
        assert done == {"pseudonym": pseudonym, **counts, "events": len(about) + 1, "isWiped": True}
        for name in (NAME, TEXT, SECRET, USER):
            assert name.encode() not in content(daemon), name
        assert stays(daemon) == before
        replay = Replay()
        replay.read([{**event, "id": str(number)} for number, event in enumerate(events(daemon))])
        replayed = {key: [stay["userId"], stay["displayName"], stay["leftAt"]] for key, stay in replay.stays.items()}
        assert replayed == people(daemon)
        read = await admin.ask("get-room", code=world["hosted"]["code"])
        assert read["room"]["hostId"] == pseudonym
        history = await admin.ask("list-participants", code=world["room"]["code"], history=True)
        assert NAME not in json.dumps(history)
    async with daemon.client("carol") as carol:
        state = (await carol.join(world["room"]["code"]))["state"]
        assert [message["text"] for message in state["messages"]] == ["I am " + GUEST, "hello all"]
    async with daemon.client(token=claims(daemon)) as user:
        assert (await user.join(world["room"]["code"]))["participant"]["userId"] == USER, "no ban is left"
    assert "nothing" not in roomd("forget", "--user", USER, *at(daemon)).stdout
    daemon.stop()
    assert problems(daemon) == []


async def test_again_finds_nothing(daemon: Daemon, world: dict[str, Any]) -> None:
    """So it can be run by a script that does not know whether it has run."""
    assert roomd("forget", "--user", USER, *at(daemon)).exit_code == OK
    found = roomd("forget", "--user", USER, *at(daemon))
    assert (found.exit_code, found.stdout) == (OK, f"nothing is stored about {USER}\n")


async def test_a_guest_is_forgotten(daemon: Daemon, world: dict[str, Any]) -> None:
    """One stay, its messages and its events; the user stays as they were."""
    before = stays(daemon)
    found = roomd("forget", "--guest", world["guest"], *at(daemon))
    lines = dict(line.split(":", 1) for line in found.stdout.splitlines()[:5])
    assert {name: text.split()[0] for name, text in lines.items()} == {
        "stays": "1", "messages": "2", "bans": "0", "rooms": "0", "events": "3",
    }  # fmt: skip
    assert GUEST.encode() not in content(daemon)
    assert NAME.encode() in content(daemon)
    assert stays(daemon) == before
    daemon.stop()
    assert problems(daemon) == []


async def test_somebody_who_is_there(daemon: Daemon) -> None:
    """Is refused, and told what to do; also a host whose room goes on."""
    room = await daemon.room("bob")
    async with daemon.client("alice") as alice:
        await alice.join(room["code"])
        for name, code in (("alice", "has a seat"), ("bob", "hosts")):
            found = roomd("forget", "--user", name, *at(daemon))
            assert found.exit_code == REFUSED
            assert found.stderr.startswith(f"roomd: {name} {code}")
            assert room["code"] in found.stderr
            assert "and try again" in found.stderr


async def test_wrong_usage(daemon: Daemon, tmp_path: Path) -> None:
    """Both, neither, and no daemon."""
    for options in ((), ("--user", "a", "--guest", "b")):
        assert roomd("forget", *options, *at(daemon)).exit_code == MISUSED
    assert roomd("forget", "--user", "a", "--database", tmp_path / "none.db").exit_code == UNREACHABLE
