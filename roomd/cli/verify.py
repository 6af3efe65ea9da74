"""`roomd verify`: drive a server with clients, break it if asked to, and check what it promised."""

import asyncio
import logging
import secrets
import shlex
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from roomd.auth.orders import TokenOrder
from roomd.cli.access import SHORT_TTL, Access, bearer_token, mint, try_mint, websocket_url
from roomd.cli.output import plain, say, say_error
from roomd.config import ConfigError

if TYPE_CHECKING:
    from roomd.verify.driver.clients import UserToken
    from roomd.verify.driver.run import Outcome
    from roomd.verify.report import Report

BROKEN, UNSETTLED = 1, 2
"""The exit codes where a rule is broken, and where not everything could be checked."""


def verify(
    access: Access,
    nodes: Annotated[
        list[Any] | None,
        typer.Argument(
            metavar="[URL]...",
            parser=websocket_url,
            help="The addresses of all nodes; default: that of --url.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="S", min=1, help="How long the clients act.")] = 30.0,
    rooms: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="The rooms that are open at a time.")] = 4,
    clients: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="The clients.")] = 40,
    seats: Annotated[int, typer.Option("--room-size", metavar="N", min=2, max=200, help="The seats of each room.")] = 5,
    pause: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds between two requests of a client, on average.")
    ] = 0.1,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Repeat the choices of a run.")] = None,
    hold: Annotated[
        float, typer.Option(metavar="S", min=0, help="The least seconds for which a user's seat is held.")
    ] = 3.0,
    patience: Annotated[float, typer.Option(metavar="S", min=1, help="Seconds to wait for an answer.")] = 10.0,
    token_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="A shell command that prints a token for the user id {user}; without it and a secret "
            "all clients are guests.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="COMMAND", help="A shell command that breaks a node; may be repeated.")
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(metavar="COMMAND", help="The command that repairs it: one for each --fault, or one for all."),
    ] = None,
    interval: Annotated[float, typer.Option(metavar="S", min=0, help="Seconds from a repair to the next fault.")] = 5.0,
    down: Annotated[float, typer.Option(metavar="S", min=0, help="Seconds from a fault to its repair.")] = 2.0,
    keep: Annotated[bool, typer.Option("--keep", help="Do not delete the rooms in the end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a server: clients join, drop, return, take over, talk and leave, and what they saw is audited.

    It makes rooms of its own and deletes them in the end. It needs an admin's token for the event log: that of --token,
    or one from the local secret. Exit codes: 0 every rule held, 1 a rule is broken, 2 not everything could be checked.
    """
    from roomd.verify.audit import audit
    from roomd.verify.driver.faults import CommandFailed, Faults, by_command
    from roomd.verify.driver.run import Plan, run

    breaks, repairs = fault or [], start or []
    if len(repairs) not in (0, 1, len(breaks)):
        raise typer.BadParameter("give one --start for each --fault, one for all, or none")
    starts = repairs if len(repairs) == len(breaks) else [*repairs, None][:1] * len(breaks)
    faults = [by_command(command, repair) for command, repair in zip(breaks, starts, strict=True)]
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    plan = Plan(
        nodes=nodes or [access.address], host_token=access.bearer, user_token=_user_token(access, token_command),
        seconds=seconds, rooms=rooms, clients=clients, seats=seats, pause=pause, hold=hold, patience=patience,
        seed=chosen, faults=Faults(faults, interval, down), is_kept=keep,
    )  # fmt: skip
    tell: Callable[[str], None] = (lambda _: None) if json else say

    async def drive() -> "Outcome":
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await run(plan, secrets.token_hex(4), tell, stop)

    logging.getLogger("roomd.client").addHandler(logging.NullHandler())  # a node that is down is no news here
    tell(f"seed {chosen}; {clients} clients, {rooms} rooms of {seats} seats, {len(plan.nodes)} nodes")
    try:
        outcome = asyncio.run(drive())
    except CommandFailed as failed:
        say_error(f"roomd: {plain(str(failed))}")
        raise typer.Exit(UNSETTLED) from None
    report = audit(outcome.history)
    say(_as_json(outcome, report, chosen) if json else _as_text(outcome, report))
    raise typer.Exit(BROKEN if not report.is_fine else 0 if outcome.is_settled else UNSETTLED)


def _user_token(access: Access, command: str | None) -> "UserToken | None":
    """Return what gives a token to a user id; None where nothing does."""

    async def ask(user: str) -> str:
        process = await asyncio.create_subprocess_shell(
            command.replace("{user}", shlex.quote(user)) if command else "", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise ConfigError(f"--token-command ended with {process.returncode}")
        return bearer_token(output.decode())

    async def make(user: str) -> str:
        return mint(access.config, TokenOrder(user=user, ttl=SHORT_TTL))

    if command is not None:
        return ask
    if access.token is None and try_mint(access.config, TokenOrder(user="user", ttl=SHORT_TTL)) is not None:
        return make
    return None


def _as_text(outcome: "Outcome", report: "Report") -> str:
    from roomd.verify.report import report_text

    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(outcome.counts.items()))
    lines = [f"requests by outcome (- is no answer): {counts}", f"faults: {outcome.faults}", report_text(report)]
    lines += [plain(note) for note in outcome.notes]
    verdict = "every rule held" if report.is_fine else f"broken: {', '.join(report.broken())}"
    return "\n".join((*lines, verdict if outcome.is_settled else f"{verdict}; not everything could be checked"))


def _as_json(outcome: "Outcome", report: "Report", seed: int) -> str:
    return msgspec.json.encode(
        {
            "seed": seed,
            "requests": dict(sorted(outcome.counts.items())),
            "faults": outcome.faults,
            "rooms": outcome.rooms,
            "rules": report.rules,
            "isFine": report.is_fine,
            "isSettled": outcome.is_settled,
            "notes": outcome.notes,
        }
    ).decode()
