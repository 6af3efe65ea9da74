"""The command line: the commands of the daemon and of the client. Errors become exit codes only here."""

import sys
import uuid
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from roomd import __version__, client
from roomd.auth.orders import TokenOrder
from roomd.cli.access import (
    ConfigFile,
    DatabaseFile,
    bearer_token,
    check_token,
    configuration,
    link_to,
    mint,
)
from roomd.cli.admin import AdminRefused, AdminUnreachable, add_admin_commands
from roomd.cli.backup import add_backup_commands
from roomd.cli.bench import bench
from roomd.cli.cluster import cluster_commands
from roomd.cli.data import add_data_commands
from roomd.cli.events import events
from roomd.cli.join import MeetingEnded, join
from roomd.cli.migrate import add_migrate_command
from roomd.cli.options import connected, example, json_object, room_code, time_to_live
from roomd.cli.output import plain, say, say_error
from roomd.cli.rooms import room_commands
from roomd.cli.service import install_service
from roomd.cli.verify import verify
from roomd.cli.webhooks import webhook_commands
from roomd.config import (
    Config,
    ConfigError,
    LogLevel,
    TcpAddress,
    database_name,
    default_config,
    is_every_address,
    listen_addresses,
)
from roomd.protocol.errors import INVALID_TOKEN, UNAUTHENTICATED, Refused
from roomd.storage.errors import StoreBusy, StoreError

Serve = Callable[[Callable[[], Config], Sequence[str] | None], int]
"""Runs the daemon and returns the exit code. Takes what reads the configuration, and None or, with a demo room, the
options with which other commands find the daemon."""

REFUSED, MISUSED, UNREACHABLE = 1, 2, 3
"""The exit codes of failed commands."""

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the daemon refused the request and standard error has "code: message";
     the meeting of `join` was ended by others; `check` found something
     wrong; or `serve`, `backup` or `restore` is not possible now, for a
     reason that may pass
  2  wrong usage or configuration
  3  the daemon cannot be reached
"""

_HINTS = {  # by the message: a ticket that was used before is an invalid token, too
    UNAUTHENTICATED.message: "Give --token, or name the daemon's configuration or database with --config or "
    "--database; where its tokens come from an issuer (auth.jwks_url, auth.public_key_file), only --token helps.",
    INVALID_TOKEN.message: "The token may be for another daemon: give --token, --config or --database of this one.",
}


class ErrorGroup(TyperGroup):
    """Run a command, and convert its exception into a line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # the type of Typer is private
        """Run the command. Raises `typer.Exit` in place of the errors of clients and of the configuration."""
        try:
            return super().invoke(ctx)
        except Refused as refused:
            say_error(f"{refused.kind.code}: {plain(refused.message)}")
            if hint := _HINTS.get(refused.message):
                say_error(hint)
            code = REFUSED
        except MeetingEnded as away:
            say_error(str(away))
            code = REFUSED
        except AdminRefused as refused:
            say_error(f"roomd: {plain(str(refused))}")
            code = REFUSED
        except AdminUnreachable as unreachable:
            say_error(f"roomd: {plain(str(unreachable))}")
            code = UNREACHABLE
        except ConfigError as error:
            say_error(f"roomd: {error}")
            code = MISUSED
        except StoreError as error:
            say_error(f"roomd: {plain(str(error))}")
            code = REFUSED if isinstance(error, StoreBusy) else MISUSED
        except client.Closed as closed:
            say_error(f"roomd: the daemon closed the connection ({closed.code} {plain(closed.reason)})")
            code = UNREACHABLE
        except client.Unreachable as unreachable:
            say_error(f"roomd: cannot reach the daemon at {unreachable.url}: {plain(unreachable.reason)}")
            say_error("Start it with `roomd serve`, or give its address with --url.")
            code = UNREACHABLE
        raise typer.Exit(code)


@cache
def command_line() -> Callable[..., object]:
    """Return the command line, made once in a process. Its argument `obj` is a `Serve`, which runs the daemon."""
    return get_command(build())


def build() -> typer.Typer:
    """Build the command line. Its argument `obj` is a `Serve`, which runs the daemon."""
    app = typer.Typer(
        cls=ErrorGroup,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        # A traceback with local variables would print secrets and tokens.
        pretty_exceptions_enable=False,
        epilog=EXIT_CODES,
    )
    app.callback()(about)
    app.command("serve", epilog=example("roomd serve --config roomd.toml", "ROOMD_SERVER_PORT=9000 roomd serve"))(serve)
    app.command("join", epilog=example("roomd join abc-def-ghi --guest 'Jane Smith'"))(connected(join))
    app.add_typer(room_commands(), name="room")
    app.command("events", epilog=example("roomd events --follow --json --after latest"))(connected(events))
    app.command("bench", epilog=example("roomd bench --clients 200 --seconds 10"))(connected(bench))
    app.command("verify", epilog=example("roomd verify --seconds 60 wss://a.example/ws wss://b.example/ws"))(
        connected(verify)
    )
    add_admin_commands(app)
    app.add_typer(webhook_commands(), name="webhooks")
    app.add_typer(cluster_commands(), name="cluster")
    add_backup_commands(app)
    add_data_commands(app)
    add_migrate_command(app)
    app.command("token", epilog=example("roomd token --user alice --name Alice --ttl 7d"))(token)
    app.command("check-config", epilog=example("roomd check-config --config roomd.toml"))(check_config)
    app.command("default-config", epilog=example("roomd default-config > roomd.toml"))(print_default_config)
    app.command("install-service", epilog=example("sudo /opt/roomd/.venv/bin/roomd install-service --dry-run"))(
        install_service
    )
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        import platform  # both imported here, because no other command needs them
        import sqlite3
        from importlib.metadata import version

        say(f"roomd {__version__}")
        say(f"Python {platform.python_version()}")
        say(f"websockets {version('websockets')}")
        say(f"SQLite {sqlite3.sqlite_version}")
        raise typer.Exit


