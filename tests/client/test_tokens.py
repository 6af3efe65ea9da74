"""Tokens of a meeting: one for each connection, and what happens when the server refuses them."""

import asyncio

import pytest

from roomd.client import Closed, Dropped, Entered, Refused, Returned, Unreachable
from roomd.client.meeting import open_meeting
from tests.support.scripted import JOIN, Script, Server, Sleep, drop, end, meeting_with, rest, serving, settings


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


async def test_fresh_tokens() -> None:
    """A function returns a token for each connection. Three refused ones in a row are the end."""
    seen: list[str | None] = []
    given = iter(["one", "two", "three", "four", "five"])

    async def token() -> str:
        return next(given)

    scripts = [authorized(script, seen) for script in (drop(4401), drop(), bad_token)]
    async with meeting_with(*scripts, token=token) as meeting:
        events = await rest(meeting)
        assert meeting.over is not None
        assert meeting.over.code == "bad_token"
    assert seen == ["Bearer one", "Bearer two", "Bearer three", "Bearer four", "Bearer five"]
    assert sum(isinstance(event, Returned) for event in events) == 1


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
    """A token that was refused is not sent again: not before the first seat, and not after it."""
    seen: list[str | None] = []
    async with serving(authorized(bad_token, seen)) as url:
        with pytest.raises(Refused, match="invalid_token"):
            await open_meeting(url, JOIN, lambda: "same", settings()).__aenter__()
    assert seen == ["Bearer same"]
    async with meeting_with(authorized(drop(4401), seen), token=lambda: "same") as meeting:
        assert await rest(meeting) == [Entered(), Dropped("Connection lost", 1.0)]
        assert meeting.over is not None
        assert meeting.over.code == "bad_token"
    assert seen == ["Bearer same"] * 2


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
    given = ["one", LookupError("no token to be had"), "two"]
    async with meeting_with(drop(), end(), token=token) as meeting:
        _, lost, failed, *_ = await rest(meeting)
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
