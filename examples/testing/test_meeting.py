"""Tests against a real roomd: `pip install roomd pytest pytest-asyncio`, then `pytest`."""

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest
from websockets.asyncio.client import connect

from roomd.client import Left, join
from roomd.testing import Daemon


def create_room(daemon: Daemon, token: str) -> Any:
    """Stands for your backend, which creates rooms by the server API."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = Request(f"{daemon.http_url}/api/v1/create-room", b'{"name": "Weekly"}', headers)
    with urlopen(request) as response:
        return json.load(response)["room"]


def test_who_creates_a_room_is_its_host(roomd: Daemon) -> None:
    """A test without an event loop."""
    room = create_room(roomd, roomd.token("alice"))
    assert (room["name"], room["hostId"]) == ("Weekly", "alice")


@pytest.mark.asyncio
async def test_a_lost_connection(roomd: Daemon) -> None:
    """When Bob's connection is lost, his seat is held; a minute later the others see that he left."""
    token = roomd.token("alice")
    code = create_room(roomd, token)["code"]
    async with join(roomd.url, code, token=token) as alice:
        headers = {"Authorization": f"Bearer {roomd.token('bob')}"}
        async with connect(roomd.url, additional_headers=headers) as bob:
            await bob.send(json.dumps({"type": "join-room", "code": code}))
            await bob.recv()
        async for event in alice:  # Joined, then Updated: his connection dropped
            roomd.clock.advance(60)
            if isinstance(event, Left):
                assert event.participant.user_id == "bob"
                break
