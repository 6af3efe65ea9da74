"""The vectors of `clients/vectors`, which the JavaScript client passes too. Its README describes the format."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roomd.client import (
    AnyMeetingEvent,
    Closed,
    Joined,
    Left,
    LobbyChanged,
    MessagesSkipped,
    MuteRequested,
    Over,
    Placed,
    Replaced,
    RoomChanged,
    Said,
    Signalled,
    Unreachable,
    Updated,
    View,
)
from roomd.client.connection import decode
from roomd.client.reconnect import End, ReconnectPolicy
from roomd.protocol.errors import INVALID_TOKEN, ErrorKind, Refused
from tests.support.vectors import expand_range, expander, load

VIEW = load("view")
RECONNECT = load("reconnect")
expand = expander(VIEW["objects"])


def expand_events(events: list[list[Any]]) -> list[list[Any]]:
    """Write the ranges of events out; `expand` would put the ids of one into a single event."""
    return [[*event[:-1], one] for event in events for one in expand_range(event[-1])]


def as_data(event: AnyMeetingEvent) -> list[Any] | None:
    """Return an event as the vectors have it; None for one that only this client has."""
    match event:
        case Joined(one):
            return ["joined", one.id]
        case Updated(one):
            return ["updated", one.id]
        case Left(one):
            return ["left", one.id]
        case Said(message):
            return ["message", message.id]
        case MessagesSkipped(after, before):
            return ["skipped", after, before]
        case RoomChanged():
            return ["room"]
        case Placed(_, position, reason):
            return ["place", position, reason]
        case LobbyChanged(lobby):
            return ["lobby", [one.participant_id for one in lobby]]
        case Signalled(sender, data):
            return ["signal", sender, data]
        case MuteRequested():
            return ["mute-requested"]
        case Replaced():
            return ["replaced"]
        case _:
            return None


def seen(view: View) -> dict[str, Any]:
    """Return what a view shows, as the vectors have it."""
    place, missed, over = view.place, view.missed, view.over
    return {
        "status": view.status,
        "me": view.me and view.me.id,
        "room": msgspec.to_builtins(view.room),
        "participants": msgspec.to_builtins(list(view.participants.values())),
        "messages": [message.id for message in view.messages],
        "lobby": [one.participant_id for one in view.lobby],
        "place": place and {"participantId": place.participant_id, "position": place.position, "reason": place.reason},
        "isStale": view.is_stale,
        "resumeToken": view.resume_token,
        "missed": missed and {"cursor": missed.request("abc-def-ghi").cursor, "delay": missed.delay},
        "over": over and {"code": over.code, "reason": over.reason},
    }


@pytest.mark.parametrize("vector", VIEW["vectors"], ids=lambda vector: vector["what"][:50])
def test_view(vector: dict[str, Any]) -> None:
    """Frames in, events and view out."""
    view = View()
    for step in vector["steps"]:
        events: list[AnyMeetingEvent] = []
        if "frame" in step:
            frame = decode(json.dumps(expand(step["frame"])).encode())
            assert frame is not None
            events = view.apply(frame)
        if "asked" in step and view.missed is not None:
            view.missed.is_asked = True
        if "drop" in step:
            view.drop()
        if "seatExpired" in step:
            view.forget_seat()
        told = [data for event in events if (data := as_data(event)) is not None]
        assert told == expand_events(step.get("events", [])), step
        shown = seen(view)
        for key, value in step.get("view", {}).items():
            assert shown[key] == expand(value), (key, step)


def ended(end: Any) -> End:
    """Return how a visit ended, as the client has it."""
    match end:
        case {"close": code}:
            return Closed(code, "", end.get("retryAfter"))
        case {"error": error}:
            return Refused(ErrorKind(error["statusCode"], error["code"], "No"), retry_after=error.get("retryAfter"))
        case None:
            return Refused(INVALID_TOKEN)
        case _:
            return Unreachable("ws://server/ws", "no answer")


@pytest.mark.parametrize("vector", RECONNECT["vectors"], ids=lambda vector: vector["what"][:50])
def test_reconnect(vector: dict[str, Any]) -> None:
    """Ends of connections in, delays or the end of the meeting out."""
    now = 1000.0
    draws: list[float] = []
    policy = ReconnectPolicy(draws.pop, lambda: now, has_token_function=vector["hasTokenFunction"])
    for visit in vector["visits"]:
        token = visit.get("token")
        can_resume = visit.get("canResume", False)
        if not can_resume:
            assert policy.refuses(token) == (visit["end"] is None), visit
        if "authenticates" in visit:
            assert policy.may_authenticate(token) == visit["authenticates"], visit
        if "lasted" in visit:
            policy.arrived()
            if not can_resume or visit.get("authenticates"):
                policy.accepted()
            now += visit["lasted"]
        draws[:] = [visit["draw"]] if "draw" in visit else []
        verdict = policy.after(ended(visit["end"]), token, can_resume=can_resume)
        assert (verdict.code if isinstance(verdict, Over) else verdict) == visit.get("over", visit.get("delay")), visit
        now += visit.get("delay", 0.0)


def test_every_final_end_and_every_delay_is_in_a_vector() -> None:
    """The vectors name each close code of docs/protocol.md, section 9."""
    table = (Path(__file__).parents[2] / "docs/protocol.md").read_text().split("| close |")[1]
    documented = {
        int(code) for row in re.findall(r"^\| (\d[\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")
    }
    ends = [visit["end"] for vector in RECONNECT["vectors"] for visit in vector["visits"]]
    assert documented
    assert documented <= {end["close"] for end in ends if isinstance(end, dict) and "close" in end}
