"""The command `roomd migrate`: copy a database from SQLite to PostgreSQL, or back. The daemon is stopped meanwhile."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from roomd.cli.options import example
from roomd.cli.output import say

FILE, SERVER = "sqlite:", "postgresql:"


def add_migrate_command(app: typer.Typer) -> None:
    """Add the command."""
    lines = (
        "roomd migrate --from sqlite:/var/lib/roomd/roomd.db --to postgresql://roomd@db.example/roomd",
        "roomd migrate --from postgresql://roomd@db.example/roomd --to sqlite:/var/lib/roomd/roomd.db",
    )
    app.command("migrate", epilog=example(*lines))(migrate)


def migrate(
    source: Annotated[
        str, typer.Option("--from", metavar="DATABASE", help="sqlite: and a file, or the URL of a database.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="DATABASE", help="The other kind: an empty database, or a new file.")
    ],
) -> None:
    """Copy a database from SQLite to PostgreSQL, or back, and compare it row by row. The daemon must be stopped.

    When it fails, or is interrupted, the target is as it was: run it again. The source is not changed. The secret
    beside a file is not copied: name it in auth.secret_file. Other users of this machine can see a password on the
    command line; name a password file in the URL (passfile=...), or set PGPASSFILE.
    """
    from roomd.storage.opening import locked  # imported here, because other commands need no database
    from roomd.storage.postgresql import copying

    if source.startswith(FILE) and target.startswith(SERVER):
        file = Path(source.removeprefix(FILE))
        with locked(file):
            counts = asyncio.run(copying.to_postgresql(file, target))
        if (secret := file.with_suffix(".secret")).exists():
            name = os.path.abspath(secret)  # noqa: PTH100 - the file may be named relative to here
            say(f"the secret is not in the database: set auth.secret_file = '{name}'")
            say("(auth.ticket_secret_file, where tokens come from an issuer with public keys)")
    elif source.startswith(SERVER) and target.startswith(FILE):
        counts = asyncio.run(copying.to_sqlite(source, Path(target.removeprefix(FILE))))
    else:
        raise typer.BadParameter("give sqlite:FILE and postgresql://…, in either order")
    for table, count in counts.items():
        say(f"{table + ':':14}{count:,}")
    say("copied and compared")
