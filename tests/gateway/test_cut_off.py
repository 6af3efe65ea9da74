"""A client that is cut off at every await: room, store and the others' views agree, and no seat is left behind."""

import asyncio
from typing import Any

import pytest

from roomd.rooms.settings import Settings
from tests.support.conversations import HOLD, Stage, check_agreement

JOURNEYS: list[list[tuple[str, dict[str, Any]]]] = [
    [("join-room", {"guestName": "Jane"})],
    [("join-room", {"guestName": "Jane"}), ("leave-room", {})],
    [("join-room", {"guestName": "Jane"}), ("join-room", {"guestName": "Jane"})],
]


@pytest.mark.parametrize("journey", JOURNEYS, ids=["join", "join and leave", "join twice"])
@pytest.mark.parametrize("token", [None, "alice"], ids=["guest", "user"])
async def test_cancelling_a_client_at_every_await(journey: list[tuple[str, Any]], token: str | None) -> None:
    """Wherever a client is cut off, room, store and the others' views agree, and no ghost outlives the window."""
    done = False
    steps = 0
    while not done:
        stage = await Stage().open()
        other = stage.connect()
        await other.ask("join-room", code=stage.code, guestName="Other")
        cut = stage.connect(stage.token(token) if token else None)
        for type_, fields in journey:
            cut.send(type_, **({"code": stage.code} if type_ == "join-room" else {}), **fields)
        cut.send("ping")
        for _ in range(steps):
            await asyncio.sleep(0)
        done = any(frame["type"] == "pong" for frame in cut.heard())
        cut.transport.lose()
        await stage.idle()
        other.heard()
        await check_agreement(stage, other)
        assert sum(not p.is_active for p in (await stage.people()).values()) <= 1
        stage.clock.advance(HOLD)
        await stage.idle()
        other.heard()
        await check_agreement(stage, other)
        assert [p.guest_name for p in (await stage.people()).values()] == ["Other"]
        (reply, _) = await stage.connect().ask("join-room", code=stage.code, guestName="Next")
        assert reply["type"] == "participant"
        await stage.close()
        steps += 1
    assert steps > 5, "there were awaits to be cut at"


# What the one who is cut sends; {here} and {there} stand for the codes. The host admits, and lets the room be full.
WAITS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "for a seat": ({}, [{"type": "join-room", "code": "{here}", "wait": True}], []),
    "for the host": ({"waitingRoom": True, "maxParticipants": 9}, [{"type": "join-room", "code": "{here}"}], []),
    "and leaves": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{here}"}, {"type": "leave-room"}],
        [],
    ),
    "and is admitted": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{here}"}, {"type": "ping"}],
        [{"type": "ping"}] * 2 + [{"type": "admit-all"}] * 3,
    ),
    "and gets a seat": (
        {"maxParticipants": 2},
        [{"type": "join-room", "code": "{here}", "wait": True}],
        [{"type": "ping"}, {"type": "update-room", "code": "{here}", "maxParticipants": 9}],
    ),
    "and is denied by a lock": (
        {},
        [{"type": "join-room", "code": "{here}", "wait": True}, {"type": "join-room", "code": "{here}", "wait": True}],
        [{"type": "update-room", "code": "{here}", "isLocked": True}],
    ),
    "and goes elsewhere": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{here}"}, {"type": "join-room", "code": "{there}"}],
        [{"type": "admit-all"}] * 2,
    ),
    "and sits elsewhere": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{there}"}, {"type": "join-room", "code": "{here}"}],
        [{"type": "ping"}, {"type": "admit-all"}, {"type": "admit-all"}],
    ),
}


@pytest.mark.parametrize(("settings", "journey", "host"), WAITS.values(), ids=WAITS.keys())
@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_cutting_off_one_who_waits_at_every_await(
    settings: dict[str, Any], journey: list[dict[str, Any]], host: list[dict[str, Any]], user: str | None
) -> None:
    """Wherever one who waits is cut off, rooms, store and views agree, and no ghost outlives the window."""
    done = False
    steps = 0
    while not done:
        stage = await Stage().open()
        there = (await stage.hub.create(Settings(), "zoe")).code
        alice = stage.connect(stage.token("alice"))
        await alice.ask("join-room", code=stage.code)
        for name in ("carol", "dave"):
            await stage.connect(stage.token(name)).ask("join-room", code=stage.code)
        await alice.ask("update-room", code=stage.code, **settings)
        cut = stage.connect(stage.token(user) if user else None)
        for client, frames in ((cut, journey), (alice, host)):
            for frame in frames:
                fields = {key: value for key, value in frame.items() if key not in ("type", "code")}
                code = {"code": frame["code"].format(here=stage.code, there=there)} if "code" in frame else {}
                client.send(frame["type"], guestName="Jane", **code, **fields)
        cut.send("ping", id="end")
        for _ in range(steps):
            await asyncio.sleep(0)
        done = any(frame.get("id") == "end" for frame in cut.heard()) and steps > 30
        cut.transport.lose()
        for _ in range(2):
            await stage.idle()
            alice.heard()
            await check_agreement(stage, alice)
            stage.clock.advance(HOLD)
        assert {p.user_id for p in (await stage.people()).values()} == {"alice", "carol", "dave"}
        assert (stage.queues(), stage.hub.statistics()) == ({}, {"rooms": 1, "listeners": 3})
        await stage.close()
        steps += 1
