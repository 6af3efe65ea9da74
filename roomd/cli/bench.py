"""`roomd bench`: a load test of a daemon, with guests that join and leave rooms of its own making."""

import asyncio
import resource
import signal
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from roomd import client
from roomd.cli.access import Access
from roomd.cli.options import room_code
from roomd.cli.output import say
from roomd.config import ConfigError
from roomd.protocol.errors import Refused
from roomd.protocol.replies import RoomReply
from roomd.protocol.requests import CreateRoom, EndRoom, GetRoom

if TYPE_CHECKING:
    from roomd.load import Outcome

NAME = "roomd bench"
AT_ONCE = 50
"""Rooms asked for at a time."""
FILES_BESIDE = 32
BUSY = 0.85
"""Share of a core from which on the guests, not the daemon, may be what was measured."""


def bench(
    access: Access,
    clients: Annotated[int, typer.Option(metavar="N", min=1, help="How many guests join and leave.")] = 200,
    seconds: Annotated[float, typer.Option(metavar="S", min=0.1, help="For how long.")] = 10.0,
    seats: Annotated[int, typer.Option("--room-size", metavar="N", min=2, help="How many of them share a room.")] = 4,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", parser=room_code, help="All in this room, instead of rooms made for the test."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure a daemon: guests join and leave rooms, each as soon as the last request was answered.

    Prints joins and leaves per second, how long they took, and errors. The rooms are made by whom --token or --as name,
    else by the local secret, and are ended afterwards; with --code none is made. Ctrl-C ends it early. A client keeps
    to 400 requests a second, so a few of them cannot load a daemon.
    """
    try:
        import roomd.load  # noqa: F401 - whether it can be
    except ModuleNotFoundError as missing:
        if missing.name != "picows":
            raise
        raise ConfigError("bench needs picows: pip install 'roomd[bench]'") from None
    _allow_files(clients)
    import uvloop

    rooms, outcome = uvloop.run(_bench(access, clients, seconds, seats, code))
    say(_as_json(rooms, outcome) if json else _as_text(rooms, outcome))


async def _bench(access: Access, clients: int, seconds: float, seats: int, code: str | None) -> tuple[int, "Outcome"]:
    """Return the number of rooms, and what came of the test.

    Raises `Refused`, `client.Closed` and `client.Unreachable`.
    """
    from roomd.load import try_out

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    made: list[str] = []
    try:
        async with client.connect(access.address, access.bearer()) as host:
            if code is None:
                await _make_rooms(host, -(-clients // seats), seats, made)
            else:
                await host.request(GetRoom(code=code), RoomReply)
        codes = made or [code or ""]
        try:
            return len(codes), await try_out(access.address, codes, clients, seconds, stop)
        except RuntimeError as exc:
            raise client.Unreachable(access.address, str(exc)) from None
    finally:
        if made:  # on a connection of its own: one that has not joined must not be silent for long
            async with client.connect(access.address, access.bearer()) as host:
                await _end_rooms(host, made)


async def _make_rooms(host: client.Connection, count: int, seats: int, made: list[str]) -> None:
    """Make rooms, adding their codes to `made` as they come."""

    async def make() -> None:
        request = CreateRoom(name=NAME, max_participants=seats, allow_guest_access=True)
        made.append((await _patiently(host, request)).room.code)

    while missing := count - len(made):
        await asyncio.gather(*(make() for _ in range(min(missing, AT_ONCE))))


async def _end_rooms(host: client.Connection, codes: list[str]) -> None:
    while codes:
        some = [codes.pop() for _ in range(min(len(codes), AT_ONCE))]
        await asyncio.gather(*(_patiently(host, EndRoom(code=code)) for code in some))


async def _patiently(host: client.Connection, request: CreateRoom | EndRoom) -> RoomReply:
    """Ask, again where the daemon says when."""
    while True:
        try:
            return await host.request(request, RoomReply)
        except Refused as refused:
            if refused.retry_after is None:
                raise
            await asyncio.sleep(refused.retry_after)


def _allow_files(clients: int) -> None:
    """Raise the limit on open files as far as needed. Raises `typer.BadParameter` where the system has a lower one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = clients + FILES_BESIDE
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise typer.BadParameter(f"the system allows {hard} open files, which is too few for {clients} clients")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _as_text(rooms: int, outcome: "Outcome") -> str:
    lines = [
        ("clients", f"{outcome.clients:,} in {rooms:,} {'room' if rooms == 1 else 'rooms'}, {outcome.seconds:.1f} s"),
        ("joins + leaves", f"{(outcome.joins.total + outcome.leaves.total) / outcome.seconds:,.0f} per second"),
        *((word, f"p50 {times.quantile(0.5) * 1000:.2f} ms, p99 {times.quantile(0.99) * 1000:.2f} ms")
          for word, times in (("a join takes", outcome.joins), ("a leave takes", outcome.leaves))),
        ("errors", ", ".join(f"{count} × {word}" for word, count in outcome.errors.most_common()) or "none"),
    ]  # fmt: skip
    if outcome.generator > BUSY:
        lines.append(("note", f"the guests took {outcome.generator:.0%} of a core: the daemon may be faster than this"))
    return "\n".join(f"{word:<16}{value}" for word, value in lines)


def _as_json(rooms: int, outcome: "Outcome") -> str:
    times = {
        word: {"count": one.total, "p50": one.quantile(0.5), "p99": one.quantile(0.99)}
        for word, one in (("joins", outcome.joins), ("leaves", outcome.leaves))
    }
    rest = {"clients": outcome.clients, "rooms": rooms, "seconds": outcome.seconds}
    per_second = (outcome.joins.total + outcome.leaves.total) / outcome.seconds
    end = {"errors": dict(outcome.errors), "generator": outcome.generator}
    return msgspec.json.encode({**rest, "perSecond": per_second, **times, **end}).decode()
