"""Frames and their replies, as clients see them: docs/protocol.md, sections 1 and 9."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.cases import FrameCase, frame_cases
from tests.support.daemon import Client, Daemon, error


def malformed(detail: str, **more: Any) -> dict[str, Any]:
    """Build a `bad_frame` error."""
    return error("bad_frame", f"Malformed frame: {detail}", **more)


REPLIES: dict[str, tuple[str, dict[str, Any]]] = {
    "ping": ('{"type": "ping"}', {"type": "pong"}),
    "integer id": ('{"type": "ping", "id": 0}', {"type": "pong", "id": 0}),
    "negative id": ('{"type": "ping", "id": -5}', {"type": "pong", "id": -5}),
    "huge id": (f'{{"type": "ping", "id": {10**40}}}', {"type": "pong", "id": 10**40}),
    "one character": ('{"type": "ping", "id": "x"}', {"type": "pong", "id": "x"}),
    "64 characters": (json.dumps({"type": "ping", "id": "\U0001f600" * 64}), {"type": "pong", "id": "\U0001f600" * 64}),
    "null id": ('{"type": "ping", "id": null}', {"type": "pong"}),
    "id before type": ('{"id": 7, "type": "ping"}', {"type": "pong", "id": 7}),
    "unknown keys": ('{"type": "ping", "id": 1, "x": {"y": [1, null]}, "code": 5}', {"type": "pong", "id": 1}),
    "64 KiB": ('{"type": "ping"}'.ljust(65_536), {"type": "pong"}),
    "spaces": ('\n {"type": "ping"}\t', {"type": "pong"}),
    "empty string id": (
        '{"type": "ping", "id": ""}',
        malformed("Expected `str` of length >= 1 - at `$.id`"),
    ),
    "65 characters": (
        json.dumps({"type": "ping", "id": "x" * 65}),
        malformed("Expected `str` of length <= 64 - at `$.id`"),
    ),
    "fractional id": ('{"type": "ping", "id": 1.5}', malformed("Expected `int | str | null`, got `float` - at `$.id`")),
    "boolean id": ('{"type": "ping", "id": true}', malformed("Expected `int | str | null`, got `bool` - at `$.id`")),
    "list id": ('{"type": "ping", "id": [1]}', malformed("Expected `int | str | null`, got `array` - at `$.id`")),
    "nothing": ("", malformed("Input data was truncated")),
    "no JSON": ("hello", malformed("JSON is malformed: invalid character (byte 0)")),
    "cut off": ('{"type": "ping"', malformed("Input data was truncated")),
    "two frames": ('{"type": "ping"}{}', malformed("JSON is malformed: trailing characters (byte 17)")),
    "list": ('[{"type": "ping"}]', malformed("Expected `object`, got `array`")),
    "null": ("null", malformed("Expected `object`, got `null`")),
    "no type": ('{"id": 3}', malformed("Object missing required field `type`", id=3)),
    "null type": ('{"id": 3, "type": null}', malformed("Expected `str`, got `null` - at `$.type`", id=3)),
    "number type": ('{"id": 3, "type": 5}', malformed("Expected `str`, got `int` - at `$.type`", id=3)),
    "deep": ('{"type": "ping", "x": ' + "[" * 30_000, malformed("nested too deep")),
    "missing key": ('{"type": "get-room", "id": 3}', malformed("give code or externalId", id=3)),
    "unknown type": ('{"type": "dance", "id": 3}', error("unknown_type", id=3)),
    "no id": ('{"type": "dance"}', error("unknown_type")),
    "a reply's type": ('{"type": "pong", "id": 3}', error("unknown_type", id=3)),
    "wrong case": ('{"type": "Ping", "id": "a"}', error("unknown_type", id="a")),
    "not in a room": ('{"type": "leave-room", "id": 3}', error("not_in_room", id=3)),
    "no token": ('{"type": "list-rooms", "id": 3}', error("unauthenticated", id=3)),
}


@pytest.mark.parametrize(("sent", "reply"), REPLIES.values(), ids=REPLIES.keys())
async def test_each_frame_gets_one_reply(daemon: Daemon, sent: str, reply: dict[str, Any]) -> None:
    """A frame gets exactly one reply, with its `id` if that can be read, and the connection stays open."""
    async with daemon.client() as client:
        await client.websocket.send(sent)
        assert await client.receive() == reply
        await client.nothing_more()


@pytest.mark.parametrize("case", frame_cases(), ids=lambda case: case.frame[:60])
async def test_a_refusal_carries_the_id(daemon: Daemon, case: FrameCase) -> None:
    """A frame that cannot be decoded is refused with the `id` that it has, and the connection serves the next one."""
    async with daemon.client("alice") as client:
        await client.websocket.send(case.frame)
        refusal = await client.receive()
        assert (refusal["code"], refusal["statusCode"], refusal.get("id")) == (case.code, 400, case.id)
        await client.nothing_more()


async def test_the_server_sends_nothing_before_the_first_request(daemon: Daemon) -> None:
    """The first frame a client receives is the reply to its first request."""
    room = await daemon.room()
    for user in (None, "alice"):
        async with daemon.client(user) as client:
            await client.nothing_more()
            assert (await client.ask("get-room", code=room["code"]))["type"] == "room"


async def test_requests_are_served_in_order(daemon: Daemon) -> None:
    """Requests of one connection are served in order, however many are sent before the first reply."""
    room, other = await daemon.room(), await daemon.room()
    requests: list[tuple[str, dict[str, Any], str]] = [
        ("leave-room", {}, "error"),
        ("join-room", {"code": room["code"]}, "participant"),
        ("list-participants", {"code": room["code"]}, "participants"),
        ("join-room", {"code": other["code"]}, "participant"),
        ("list-participants", {"code": room["code"]}, "participants"),
        ("update-room", {"code": other["code"], "name": "x"}, "error"),
        ("leave-room", {}, "participant"),
        ("leave-room", {}, "error"),
        ("dance", {}, "error"),
        ("create-room", {}, "room"),
        ("list-rooms", {}, "rooms"),
        ("ping", {}, "pong"),
    ] * 10
    async with daemon.client("bob") as client:
        for number, (type_, fields, _) in enumerate(requests):
            await client.send(type_, id=number, **fields)
        replies: list[tuple[int, str]] = []
        while len(replies) < len(requests):
            frame = await client.receive()
            if "id" in frame:
                replies.append((frame["id"], frame["type"]))
        expected = [answer for _, _, answer in requests]
        expected[4::12] = ["error"] * 10  # joining the second room left the first
        assert replies == list(enumerate(expected))
        await client.nothing_more()


BAD_FRAMES: dict[str, tuple[Callable[[Client], Any], int]] = {
    "binary": (lambda client: client.websocket.send(b'{"type": "ping"}'), 1003),
    "not UTF-8": (lambda client: client.websocket.send(b'{"type": "\xff"}', text=True), 1007),
    "a byte too long": (lambda client: client.websocket.send('{"type": "ping"}'.ljust(65_537)), 1009),
    "too long in bytes": (lambda client: client.websocket.send('{"type": "ping", "x": "%s"}' % ("é" * 40_000)), 1009),
    "too long in fragments": (lambda client: client.websocket.send(iter(["x" * 40_000, "x" * 40_000])), 1009),
}


@pytest.mark.parametrize(("send", "close"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
async def test_frames_that_end_the_connection(daemon: Daemon, send: Callable[[Client], Any], close: int) -> None:
    """A binary frame, one that is not UTF-8 and one over 64 KiB each end the connection with a code of its own."""
    async with daemon.client() as client:
        with contextlib.suppress(ConnectionClosed):  # the server need not read all of it
            await send(client)
        assert await client.closed() == close
