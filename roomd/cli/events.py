"""`roomd events`: print the event log, and follow it."""

import contextlib
import sys
from typing import Annotated, Any

import msgspec
import typer

from roomd.cli.access import Access
from roomd.cli.log_reader import LogReader
from roomd.cli.options import room_code
from roomd.cli.output import plain, say
from roomd.protocol.log_events import AnyLogEvent
from roomd.protocol.openapi import MOST_SECONDS

TYPES = tuple(str(kind.__struct_config__.tag) for kind in AnyLogEvent.__args__)
"""The types of events there are."""


def event_types(text: str) -> frozenset[str]:
    """Return types of events that commas separate.

    Raises `typer.BadParameter` for one that there is not.
    """
    types = frozenset(name.strip() for name in text.split(","))
    if unknown := sorted(types - set(TYPES)):
        raise typer.BadParameter(f"{unknown[0]!r} is no type of event; there are {', '.join(TYPES)}")
    return types


def events(
    access: Access,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what happens from now on, over restarts of the daemon.")
    ] = False,
    after: Annotated[
        str | None,
        typer.Option(
            "--after", metavar="POSITION", help="Begin after this position, or with `latest` now; default: the oldest."
        ),
    ] = None,
    room: Annotated[
        list[Any] | None,
        typer.Option(
            "--room", metavar="CODE", parser=room_code, help="Only this room; may be repeated. Its host may read it."
        ),
    ] = None,
    types: Annotated[
        Any, typer.Option("--types", metavar="TYPES", parser=event_types, help="Only these types, with commas between.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the events as JSON, one object a line.")] = False,
) -> None:
    """Print the event log: who came and went, and what happened to rooms.

    With --json each line has its `position`: a program that stops goes on with --after and the last one. An admin reads
    all rooms, a host those that --room names.
    """
    with (
        contextlib.suppress(KeyboardInterrupt),
        contextlib.closing(LogReader(access, room or [], is_patient=follow)) as reader,
    ):
        while True:
            page = reader.read(after, MOST_SECONDS if follow else 0)
            for raw in page.events:
                event = msgspec.json.decode(raw)
                if types is None or event["type"] in types:
                    say(bytes(raw).decode() if json else event_text(event))
            sys.stdout.flush()
            if not follow and not page.events and page.next == after:
                return
            after = page.next


def event_text(event: dict[str, Any]) -> str:
    """Return an event as a line for people."""
    person = event.get("participant") or {}
    ban, message = event.get("ban") or {}, event.get("message") or {}
    who = person.get("displayName") or ban.get("userId") or message.get("displayName") or ""
    details = [event["reason"]] if event.get("reason") else []
    if "duration" in event:
        details.append(f"{event['duration']:g} s")
    words = [event["at"], event["room"]["code"], event["type"], plain(str(who)), f"({', '.join(details)})"]
    return " ".join(word for word in words if word and word != "()")
