"""The commands that use the admin interface of the running daemon: `roomd status` and others."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from roomd.cli.access import ConfigFile, DatabaseFile, configuration
from roomd.cli.options import example, with_options
from roomd.cli.output import say, table
from roomd.config import LogLevel, admin_socket
from roomd.protocol import admin
from roomd.system.unix_sockets import connect_to

T = TypeVar("T")

SERVICE_SOCKET = Path("/run/roomd/admin.sock")
"""Where the service of systemd has the socket. It is tried when none is at the configured place."""
_ONLY = "only root and the user of the daemon may use it"
_OTHER = "this is not the admin socket of roomd, or that of another version; after an upgrade restart the daemon"
TIMEOUT = 30.0
"""The seconds that a reply may take."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class AdminRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The daemon refused the operation. The text says why."""


class AdminUnreachable(Exception):  # noqa: N818 - a state of the machine
    """The admin interface cannot be used. The text says why and what to do."""


def add_admin_commands(app: typer.Typer) -> None:
    """Add the commands of the admin interface."""
    for name, command, line in (
        ("status", status, "roomd status --json"),
        ("top", top, "roomd top --interval 5"),
        ("connections", connections, "roomd connections"),
        ("kick", kick, "roomd kick 17"),
        ("drain", drain, "roomd drain"),
        ("reload", reload, "roomd reload"),
        ("log-level", log_level, "roomd log-level debug"),
    ):
        app.command(name, epilog=example(line))(with_options(Daemon, command))


@dataclass(frozen=True)
class Daemon:
    """The admin interface of a daemon, and the options by which a command finds it."""

    socket: Annotated[
        Path | None,
        typer.Option("--socket", metavar="FILE", help="The daemon's admin socket; default: the configured."),
    ] = None
    config: ConfigFile = None
    database: DatabaseFile = None

    @cached_property
    def path(self) -> Path:
        """The path of the socket. Raises `ConfigError`."""
        return self.socket or _find_socket(self.config, self.database)

    def ask(self, path: str, kind: type[T]) -> T:
        """Send a `GET` and return the reply.

        Raises `AdminUnreachable` and `AdminRefused`.
        """
        return self._exchange("GET", path, b"", kind)

    def order(self, path: str, body: msgspec.Struct, kind: type[T], timeout: float = TIMEOUT) -> T:
        """Send a `POST` and return the reply, like `ask`. It may take `timeout` seconds."""
        return self._exchange("POST", path, msgspec.json.encode(body), kind, timeout)

    def _exchange(self, method: str, path: str, body: bytes, kind: type[T], timeout: float = TIMEOUT) -> T:
        head = f"{method} {path} HTTP/1.0\r\nHost: roomd\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            with connect_to(self.path, timeout) as connected:
                connected.sendall(head.encode() + body)
                with connected.makefile("rb") as stream:
                    answer = stream.read()
        except OSError as exc:
            raise AdminUnreachable(_explain(self.path, exc)) from None
        if not answer:
            raise AdminUnreachable(f"{self.path}: {_ONLY}")
        head_sent, _, content = answer.partition(b"\r\n\r\n")
        try:
            if head_sent.startswith(b"HTTP/1.1 200 "):
                return msgspec.json.decode(content, type=kind)
            failed = msgspec.json.decode(content, type=admin.Failed)
        except msgspec.DecodeError:
            raise AdminUnreachable(f"{self.path}: {_OTHER}") from None
        raise AdminRefused(failed.error)


def _find_socket(config: Path | None, database: str | None) -> Path:
    configured = admin_socket(configuration(config, database={"path": database}))
    # The method of Path raises PermissionError for a file in a folder of somebody else.
    is_open = config is None and database is None and not os.path.exists(configured)  # noqa: PTH110
    return SERVICE_SOCKET if is_open and SERVICE_SOCKET.exists() else configured


def _explain(path: Path, exc: OSError) -> str:
    if isinstance(exc, PermissionError):
        return f"{path}: {_ONLY}"
    if isinstance(exc, (FileNotFoundError, ConnectionRefusedError)):
        service = f" (the service has {SERVICE_SOCKET})" if SERVICE_SOCKET.exists() else ""
        return f"no daemon listens at {path}; start it, or name its --config, --database or --socket{service}"
    return f"{path}: {exc.strerror or exc}"


