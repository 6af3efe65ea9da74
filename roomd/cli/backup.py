"""The commands on the database file: `roomd backup`, `roomd restore` and `roomd check`. They need no running daemon."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from roomd.cli.access import ConfigFile, DatabaseFile, configuration
from roomd.cli.options import example
from roomd.cli.output import plain, say
from roomd.config import Config, FileMissing, database_name, local_secret_file
from roomd.storage.errors import StoreError

if TYPE_CHECKING:
    from roomd.storage.checking import Problem

FOUND_WRONG = 1
"""The exit code of `roomd check` when something is wrong."""


def add_backup_commands(app: typer.Typer) -> None:
    """Add the commands on the database file."""
    for name, command, lines in (
        ("backup", backup, ("roomd backup /srv/backups/roomd.db", "roomd backup --keep 7 /srv/backups/")),
        ("restore", restore, ("roomd restore /srv/backups/roomd.db",)),
        ("check", check, ("roomd check", "roomd check /srv/backups/roomd.db")),
    ):
        app.command(name, epilog=example(*lines))(command)


def backup(
    target: Annotated[str, typer.Argument(metavar="FILE", help="The new file, or a folder for a file with the time.")],
    keep: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="FILE is a folder: remove all but its last N backups of the database."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    config: ConfigFile = None,
    database: DatabaseFile = None,
) -> None:
    """Back up the database and the secret beside it, while the daemon serves or not.

    The backup is the database at one moment, in one file, and was checked. Its secret is beside it: x.secret for x.db.
    Nobody but their owner can read them. Run by root, they belong to the owner of their folder. When it fails there is
    no new backup, and an existing one stays.
    """
    from roomd.storage import backup as backups  # imported here, because other commands need no SQLite

    settings = configuration(config, database={"path": database})
    _check_is_file(settings, "back it up with pg_dump, or as your PostgreSQL is backed up")
    path = Path(settings.database.path)
    is_folder = keep is not None or target.endswith("/") or os.path.isdir(target)  # noqa: PTH112 - raises nothing
    file = backups.dated(path, Path(target)) if is_folder else Path(target)
    secret = _secret_beside(path)
    backups.back_up(path, file, secret, is_forced=force)
    say(f"{file}: the backup of {path}")
    say(
        f"{file.with_suffix('.secret')}: its secret" if secret is not None else "there is no secret beside the database"
    )
    _say_other_secret(settings)
    for old in backups.keep_last(path, Path(target), keep) if keep is not None else ():
        say(f"{old}: removed")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    config: ConfigFile = None,
    database: DatabaseFile = None,
) -> None:
    """Put a backup and its secret in the place of the database. The daemon must be stopped.

    FILE is checked before anything is changed. The replaced database, and a replaced secret, stay in the folder under
    names with the time. Run by root, the new files belong to the owner of the database, or of its folder. When it fails
    the database is as it was.
    """
    from roomd.storage.restore import restore as put_back

    settings = configuration(config, database={"path": database})
    _check_is_file(settings, "restore it with pg_restore")
    path = Path(settings.database.path)
    secret = _secret_beside(file)
    replaced = put_back(file, path, secret)
    say(f"{path}: restored from {file}")
    if replaced.database is not None:
        say(f"{replaced.database}: what was replaced")
    if secret is None:
        say("the backup has no secret: tokens that were signed with another one than the daemon has now are refused")
    elif replaced.secret is not None:
        say(f"{replaced.secret}: the secret that was replaced")
    _say_other_secret(settings)


def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The database, or a backup; default: the configured database."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    config: ConfigFile = None,
    database: DatabaseFile = None,
) -> None:
    """Check a database, while the daemon serves or not: the file, and what must hold of every room.

    A database in PostgreSQL is copied to a temporary file for it (TMPDIR chooses the folder).
    Prints what is wrong with the ids that it is about, and then exits with 1. Nothing is changed.
    """
    from roomd.storage import checking

    settings = configuration(config, database={"path": database}).database
    if file is None and settings.url is not None:
        from roomd.storage.postgresql import inspecting

        name, found = database_name(settings), inspecting.check(settings.url)
    else:
        path = file or Path(settings.path)
        name, found = str(path), checking.check(path)
    if json:
        say(msgspec.json.encode(found).decode())
    else:
        for problem in found.problems:
            say(_line(problem))
        for note in found.notes:
            say(f"note: {_line(note)}")
        count = len(found.problems)
        verdict = "fine" if not count else f"{count} {'problem' if count == 1 else 'problems'}"
        say(f"{name}: {verdict} (schema {found.schema}, {found.rooms:,} {'room' if found.rooms == 1 else 'rooms'})")
    if found.problems:
        raise typer.Exit(FOUND_WRONG)


def _check_is_file(settings: Config, advice: str) -> None:
    """Raise `StoreError` with some advice if the database is in PostgreSQL."""
    if settings.database.url is not None:
        raise StoreError(f"{database_name(settings.database)}: is in PostgreSQL; {advice}")


def _line(problem: "Problem") -> str:
    """Return a problem as one line: the room, what is wrong, and of whom."""
    where = f"room {plain(problem.room)}: " if problem.room is not None else ""
    ids = f": {', '.join(map(plain, problem.ids))}" if problem.ids else ""
    return f"{where}{plain(problem.problem)}{ids}"


def _secret_beside(database: Path) -> bytes | None:
    """Return the secret beside a database or a backup; None without one. Raises `ConfigError`."""
    from roomd.auth.secret_files import read_private

    try:
        return read_private(local_secret_file(database), "the secret", database)[0]
    except FileMissing:
        return None


def _say_other_secret(settings: Config) -> None:
    """Say which secrets are configured, and so are in no backup."""
    auth, ice = settings.auth, settings.ice
    given = {"auth.secret": auth.secret, "auth.secret_file": auth.secret_file}
    given |= {"ice.turn_secret": ice.turn_secret, "ice.turn_secret_file": ice.turn_secret_file}
    if names := [name for name, value in given.items() if value is not None]:
        say(
            f"not in the backup: what {' and '.join(names)} {'names' if len(names) == 1 else 'name'}; keep it elsewhere"
        )
