"""Tokens of a meeting: one for each connection, and what happens when the server refuses them."""

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from roomd.client import Closed, Dropped, Entered, Over, Refused, Returned, SeatLost, Unreachable
from roomd.client.meeting import open_meeting
from roomd.client.tokens import has_expired
from tests.support.people import JANE
from tests.support.scripted import (
    JOIN,
    Script,
    Server,
    Sleep,
    drop,
    end,
    meeting_with,
    rest,
    serving,
    settings,
    until,
)


def authorized(then: Script, seen: list[str | None]) -> Script:
    """Note the token of a connection, and go on."""

    async def script(server: Server) -> None:
        assert server.websocket.request is not None
        seen.append(server.websocket.request.headers.get("Authorization"))
        await then(server)

    return script


async def bad_token(server: Server) -> None:
    """Refuse the token."""
    await server.websocket.close(4401)


async def test_no_token_is_needed_to_come_back() -> None:
    """A connection that takes a seat back is made without a token; the function is asked when the seat is had."""
    seen: list[str | None] = []
    asked: list[dict[str, Any]] = []
    given = iter(["one", "two", "three"])

    async def token() -> str:
        return next(given)

    async def back(server: Server) -> None:
        await server.answer("participant", participant=JANE, resumeToken="next")
        await server.answer("authenticated", userId="jane", expiresAt="")
        await server.state(JANE)
        await server.answer("messages", messages=[], nextCursor=None)
        asked.extend(server.asked)
        await server.left()

    scripts = [authorized(script, seen) for script in (drop(4401), drop(), back)]
    async with meeting_with(bad_token, *scripts[1:], token=token) as meeting:
        assert [await anext(meeting) for _ in range(3)] == [Entered(), Dropped("Connection lost", 1.0), Returned()]
        await until(lambda: len(asked) == 3)
    assert seen == ["Bearer two", None]
    assert [(request["type"], request.get("token")) for request in asked] == [
        ("resume", None),
        ("authenticate", "three"),
        ("list-messages", None),
    ]


async def test_a_refused_token_costs_no_seat() -> None:
    """A token that is refused after the resume costs the connection; the next one does without it."""
    asked: list[dict[str, Any]] = []

    async def refusing(server: Server) -> None:
        await server.answer("participant", participant=JANE, resumeToken="next")
        await server.refuse(401, "token_expired")
        await server.websocket.close(4401)

    async def back(server: Server) -> None:
        await server.seat()
        await server.answer("messages", messages=[], nextCursor=None)
        asked.extend(server.asked)
        await server.left()

    async with meeting_with(drop(), refusing, back, token=lambda: "same") as meeting:
        await until(lambda: len(asked) == 2)
        assert (meeting.status, meeting.over) == ("joined", None)
    assert [request["type"] for request in asked] == ["resume", "list-messages"]
    assert asked[0]["resumeToken"] == "next"


async def test_a_seat_that_was_lost_needs_a_token() -> None:
    """When the held seat has expired the token is shown on the same connection; a refused fixed one is the end."""

    async def lost(server: Server) -> None:
        await server.refuse(410, "seat_expired")
        request = await server.refuse(401, "token_expired", "Token has expired")
        assert (request["type"], request["token"]) == ("authenticate", "fixed")
        await server.gone()

    async with meeting_with(drop(), lost, token="fixed") as meeting:
        assert await rest(meeting) == [Entered(), Dropped("Connection lost", 1.0), SeatLost()]
        assert meeting.over == Over("bad_token", "Token has expired")


@pytest.mark.parametrize("token", ["x" * 20_000, "nicht-äscii", "half \ud83d", "two\r\nlines"])
async def test_a_token_that_fits_no_header(token: str) -> None:
    """A long token, or one that is no header value, is sent in a frame."""

    async def script(server: Server) -> None:
        assert server.websocket.request is not None
        assert "Authorization" not in server.websocket.request.headers
        request = await server.answer("authenticated", userId="jane", expiresAt="")
        assert request["token"] == token.replace("\ud83d", "\ufffd")
        await server.seat()
        await server.left()

    async with meeting_with(script, token=token) as meeting:
        assert meeting.status == "joined"


def test_whether_a_token_has_expired() -> None:
    """That is read from it, where it can be read."""

    def jwt(**claims: object) -> str:
        return f"h.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s"

    assert has_expired(jwt(sub="jäne?>", exp=100), 100)
    assert not has_expired(jwt(sub="jäne?>", exp=101), 100)
    for token in (jwt(), jwt(exp="soon"), "", "a.b.c", "a", "...", "a.\ud83d.b"):
        assert not has_expired(token, 100)


async def test_fresh_tokens_for_the_first_connection() -> None:
    """Whoever joins does not hear of a refused token while the function returns another one; it is tried at once."""
    seen: list[str | None] = []
    given = iter(["one", "two", "three", "four", "five"])
    sleep = Sleep()

    async def seated(server: Server) -> None:
        await server.seat()
        await server.left()

    scripts = [authorized(script, seen) for script in (bad_token, bad_token, seated)]
    async with meeting_with(*scripts, token=lambda: next(given), sleep=sleep) as meeting:
        assert await anext(meeting) == Entered()
    assert seen == ["Bearer one", "Bearer two", "Bearer three"]
    assert sleep.delays == []
    given = iter(["one", "two", "three"])
    async with serving(bad_token) as url:
        with pytest.raises(Closed):
            await open_meeting(url, JOIN, lambda: next(given), settings()).__aenter__()
    assert list(given) == []


async def test_the_same_token_again() -> None:
    """A token that was refused before the first seat is not sent again."""
    seen: list[str | None] = []
    async with serving(authorized(bad_token, seen)) as url:
        with pytest.raises(Refused, match="invalid_token"):
            await open_meeting(url, JOIN, lambda: "same", settings()).__aenter__()
    assert seen == ["Bearer same"]


async def test_a_token_function_that_fails() -> None:
    """What it raises for the first connection is raised by `join`. Later the client tries again."""
    given: list[str | Exception] = [LookupError("no token to be had")]

    def token() -> str:
        match given.pop(0):
            case Exception() as failure:
                raise failure
            case answer:
                return answer

    async with serving(drop()) as url:
        with pytest.raises(LookupError):
            await open_meeting(url, JOIN, token, settings()).__aenter__()
    given = ["one", LookupError("no token to be had"), LookupError("no token to be had"), "two"]

    async def expired(server: Server) -> None:
        await server.refuse(410, "seat_expired")
        await server.gone()

    async with meeting_with(drop(), end(), token=token) as meeting:
        assert [type(event) for event in await rest(meeting)] == [Entered, Dropped, Returned]
    given = ["one", LookupError("no token to be had"), "two"]
    async with meeting_with(drop(), expired, end(), token=token) as meeting:
        _, lost, _, failed, *_ = await rest(meeting)
        assert isinstance(failed, Dropped)
        assert (lost, failed.delay) == (Dropped("Connection lost", 1.0), 2.0)
        assert "no token to be had" in failed.reason


async def test_a_token_function_that_never_returns() -> None:
    """It is not waited for forever."""
    never = asyncio.Event()

    async def token() -> str:
        await never.wait()
        return ""

    async with serving(drop()) as url:
        with pytest.raises(Unreachable, match=r"no token within 0\.1 seconds"):
            await open_meeting(url, JOIN, token, settings(token_patience=0.1)).__aenter__()
