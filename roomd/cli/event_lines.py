"""The events of a meeting as JSON, one object a line, for programs (`roomd join --json`)."""

import re
from typing import Any

import msgspec

from roomd.cli.meeting_text import MeetingState
from roomd.client import AnyMeetingEvent, Entered, Over, Refreshed

_CAPITALS = re.compile(r"(?<!^)(?=[A-Z])")


def event_line(event: AnyMeetingEvent, state: MeetingState) -> str:
    """Return an event as a line: `type` is its name in kebab-case, and its fields have the names of the protocol.

    `entered` and `refreshed` have the whole room: the others say what changes.
    """
    fields = {_camel(name): value for name, value in msgspec.structs.asdict(event).items()}
    if isinstance(event, (Entered, Refreshed)):
        people, messages = list(state.participants.values()), state.messages
        fields |= {"me": state.me, "room": state.room, "participants": people, "messages": messages}
    return _line(_CAPITALS.sub("-", type(event).__name__).lower(), fields)


def end_line(over: Over) -> str:
    """Return why a meeting is over as a line, of the type `over`."""
    return _line("over", msgspec.structs.asdict(over))


def text_line(text: str) -> str:
    """Return what a typed command printed as a line, of the type `text`."""
    return _line("text", {"text": text})


def _line(kind: str, fields: dict[str, Any]) -> str:
    return msgspec.json.encode({"type": kind, **fields}).decode()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
