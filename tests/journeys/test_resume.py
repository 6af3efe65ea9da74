"""Resuming a held seat: docs/protocol.md, section 5."""

from collections.abc import Callable

import pytest

from tests.support.daemon import Daemon, error
from tests.support.wire import changed

JANE = {"guestName": "Jane"}


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_resume_a_held_seat(daemon: Daemon, user: str | None) -> None:
    """A resume token takes the held seat back under the same id, without another token, and a new one replaces it."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as client:
        seq = (await host.join(room["code"]))["state"]["seq"]
        async with daemon.client(user) as dropping:
            before = await dropping.join(room["code"], **JANE)
        participant = before["participant"]
        assert await host.receive() == changed(seq + 1, joined=[participant])
        assert await host.receive() == changed(seq + 2, updated=[{**participant, "isActive": False}])
        reply = await client.ask("resume", resumeToken=before["resumeToken"])
        assert reply == {"type": "participant", "participant": participant, "resumeToken": reply["resumeToken"]}
        assert reply["resumeToken"] != before["resumeToken"]
        state = await client.receive()
        people = [*before["state"]["participants"]]
        assert state == {**before["state"], "seq": seq + 3, "participants": people}
        assert await host.receive() == changed(seq + 3, updated=[participant])
        assert (await client.ask("resume", resumeToken=reply["resumeToken"]))["participant"] == participant
        await client.receive()
        assert await client.ask("resume", resumeToken=before["resumeToken"]) == error("taken_over")


BAD_RESUME_TOKENS = {
    "empty": "",
    "garbage": "no token at all",
    "dots": "..",
    "of no room": "abc-def-ghi.0123456789abcdef01234567.secret",
    "hostile": "abc-def-ghi.' OR 1=1 --.\x00",
    "long": "x." * 20_000,
}


@pytest.mark.parametrize("token", BAD_RESUME_TOKENS.values(), ids=BAD_RESUME_TOKENS.keys())
async def test_unknown_resume_token(daemon: Daemon, token: str) -> None:
    """An unknown token gets 410."""
    async with daemon.client() as client:
        assert await client.ask("resume", resumeToken=token) == error("seat_expired")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (str.upper, "seat_expired"),
        (lambda token: token[:-1], "taken_over"),
        (lambda token: f"{token}x", "taken_over"),
    ],
    ids=["upper case", "shorter", "longer"],
)
async def test_resume_token_with_one_change(daemon: Daemon, change: Callable[[str], str], code: str) -> None:
    """A token that differs in case or in length takes no seat."""
    room = await daemon.room()
    async with daemon.client() as holder, daemon.client() as thief:
        token = (await holder.join(room["code"], **JANE))["resumeToken"]
        assert await thief.ask("resume", resumeToken=change(token)) == error(code)
        await holder.nothing_more()


async def test_resume_takes_the_seat_of_an_open_connection(daemon: Daemon) -> None:
    """An open connection that has the seat is closed with 4409, and the others receive no event."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as first, daemon.client() as second:
        await host.join(room["code"])
        before = await first.join(room["code"], **JANE)
        await host.receive()
        reply = await second.ask("resume", resumeToken=before["resumeToken"])
        assert reply["participant"] == before["participant"]
        assert await first.closed() == 4409
        await host.nothing_more()
        assert (await second.receive())["participants"] == before["state"]["participants"]
        await second.nothing_more()


async def test_resume_while_in_another_room(daemon: Daemon) -> None:
    """A connection that resumes a seat in another room moves there; a refused resume leaves it where it is."""
    first, second = await daemon.room(), await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest:
        await host.join(second["code"])
        async with daemon.client() as dropping:
            held = await dropping.join(first["code"], **JANE)
        elsewhere = (await guest.join(second["code"], guestName="Joan"))["participant"]
        assert (await host.receive())["joined"] == [elsewhere]
        assert await guest.ask("resume", resumeToken=f"{held['resumeToken']}x") == error("taken_over")
        await host.nothing_more()
        assert (await guest.ask("resume", resumeToken=held["resumeToken"]))["participant"] == held["participant"]
        assert [who["id"] for who in (await host.receive())["left"]] == [elsewhere["id"]]


async def test_resume_of_another_users_seat(daemon: Daemon) -> None:
    """A user cannot take another user's seat with its token; the token stays valid."""
    room = await daemon.room()
    async with daemon.client("bob") as bob, daemon.client("carol") as carol, daemon.client("bob") as again:
        before = await bob.join(room["code"])
        assert await carol.ask("resume", resumeToken=before["resumeToken"]) == error("wrong_user")
        await bob.nothing_more()
        assert (await again.ask("resume", resumeToken=before["resumeToken"]))["participant"] == before["participant"]


async def test_resume_in_a_locked_and_full_room(daemon: Daemon) -> None:
    """A held seat can be resumed in a room that is full, locked and without guest access."""
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("alice") as host, daemon.client() as guest:
        await host.join(room["code"])
        async with daemon.client() as dropping:
            held = await dropping.join(room["code"], **JANE)
        await host.receive()
        await host.receive()
        await host.ask("update-room", code=room["code"], isLocked=True, allowGuestAccess=False)
        assert (await guest.ask("resume", resumeToken=held["resumeToken"]))["participant"] == held["participant"]
