"""The commands `roomd webhooks ...`: how far the endpoints are, and what an operator can do with them."""

from typing import Annotated

import msgspec
import typer

from roomd.cli.admin import AdminRefused, Daemon, Json
from roomd.cli.options import example, with_options
from roomd.cli.output import say, table
from roomd.protocol import admin

LATEST, OLDEST = "latest", "oldest"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name in the configuration.")]


def webhook_commands() -> typer.Typer:
    """Build the group `roomd webhooks`."""
    app = typer.Typer()
    app.callback(invoke_without_command=True, epilog=example("roomd webhooks"))(with_options(Daemon, webhooks))
    for name, command, line in (
        ("skip", skip, "roomd webhooks skip backend"),
        ("replay", replay, "roomd webhooks replay backend --from oldest"),
        ("test", send_test, "roomd webhooks test backend"),
        ("enable", enable, "roomd webhooks enable backend"),
    ):
        app.command(name, epilog=example(line))(with_options(Daemon, command))
    return app


def webhooks(daemon: Daemon, ctx: typer.Context, json: Json = False) -> None:
    """List the endpoints of webhooks: how far behind each is, when it last took an event, and its last error.

    The commands move an endpoint, test it, and enable it again.
    """
    if ctx.invoked_subcommand is None:
        _list(daemon, json)
    elif any(getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE" for name in ctx.params):
        raise typer.BadParameter(f"give options after the command: roomd webhooks {ctx.invoked_subcommand} ...")


def _list(daemon: Daemon, json: bool) -> None:
    found = daemon.ask("/webhooks", admin.WebhookList)
    if json:
        say(msgspec.json.encode(found).decode())
        return
    header = ("NAME", "STATE", "BEHIND", "SECONDS", "LOST", "POSITION", "LAST SUCCESS", "LAST ERROR")
    rows = [
        (
            each.name if each.node is None else f"{each.name} at {each.node}",
            f"{each.state} ({each.failures})" if each.failures else each.state,
            str(each.behind),
            f"{each.age:.0f}",
            str(each.lost),
            each.position or "-",
            each.delivered_at or "-",
            f"{each.failed_at} {each.error}" if each.error else "-",
        )
        for each in found.webhooks
    ]
    say(table(header, rows))
    for name in found.unknown:
        say(f"{name}: no node that answers pushes to it")


def skip(
    daemon: Daemon,
    name: Name,
    to: Annotated[
        str, typer.Option(metavar="POSITION", help="Where to go on: the position of an event, or latest.")
    ] = LATEST,
) -> None:
    """Deliver nothing of what is before a position, by default of all that waits."""
    daemon.order("/webhooks/skip", admin.WebhookMove(name=name, position=to), admin.Done)


def replay(
    daemon: Daemon,
    name: Name,
    after: Annotated[
        str, typer.Option("--from", metavar="POSITION", help="Where to begin: the position of an event, or oldest.")
    ],
) -> None:
    """Deliver again all that is behind a position. The events have the same ids as before."""
    daemon.order("/webhooks/replay", admin.WebhookMove(name=name, position=after), admin.Done)


def send_test(daemon: Daemon, name: Name, json: Json = False) -> None:
    """Send one event of the type webhook-test, and print what came of it. It is not in the event log."""
    found = daemon.order("/webhooks/test", admin.WebhookName(name=name), admin.WebhookTested)
    if json:
        say(msgspec.json.encode(found).decode())
    elif found.error is None:
        say(f"delivered: status {found.status} after {found.seconds:.3f} seconds")
    if found.error is not None:
        raise AdminRefused(f"not delivered: {found.error} (after {found.seconds:.3f} seconds)")


def enable(daemon: Daemon, name: Name) -> None:
    """Deliver again to an endpoint that has answered 410 Gone. One that waits is tried at once."""
    daemon.order("/webhooks/enable", admin.WebhookName(name=name), admin.Done)
