"""The page that roomd was built to: its examples and errors, word for word, and our page about it."""

import ast
import re
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.schemas import ROOT

PAGE = (ROOT / "docs" / "reference" / "join-room.md").read_text(encoding="utf-8")
USER = {
    "id": "clx3a4b5c6d7e8f9g0h1i2j",
    "roomId": "clx1a2b3c4d5e6f7g8h9i0j",
    "userId": "clx0a1b2c3d4e5f6g7h8i9j",
    "guestName": None,
    "isActive": True,
    "isHost": False,
    "joinedAt": "2026-03-03T10:35:00.000Z",
    "leftAt": None,
}
"""The response of the page's example for a user."""
GUEST = {**USER, "id": "clx4a5b6c7d8e9f0g1h2i3j", "userId": None, "guestName": "Jane Smith"}
"""The response of the page's example for a guest."""
ERRORS = {
    "room_inactive": {"statusCode": 400, "message": "Room is no longer active"},
    "room_full": {"statusCode": 400, "message": "Room is full"},
    "room_locked": {"statusCode": 403, "message": "Room is locked"},
    "room_not_found": {"statusCode": 404, "message": "Room not found"},
}
"""The errors of the page."""
DRAWN = ("id", "roomId", "joinedAt")
"""The keys whose values are new in each response."""


@pytest.mark.parametrize("example", [USER, GUEST], ids=["user", "guest"])
async def test_the_response(daemon: Daemon, example: dict[str, Any]) -> None:
    """The participant begins with the eight keys of the page, in its order, with the values of its example."""
    room = await daemon.room()
    user, name = example["userId"], example["guestName"]
    async with daemon.client(user) as client:
        participant = (await client.join(room["code"], **({"guestName": name} if name else {})))["participant"]
    assert list(participant)[: len(example)] == list(example)
    fixed = {key: value for key, value in example.items() if key not in DRAWN}
    assert {key: participant[key] for key in fixed} == fixed
    assert participant["roomId"] == room["id"]
    assert re.fullmatch(r"[\w-]{1,32}", participant["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", participant["joinedAt"])


@pytest.mark.parametrize("code", ERRORS)
async def test_the_errors(daemon: Daemon, code: str) -> None:
    """Each has the status and the text of the page, for users and for guests; `code` names it for programs."""
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("alice") as alice, daemon.client("carol") as carol, daemon.client("dora") as dora:
        for member in (carol, dora):
            await member.join(room["code"])
        if code == "room_inactive":
            await alice.ask("end-room", code=room["code"])
        elif code == "room_locked":
            await alice.ask("update-room", code=room["code"], isLocked=True)
        sought = "zzz-zzz-zzz" if code == "room_not_found" else room["code"]
        for user in ("bob", None):
            async with daemon.client(user) as client:
                refusal = await client.ask("join-room", code=sought, guestName="Jane Smith")
                assert refusal == {"type": "error", "code": code, **ERRORS[code]}


async def test_a_banned_user(daemon: Daemon) -> None:
    """An error that the page does not have: who was banned does not come back."""
    room = await daemon.room()
    async with daemon.client("alice") as alice, daemon.client("bob") as bob:
        await alice.ask("ban", code=room["code"], userId="bob")
        assert (await bob.ask("join-room", code=room["code"]))["code"] == "banned"


def test_every_error_is_on_our_page() -> None:
    """docs/reference/join-room.md shows each error as the frame that is sent."""
    for code, kind in ERRORS.items():
        frame = f'"statusCode": {kind["statusCode"]}, "code": "{code}", "message": "{kind["message"]}"}}'
        assert frame in PAGE


def test_every_key_is_on_our_page() -> None:
    """docs/reference/join-room.md has a row for each key of the response and for each parameter."""
    for key in (*USER, "code", "guestName"):
        assert re.search(rf"^\| [^|]*`{key}`", PAGE, re.MULTILINE), key


def test_every_named_test_exists() -> None:
    """Each row of docs/reference/join-room.md names a test that is there."""
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and "| test |" not in row]
    assert len(named) == len(rows), "each row names one test"
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in defined, f"{file}::{name}"
