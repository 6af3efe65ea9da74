"""What a request for the event log by HTTP asks for: the parameters of its URL, and two header fields."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from roomd.gateway.http.request import Request
from roomd.protocol.errors import BAD_FRAME, Refused
from roomd.protocol.openapi import EVENTS_DEFAULT, MOST_EVENTS, MOST_SECONDS
from roomd.protocol.requests import MOST_WATCHED

EVENT_STREAM = "text/event-stream"
"""The type of Server-Sent Events (HTML, section 9.2)."""
_MOST_PARAMETERS = 1000
_NUMBER = re.compile("[0-9]{1,4}")


class EventQuery(NamedTuple):
    """What a client asks for."""

    after: str | None
    """The position to begin after; None for the oldest event."""
    limit: int
    """The most events in a response that is no stream."""
    wait: int
    """The seconds to wait for an event."""
    rooms: Sequence[str] | None
    """The codes of the rooms; None for all."""
    is_stream: bool
    """Whether the client wants Server-Sent Events."""


def read_query(request: Request) -> EventQuery:
    """Read what a client asks for. Parameters that are not known are ignored, as unknown keys of frames are.

    Raises `Refused` (400 `bad_frame`).
    """
    try:
        pairs = parse_qsl(
            request.path.partition("?")[2], keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:  # also of percent-encoding that is not valid UTF-8
        raise _bad("the parameters of the URL cannot be read") from None
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    rooms = given.get("room")
    if rooms is not None and len(rooms) > MOST_WATCHED:
        raise _bad(f"room may be given {MOST_WATCHED} times")
    after, is_stream = _once(given, "after"), _is_stream(request)
    if is_stream and (last := request.headers.get_all("last-event-id")):
        after = last[-1]  # a client that reconnects asks with the same URL as at first
    return EventQuery(
        after,
        _number(given, "limit", 1, MOST_EVENTS, EVENTS_DEFAULT),
        _number(given, "wait", 0, MOST_SECONDS, 0),
        rooms,
        is_stream,
    )


def _is_stream(request: Request) -> bool:
    """Return whether `Accept` names Server-Sent Events, and does not exclude them (RFC 9110, section 12.5.1)."""
    for accepted in request.headers.joined("accept").lower().split(","):
        kind, *parameters = (part.strip() for part in accepted.split(";"))
        if kind == EVENT_STREAM:
            return not any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return False


def _once(given: dict[str, list[str]], name: str) -> str | None:
    values = given.get(name, [])
    if len(values) > 1:
        raise _bad(f"{name} must be given once")
    return values[0] if values else None


def _number(given: dict[str, list[str]], name: str, least: int, most: int, default: int) -> int:
    text = _once(given, name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise _bad(f"{name} must be a whole number from {least} to {most:,}")
    return int(text)


def _bad(why: str) -> Refused:
    return Refused(BAD_FRAME, f"{BAD_FRAME.message}: {why}")
