"""The application: the daemon's own commands, the client's, and the one place where errors become exit codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from roomd import __version__, client
from roomd.cli.access import ConfigFile, DatabaseFile, configuration, mint
from roomd.cli.bench import bench
from roomd.cli.join import SentAway, join
from roomd.cli.options import connected, example, room_code, time_to_live
from roomd.cli.output import complain, plain, say
from roomd.cli.rooms import room_commands
from roomd.config import Config, ConfigError, default_config
from roomd.protocol.errors import INVALID_TOKEN, UNAUTHENTICATED, Refused

LogLevel = Literal["debug", "info", "warning", "error"]
Serve = Callable[[Config, bool], int]
"""Runs the daemon, with a demo room or without, and returns the exit code."""

REFUSED, MISUSED, UNREACHABLE = 1, 2, 3

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the daemon refused, standard error says "code: message"; `join` was sent
     away; or `serve` cannot start now, for a reason that may pass
  2  wrong usage or configuration
  3  the daemon cannot be reached
"""

_HINTS = {
    UNAUTHENTICATED.code: "Give --token, or say with --config or --database where the daemon's secret is.",
    INVALID_TOKEN.code: "Is it another daemon's? Say with --token, --config or --database what this one accepts.",
}


class Edge(TyperGroup):
    """Runs a command and turns what it raises into a line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # Typer's own class for it is private
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Refused as refused:
            complain(f"{refused.kind.code}: {plain(refused.message)}")
            if refused.kind.code in _HINTS:
                complain(_HINTS[refused.kind.code])
            code = REFUSED
        except SentAway as away:
            complain(str(away))
            code = REFUSED
        except ConfigError as error:
            complain(f"roomd: {error}")
            code = MISUSED
        except client.Closed as closed:
            complain(f"roomd: the daemon closed the connection ({closed.code} {plain(closed.reason)})")
            code = UNREACHABLE
        except client.Unreachable as unreachable:
            complain(f"roomd: cannot reach the daemon at {unreachable.url}: {plain(unreachable.reason)}")
            complain("Start it with `roomd serve`, or say with --url where it is.")
            code = UNREACHABLE
        raise typer.Exit(code)


def build(serve: Serve) -> typer.Typer:
    """Put the command line together around the function that runs the daemon."""
    app = typer.Typer(
        cls=Edge,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        # A traceback with local variables would print secrets and tokens.
        pretty_exceptions_enable=False,
        epilog=EXIT_CODES,
    )
    app.callback()(about)
    app.command("serve", epilog=example("roomd serve --config roomd.toml", "ROOMD_SERVER_PORT=9000 roomd serve"))(
        _serve_command(serve)
    )
    app.command("join", epilog=example("roomd join abc-def-ghi --guest 'Jane Smith'"))(connected(join))
    app.add_typer(room_commands(), name="room")
    app.command("bench", epilog=example("roomd bench --clients 200 --seconds 10"))(connected(bench))
    app.command("token", epilog=example("roomd token --user alice --name Alice --ttl 7d"))(token)
    app.command("check-config", epilog=example("roomd check-config --config roomd.toml"))(check_config)
    app.command("default-config", epilog=example("roomd default-config > roomd.toml"))(print_default_config)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"roomd {__version__}")
        raise typer.Exit


def about(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and stop."),
    ] = False,
) -> None:
    """Rooms people can join, over WebSocket: the daemon, and a client for it.

    Start with `roomd serve`, make a room with `roomd room create`, and join it with `roomd join CODE`.
    """


def _serve_command(serve: Serve) -> Callable[..., None]:
    def run(
        config: ConfigFile = None,
        host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = None,
        port: Annotated[
            int | None, typer.Option(metavar="PORT", min=0, max=65535, help="TCP port; 0 lets the system choose one.")
        ] = None,
        database: DatabaseFile = None,
        log_level: Annotated[LogLevel | None, typer.Option(help="The least severe line that is logged.")] = None,
        demo: Annotated[
            bool, typer.Option("--demo", help="Make a room, and print links and commands that join it.")
        ] = False,
    ) -> None:
        """Run the daemon until SIGTERM or SIGINT.

        Flags win over the environment (ROOMD_<SECTION>_<KEY>), the environment over the file. `roomd default-config`
        lists every setting.
        """
        server = {"host": host, "port": port, "log_level": log_level}
        raise typer.Exit(serve(configuration(config, server=server, database={"path": database}), demo))

    return run


def token(
    user: Annotated[str, typer.Option(metavar="USER", help="The user id: 1 to 128 characters.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What people see; else the user id.")] = None,
    ttl: Annotated[
        float, typer.Option(metavar="TIME", parser=time_to_live, help="How long it serves: 90s, 15m, 1h, 7d.")
    ] = "1h",  # type: ignore[assignment]  # Typer parses defaults too
    admin: Annotated[bool, typer.Option("--admin", help="With host rights in every room.")] = False,
    room: Annotated[str | None, typer.Option(metavar="CODE", parser=room_code, help="For this room alone.")] = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
) -> None:
    """Print a token made by the local secret."""
    settings = configuration(config, database={"path": database})
    say(mint(settings, user=user, name=name, ttl=ttl, admin=admin, room=room))


def check_config(config: ConfigFile = None, database: DatabaseFile = None) -> None:
    """Check the configuration, starting nothing.

    Reads the file and the environment, and the secrets or the key they name, as `roomd serve` would.
    """
    from roomd import ice
    from roomd.auth import keys  # it brings the cryptography

    settings = configuration(config, database={"path": database})
    path = Path(settings.database.path)
    keys.check_keys(settings.auth, path)
    ice.open_ice(settings.ice)
    server = settings.server
    source = str(config) if config else "the defaults and the environment"
    say(f"{source}: fine; roomd would listen on {server.host}, port {server.port}, and keep its rooms in {path}")


def print_default_config() -> None:
    """Print every setting with its default.

    The output is a commented TOML file that changes nothing until a line of it is uncommented.
    """
    typer.echo(default_config(), nl=False)
