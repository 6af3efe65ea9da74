"""`roomd room …`, as far as it is about people: a host at a terminal who is not in the room."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import Result

from tests.support.commands import MISUSED, OK, REFUSED, as_json, roomd
from tests.support.daemon import Client, Daemon

Run = Callable[..., Awaitable[Result]]
DONE = (OK, "", "")


def runner(daemon: Daemon, code: str) -> Run:
    """Return what runs `roomd room COMMAND CODE …` as the room's host."""

    async def run(command: str, *arguments: str) -> Result:
        return await asyncio.to_thread(
            roomd, "room", command, code, *arguments, "--as", "alice", environ=daemon.environ
        )

    return run


def outcome(result: Result) -> tuple[int, str, str]:
    """The exit code, and what was printed."""
    return result.exit_code, result.stdout, result.stderr


async def take(client: Client, type_: str) -> dict[str, object]:
    """Take frames up to the first one of a type."""
    while (frame := await client.receive())["type"] != type_:
        pass
    return frame


async def test_the_queue(daemon: Daemon) -> None:
    """Who waits is listed, and admitted or denied by name, user id or participant id; or all are admitted."""
    code = (await daemon.room(waitingRoom=True))["code"]
    run = runner(daemon, code)
    async with (
        daemon.client() as jane,
        daemon.client() as sam,
        daemon.client() as other,
        daemon.client("bob") as bob,
        daemon.client("carol") as carol,
    ):
        for client, name in ((jane, "Jane Smith"), (sam, "Sam"), (other, "Sam"), (bob, "b"), (carol, "c")):
            await client.ask("join-room", code=code, guestName=name)
        listed = await run("waiting")
        assert (listed.exit_code, listed.stderr) == (OK, "")
        rows = [line.split() for line in listed.stdout.splitlines()]
        assert [row[:3] for row in rows[1:3]] == [["1", "here", "Jane"], ["2", "here", "Sam"]]
        waiting = as_json(await run("waiting", "--json"))["waiting"]
        ids = [one["participantId"] for one in waiting]
        assert [row[-1] for row in rows[1:]] == ids
        assert outcome(await run("admit", "Jane Smith")) == DONE
        assert (await take(jane, "participant"))["resumeToken"]
        assert outcome(await run("deny", "bob")) == DONE
        assert (await take(bob, "error"))["code"] == "denied"
        several = await run("deny", "Sam")
        assert (several.exit_code, all(key in several.stderr for key in ids[1:3])) == (MISUSED, True)
        assert outcome(await run("deny", ids[2])) == DONE
        assert (await take(other, "error"))["code"] == "denied"
        assert outcome(await run("admit", "nobody")) == (REFUSED, "", "participant_not_found: Participant not found\n")
        assert outcome(await run("admit", "--all")) == DONE
        for client in (sam, carol):
            await take(client, "participant")
        assert as_json(await run("waiting", "--json"))["waiting"] == []


async def test_people_in_the_room(daemon: Daemon) -> None:
    """They are muted, removed and banned; a user id comes before a name that is the same."""
    code = (await daemon.room())["code"]
    run = runner(daemon, code)
    async with daemon.client() as fake, daemon.client("bob") as bob, daemon.client() as jane:
        await fake.join(code, guestName="bob")
        await bob.join(code)
        seat = (await jane.join(code, guestName="Jane"))["participant"]
        assert outcome(await run("mute", "bob")) == DONE
        await take(bob, "mute-requested")
        assert outcome(await run("remove", "bob", "--reason", "Late")) == DONE
        assert (await take(bob, "removed"))["reason"] == "Late"
        assert outcome(await run("ban", "--participant", seat["id"])) == DONE
        await take(jane, "removed")
        listed = (await run("participants")).stdout.splitlines()
        assert [line.split()[:3] for line in listed[1:]] == [["here", "bob", "-"]]


async def test_messages(daemon: Daemon) -> None:
    """`say` sends a message of the service, to everyone or to one."""
    code = (await daemon.room())["code"]
    run = runner(daemon, code)
    async with daemon.client() as jane:
        await jane.join(code, guestName="Jane")
        assert outcome(await run("say", "It begins")) == DONE
        assert outcome(await run("say", "Psst", "--to", "Jane")) == DONE
        said = [(await jane.receive())["message"] for _ in range(2)]
        assert [(one["participantId"], one["displayName"], one["text"]) for one in said] == [
            (None, "alice", "It begins"),
            (None, "alice", "Psst"),
        ]
        shown = (await run("messages")).stdout.splitlines()
        assert [line.split()[2:] for line in shown[1:]] == [["everyone", "It", "begins"], ["Jane", "Psst"]]
        assert (await run("say", "")).exit_code == MISUSED


@pytest.mark.parametrize("arguments", [("admit",), ("admit", "bob", "--all"), ("say",), ("remove",)])
async def test_misuse(daemon: Daemon, arguments: tuple[str, ...]) -> None:
    """A command that says too little, or too much, asks nothing."""
    command, *rest = arguments
    assert (await runner(daemon, "abc-def-ghi")(command, *rest)).exit_code == MISUSED
