"""The commands for the data of people: `roomd forget` and `roomd export`."""

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from roomd.cli.access import ConfigFile, DatabaseFile, configuration
from roomd.cli.admin import Daemon
from roomd.cli.options import example, room_code, with_options
from roomd.cli.output import plain, say
from roomd.config import DatabaseConfig
from roomd.protocol import admin
from roomd.storage.errors import StoreBusy, StoreError

if TYPE_CHECKING:
    from roomd.storage.exporting import Attendance

LONGEST = 86_400.0
"""The seconds that forgetting somebody may take: it walks through the whole database, in small steps."""


def add_data_commands(app: typer.Typer) -> None:
    """Add the commands for the data of people."""
    app.command("forget", epilog=example("roomd forget --user alice --dry-run", "roomd forget --user alice"))(
        with_options(Daemon, forget)
    )
    lines = ("roomd export --user alice --output alice.json", "roomd export --room abc-def-ghi > attendance.csv")
    app.command("export", epilog=example(*lines))(export)


def forget(
    daemon: Daemon,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="The user id.")] = None,
    guest: Annotated[
        str | None, typer.Option("--guest", metavar="PARTICIPANT", help="The participant id of a stay of a guest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, and count what would be.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Forget a user, or a guest: have the daemon delete or rewrite what is stored about them.

    Their messages, and private ones to them, are deleted, and so are their bans. In stays, ended rooms that they hosted
    and log events, a random pseudonym replaces the user id and the names; states and metadata are removed. Times stay,
    so the attendance of others is as it was. Backups are not changed, nor is what webhooks and readers got before.
    Somebody who is in a room, or hosts one that goes on, is not forgotten. When it fails, run it again: it goes on.
    """
    if (user is None) == (guest is None):
        raise typer.BadParameter("give --user or --guest")
    order = admin.Forget(user_id=user, participant_id=guest, is_dry_run=dry_run)
    done = daemon.order("/forget", order, admin.Forgotten, timeout=LONGEST)
    if json:
        say(msgspec.json.encode(done).decode())
        return
    if not done.is_wiped:
        say("another program reads the database; run this again when it has ended, to wipe what was deleted")
    would = "would be " if dry_run else ""
    counts = {
        "stays": (done.stays, "rewritten"),
        "messages": (done.messages, "deleted"),
        "bans": (done.bans, "deleted"),
        "rooms": (done.rooms, "given another host id"),
        "events": (done.events, "rewritten or deleted"),
    }
    if not any(count for count, _ in counts.values()):
        say(f"nothing is stored about {plain(user or guest or '')}")
        return
    for name, (count, what) in counts.items():
        say(f"{name + ':':10}{count:,} {would}{what}")
    if done.pseudonym is not None:
        say(f"the pseudonym is {done.pseudonym}")
        say("backups are not changed: delete those from before, or keep them for a time that you have promised")


def export(
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Everything about this user.")] = None,
    room: Annotated[
        str | None, typer.Option("--room", metavar="CODE", parser=room_code, help="Who was in this room, and when.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="A new file, which only you can read; default: standard output."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --room: print JSON and not CSV.")] = False,
    config: ConfigFile = None,
    database: DatabaseFile = None,
) -> None:
    """Export everything that is stored about a user as JSON, or the attendance of a room as CSV.

    It reads the database, while the daemon serves or not, and changes nothing. The CSV is UTF-8 with CRLF (RFC 4180).
    In it a cell that a spreadsheet would take for a formula begins with an apostrophe. Where somebody is still there,
    the columns `to` and `minutes` are empty.
    """
    from roomd.storage import exporting  # imported here, because other commands need no SQLite

    if (user is None) == (room is None):
        raise typer.BadParameter("give --user or --room")
    with _database(configuration(config, database={"path": database}).database, user, room) as path:
        if user is not None:
            text = _as_json(exporting.export_user(path, user))
        else:
            stays = exporting.export_room(path, str(room))
            text = _as_json(stays) if json else attendance_csv(stays)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text, force)


@contextlib.contextmanager
def _database(settings: DatabaseConfig, user: str | None, room: str | None) -> Iterator[Path]:
    """Return the file to export from: of a database in PostgreSQL, a copy of what is needed. Raises `StoreError`."""
    if settings.url is None:
        yield Path(settings.path)
        return
    from roomd.storage.postgresql import inspecting

    only = inspecting.of_user(user) if user is not None else inspecting.of_room(str(room))
    with inspecting.copied(settings.url, only) as path:
        yield path


def attendance_csv(stays: "Sequence[Attendance]") -> str:
    """Return stays as CSV, with a line of headers."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # its default is the format of RFC 4180
    writer.writerow(("name", "user", "participant", "from", "to", "minutes"))
    for one in stays:
        names = (one.name, one.user_id or "", one.participant_id)
        minutes = "" if one.minutes is None else f"{one.minutes:.1f}"
        writer.writerow((*map(_no_formula, names), one.joined_at, one.left_at or "", minutes))
    return text.getvalue()


def _no_formula(cell: str) -> str:
    """Return the cell so that a spreadsheet shows it and computes nothing (OWASP, CSV injection)."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")) else cell


def _as_json(found: object) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"


def _write(file: Path, text: str, is_forced: bool) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises `StoreError` when it exists and is not to be replaced, and `StoreBusy` when it cannot be written.
    """
    from roomd.storage.files import sync, unfinished, write_durably

    if file.exists() and not is_forced:
        raise StoreError(f"{file}: exists already; give --force to replace it")
    try:
        with unfinished(file, file.parent.stat()) as new:
            write_durably(new, text.encode())
            new.replace(file)
        sync(file.parent)
    except OSError as exc:
        raise StoreBusy(f"{exc.filename or file}: cannot be written: {exc.strerror}") from None