def status(daemon: Daemon, json: Json = False) -> None:
    """Show what the running daemon does."""
    found = daemon.ask("/status", admin.Status)
    state = "draining" if found.is_draining else "serving"
    lines = {
        "roomd": f"{found.version}, {state}, process {found.pid} since {found.started_at}",
        "listens on": ", ".join(found.addresses),
        "database": found.database,
        "rooms": f"{found.rooms} with {found.members} people",
        "connections": f"{found.connections} of {found.limit}, {found.strangers} without a seat and a token",
        "memory": f"{found.memory / (1 << 20):.0f} MiB",
        "log level": found.log_level,
    }
    text = "\n".join(f"{name + ':':13}{line}" for name, line in lines.items())
    _print(found, json, lambda: f"{text}\n\n{_nodes(found)}" if found.nodes else text)


def _nodes(found: admin.Status) -> str:
    """Return the table of the nodes of the cluster. `*` marks the one that was asked."""
    header = ("NODE", "STATE", "RUN", "LEASE", "ROOMS", "OWNED", "PEOPLE", "CONNECTIONS", "VERSION", "ADDRESS")
    rows = [
        (
            f"{each.name}{'*' if each.name == found.node else ''}",
            each.state,
            str(each.generation),
            f"{each.lease_age:.1f} s",
            _shown(each.rooms),
            str(each.owned),
            _shown(each.members),
            _shown(each.connections),
            _shown(each.version),
            each.address or "-",
        )
        for each in found.nodes
    ]
    return table(header, rows)


def _shown(figure: object) -> str:
    return "-" if figure is None else str(figure)


def top(
    daemon: Daemon,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="The time between two looks.")
    ] = 2.0,
) -> None:
    """Show live what the daemon does: rooms, people, rates, slow clients. The key q ends it.

    Where the output is no terminal, it is printed once, with the rates of one interval.
    """
    from roomd.cli.top import show  # imported here, because it imports rich

    show(lambda: daemon.ask("/activity", admin.Activity), interval)


def connections(daemon: Daemon, json: Json = False) -> None:
    """List the open connections, the oldest first."""
    found = daemon.ask("/connections", admin.Connections)
    header = ("NUMBER", "USER", "SEAT", "WAITS", "PARTICIPANT", "SECONDS", "UNSENT")
    rows = [
        (
            str(each.number),
            each.user_id or "-",
            each.seat or "-",
            each.waits or "-",
            each.participant_id or "-",
            f"{each.seconds:.0f}",
            f"{each.unsent}{' slow' if each.is_full else ''}",
        )
        for each in found.connections
    ]
    _print(found, json, lambda: table(header, rows))


def kick(
    daemon: Daemon,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Its number in `roomd connections` and in the log.")],
) -> None:
    """Close a connection. Its client may come back to its seat; `roomd room ban` keeps somebody out."""
    daemon.order("/kick", admin.Kick(number=number), admin.Done)


def drain(
    daemon: Daemon,
    undo: Annotated[bool, typer.Option("--undo", help="Take newcomers again.")] = False,
) -> None:
    """Take no newcomers, until the daemon is stopped. Meetings go on, and who was in one comes back to their seat."""
    daemon.order("/drain", admin.Drain(is_draining=not undo), admin.Done)


def reload(daemon: Daemon) -> None:
    """Have the daemon read its configuration again, all of it or nothing, and print what has changed.

    docs/reference/configuration.md says of each setting whether a reload takes it.
    """
    found = daemon.order("/reload", admin.Done(), admin.Reloaded)
    say("\n".join(found.changed) or "nothing has changed")


def log_level(
    daemon: Daemon,
    level: Annotated[LogLevel, typer.Argument(metavar="LEVEL", help="debug, info, warning or error.")],
) -> None:
    """Log from a level up, until the daemon starts again or reads its configuration again."""
    daemon.order("/log-level", admin.LogLevel(level=level), admin.Done)


def _print(found: msgspec.Struct, json: bool, text: Callable[[], str]) -> None:
    say(msgspec.json.encode(found).decode() if json else text())
