"""The commands for the data of people: `roomd forget` and `roomd export`."""

from typing import Annotated

import msgspec
import typer

from roomd.cli.admin import Daemon
from roomd.cli.options import example, with_options
from roomd.cli.output import plain, say
from roomd.protocol import admin

LONGEST = 86_400.0
"""The seconds that forgetting somebody may take: it walks through the whole database, in small steps."""


def add_data_commands(app: typer.Typer) -> None:
    """Add the commands for the data of people."""
    app.command("forget", epilog=example("roomd forget --user alice --dry-run", "roomd forget --user alice"))(
        with_options(Daemon, forget)
    )


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
