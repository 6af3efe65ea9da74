"""Print to the terminal: escaped text, tables, and JSON in the format of the protocol."""

import sys
import unicodedata
from collections.abc import Mapping, Sequence

import msgspec
import typer

from roomd.protocol.objects import Admission, Ban, Message, Participant, Room, Waiting
from roomd.protocol.replies import Reply
from roomd.system.logging import error_text

# Control characters can move the cursor and set titles; line and paragraph separators can imitate lines of output;
# surrogates cannot be encoded.
_HARMFUL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Embeddings, overrides and isolates change the order of the text around them (UAX #9).
_REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def plain(text: str) -> str:
    """Return the text with Python escape sequences in place of characters that control a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode() if _is_harmful(char) else char for char in text)


def _is_harmful(char: str) -> bool:
    return unicodedata.category(char) in _HARMFUL_CATEGORIES or unicodedata.bidirectional(char) in _REORDERING


def say(text: str) -> None:
    """Print a line to standard output."""
    typer.echo(text)


def say_error(text: str) -> None:
    """Print a line to standard error. For the journal it has the priority of an error."""
    typer.echo(error_text(text, sys.stderr), err=True)


def say_reply(reply: Reply, json: bool, text: str) -> None:
    """Print a reply: as JSON without its `id` if `json`, else as `text` for people."""
    say(msgspec.json.encode(msgspec.structs.replace(reply, id=None)).decode() if json else text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with aligned columns, two spaces apart. The text of the cells is escaped."""
    lines = [header, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def room_state(room: Room) -> str:
    """Return the state of a room in one word: open, locked or ended."""
    if not room.is_active:
        return "ended"
    return "locked" if room.is_locked else "open"


def room_sheet(room: Room | None, admission: Admission | None) -> str:
    """Return all facts about one room, one in a line.

    Without a room, as for somebody banned, only the admission is shown; without `admission`, that line is missing.
    """
    facts = _room_facts(room) if room is not None else []
    if admission is not None:
        refusal = f"no, {admission.code}: {plain(admission.message or '')}"
        facts.append(("you may join", "yes" if admission.allowed else refusal))
    return "\n".join(f"{label:<14}{value}" for label, value in facts)


def _room_facts(room: Room) -> list[tuple[str, str]]:
    facts = [
        ("code", room.code),
        ("name", plain(room.name)),
        ("host", plain(room.host_id) or "-"),
        ("state", room_state(room)),
        ("seats", f"{room.participant_count} of {room.max_participants}"),
        ("guests", "allowed" if room.allow_guest_access else "not allowed"),
        ("newcomers", "wait for the host" if room.waiting_room else "come in at once"),
        ("created", room.created_at),
    ]
    more = {
        "ended": room.ended_at,
        "ends": room.expires_at,
        "when empty": f"ends after {room.end_when_empty} s" if room.end_when_empty is not None else None,
        "external id": plain(room.external_id) if room.external_id is not None else None,
        "metadata": plain(msgspec.json.encode(room.metadata).decode()) if room.metadata else None,
    }
    return [*facts, *((label, text) for label, text in more.items() if text is not None)]


def rooms_table(rooms: Sequence[Room]) -> str:
    """Return a table of rooms."""
    return table(
        ("CODE", "STATE", "SEATS", "HOST", "CREATED", "NAME"),
        [
            (room.code, room_state(room), f"{room.participant_count}/{room.max_participants}", room.host_id,
             room.created_at, room.name)
            for room in rooms
        ],
    )  # fmt: skip


def seat_state(participant: Participant) -> str:
    """Return the state of a seat in one word: here, away (the seat is held) or left."""
    if participant.left_at is not None:
        return "left"
    return "here" if participant.is_active else "away"


ROLES = {"host": "host", "cohost": "co-host"}
"""What those are called who have host rights, by their `role`."""


def participants_table(participants: Sequence[Participant]) -> str:
    """Return a table of participants."""
    return table(
        ("STATE", "NAME", "USER", "ROLE", "JOINED", "LEFT", "ID"),
        [
            (seat_state(one), one.display_name, one.user_id or "-", ROLES.get(one.role, "-"),
             one.joined_at, one.left_at or "-", one.id)
            for one in participants
        ],
    )  # fmt: skip


def waiting_table(queue: Sequence[Waiting]) -> str:
    """Return a table of those who wait."""
    return table(
        ("POSITION", "STATE", "NAME", "USER", "WAITS FOR", "SINCE", "ID"),
        [
            (str(one.position), "here" if one.is_active else "away", one.display_name, one.user_id or "-",
             "the host" if one.reason == "waiting_room" else "a seat", one.waiting_since, one.participant_id)
            for one in queue
        ],
    )  # fmt: skip


def bans_table(bans: Sequence[Ban]) -> str:
    """Return a table of bans. Only the ban of a guest has an end."""
    return table(
        ("USER", "NAME", "SINCE", "UNTIL", "ID", "REASON"),
        [
            (one.user_id or "-", one.display_name, one.banned_at, one.expires_at or "-", one.id, one.reason or "-")
            for one in bans
        ],
    )


def messages_table(messages: Sequence[Message], names: Mapping[str, str]) -> str:
    """Return a table of messages. `names` has the known names of participants by id."""
    return table(
        ("SENT", "NAME", "TO", "TEXT"),
        [
            (one.sent_at, one.display_name, "everyone" if one.to is None else names.get(one.to, one.to), one.text)
            for one in messages
        ],
    )