def about(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the versions of roomd and of what it runs on, and stop.",
        ),
    ] = False,
) -> None:
    """Serve meeting rooms over WebSocket, and use them from the command line.

    Start with `roomd serve`, create a room with `roomd room create`, and join it with `roomd join CODE`.
    """


def serve(
    context: typer.Context,
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="The TCP port; 0 lets the system choose one."),
    ] = None,
    database: DatabaseFile = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="The least severe level that is logged.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Create a demo room, and print links and commands that join it.")
    ] = False,
) -> None:
    """Run the daemon until SIGTERM or SIGINT. SIGHUP reloads the configuration.

    Flags replace settings of the environment (ROOMD_<SECTION>_<KEY>), and those replace settings of the file.
    `roomd default-config` lists every setting.
    """
    server = {"host": host, "port": port, "log_level": log_level}
    read = partial(configuration, config, server=server, database={"path": database})
    given = {"--config": config, "--database": database}
    options = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    run: Serve = context.obj
    raise typer.Exit(run(read, options if demo else None))


def token(
    user: Annotated[str | None, typer.Option(metavar="USER", help="The user id: 1 to 128 characters.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name that others see; by default, the user id.")
    ] = None,
    ttl: Annotated[
        float,
        typer.Option(metavar="TIME", parser=time_to_live, help="How long the token is valid, like 90s, 15m, 1h or 7d."),
    ] = "1h",  # type: ignore[assignment]  # Typer parses defaults too
    admin: Annotated[bool, typer.Option("--admin", help="Give the user host rights in every room.")] = False,
    room: Annotated[str | None, typer.Option(metavar="CODE", parser=room_code, help="Allow only this room.")] = None,
    cohost: Annotated[bool, typer.Option("--cohost", help="Give the user host rights in the room of --room.")] = False,
    no_create: Annotated[bool, typer.Option("--no-create", help="The user may create no rooms.")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Others do not see the user, an --admin, in rooms.")] = False,
    metadata: Annotated[
        Any,
        typer.Option(metavar="JSON", parser=json_object, help="An object that everybody in a room is shown."),
    ] = None,
    link: Annotated[
        bool,
        typer.Option(
            "--link",
            help="Print a link to the meeting page that signs the user in: once, and within 10 minutes.",
        ),
    ] = False,
    page: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The address of the page for --link, like https://meet.example/."),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="JWT",
            parser=bearer_token,
            help="Print what this token allows, or why the daemon refuses it; - reads it from standard input.",
        ),
    ] = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
) -> None:
    """Print a token that is signed with the local secret, or a link with a one-time ticket for it, or check a token."""
    if (user is None) == (check is None):
        raise typer.BadParameter("give --user, or --check")
    if (link and user is None) or (page is not None and not link):
        raise typer.BadParameter("--link needs --user, and --page needs --link")
    settings = configuration(config, database={"path": database})
    if user is None:
        say(check_token(settings, bearer_token(sys.stdin.read()) if check == "-" else str(check)))
        return
    order = TokenOrder(
        user=user, name=name, ttl=ttl, admin=admin, room=room,
        host=cohost, create=not no_create, hidden=hidden, metadata=metadata,
    )  # fmt: skip
    if link:
        say(link_to(settings, page, room, mint(settings, order.as_ticket(str(uuid.uuid4())))))
        return
    say(mint(settings, order))


def check_config(config: ConfigFile = None, database: DatabaseFile = None) -> None:
    """Check the configuration without starting the daemon.

    It reads the file and the environment, and the secrets or the key that they name, like `roomd serve`.
    """
    from roomd import ice
    from roomd.auth import keys, webhook_secrets  # imported here, because it imports the cryptography

    settings = configuration(config, database={"path": database})
    path = Path(settings.database.path)
    keys.check_keys(settings.auth, path)
    ice.open_ice(settings.ice, path)
    webhook_secrets.webhook_secrets(settings.webhooks, path)
    server = settings.server
    source = str(config) if config else "the defaults and the environment"
    where = ", ".join(
        f"{address} (all addresses, IPv6 and IPv4)"
        if isinstance(address, TcpAddress) and is_every_address(address.host)
        else str(address)
        for address in listen_addresses(server)
    )
    say(f"{source}: fine; roomd would listen on {where}, and keep its rooms in {database_name(settings.database)}")


def print_default_config() -> None:
    """Print every setting with its default.

    The output is a TOML file in which every setting is commented out.
    """
    typer.echo(default_config(), nl=False)
