"""`roomd bench`: a load test of a daemon. Guests join and leave rooms that are created for the test."""

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
from roomd.client.requests import room_of
from roomd.config import ConfigError
from roomd.protocol.errors import Refused
from roomd.protocol.replies import RoomReply
from roomd.protocol.requests import CreateRoom, EndRoom, GetRoom

if TYPE_CHECKING:
    from roomd.load import Result

NAME = "roomd bench"
"""The name of the rooms."""
AT_ONCE = 50
"""The number of rooms that are created or ended at the same time."""
OTHER_FILES = 32
"""The number of open files besides the connections."""
MAX_GENERATOR_LOAD = 0.85
"""The share of a processor core above which the guests may limit the result, not the daemon."""


def bench(
    access: Access,
    clients: Annotated[int, typer.Option(metavar="N", min=1, help="The number of guests.")] = 200,
    seconds: Annotated[float, typer.Option(metavar="S", min=0.1, help="The duration of the test, in seconds.")] = 10.0,
    seats: Annotated[
        int, typer.Option("--room-size", metavar="N", min=2, help="The number of guests in each room.")
    ] = 4,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", parser=room_code, help="Use this room for all guests, instead of new rooms."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure a daemon: guests join and leave rooms, and send each request after the last reply.

    It prints joins and leaves per second, their durations, and errors. The rooms are created by the user of --token or
    --as, else by an admin, and ended after the test; --code creates none. Ctrl-C ends the test early. A guest sends at
    most 400 requests a second, so few guests cannot use the whole capacity of a daemon.
    """
    try:
        import roomd.load  # noqa: F401 - to check that it can be imported
    except ModuleNotFoundError as missing:
        if missing.name != "picows":
            raise
        raise ConfigError("bench needs picows: pip install 'roomd[bench]'") from None
    _raise_file_limit(clients)
    import uvloop

    rooms, result = uvloop.run(_bench(access, clients, seconds, seats, code))
    say(_as_json(rooms, result) if json else _as_text(rooms, result))


async def _bench(access: Access, clients: int, seconds: float, seats: int, code: str | None) -> tuple[int, "Result"]:
    """Run the test, and return the number of rooms and the result.

    Raises `Refused`, `client.Closed` and `client.Unreachable`.
    """
    from roomd.load import run_load_test

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
            return len(codes), await run_load_test(access.address, codes, clients, seconds, stop)
        except RuntimeError as exc:
            raise client.Unreachable(access.address, str(exc)) from None
    finally:
        if made:  # a new connection: one that has not joined is closed when it is silent
            async with client.connect(access.address, access.bearer()) as host:
                await _end_rooms(host, made)


async def _make_rooms(host: client.Connection, count: int, seats: int, made: list[str]) -> None:
    """Create rooms, and add the code of each to `made` when it is created."""

    async def make() -> None:
        request = CreateRoom(name=NAME, max_participants=seats, allow_guest_access=True)
        made.append(room_of(await _request_until_allowed(host, request)).code)

    while missing := count - len(made):
        await asyncio.gather(*(make() for _ in range(min(missing, AT_ONCE))))


async def _end_rooms(host: client.Connection, codes: list[str]) -> None:
    while codes:
        some = [codes.pop() for _ in range(min(len(codes), AT_ONCE))]
        await asyncio.gather(*(_request_until_allowed(host, EndRoom(code=code)) for code in some))


async def _request_until_allowed(host: client.Connection, request: CreateRoom | EndRoom) -> RoomReply:
    """Send a request. When the daemon refuses it with `retryAfter`, wait and send it again.

    Raises `Refused` for any other refusal.
    """
    while True:
        try:
            return await host.request(request, RoomReply)
        except Refused as refused:
            if refused.retry_after is None:
                raise
            await asyncio.sleep(refused.retry_after)


def _raise_file_limit(clients: int) -> None:
    """Raise the limit of open files to the number that the guests need.

    Raises `typer.BadParameter` when the system allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = clients + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise typer.BadParameter(f"the system allows {hard} open files, which is too few for {clients} clients")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _as_text(rooms: int, result: "Result") -> str:
    lines = [
        ("clients", f"{result.clients:,} in {rooms:,} {'room' if rooms == 1 else 'rooms'}, {result.seconds:.1f} s"),
        ("joins + leaves", f"{(result.joins.total + result.leaves.total) / result.seconds:,.0f} per second"),
        *((label, f"p50 {times.quantile(0.5) * 1000:.2f} ms, p99 {times.quantile(0.99) * 1000:.2f} ms")
          for label, times in (("a join takes", result.joins), ("a leave takes", result.leaves))),
        ("errors", ", ".join(f"{count} × {error}" for error, count in result.errors.most_common()) or "none"),
    ]  # fmt: skip
    if result.generator > MAX_GENERATOR_LOAD:
        lines.append(("note", f"the guests took {result.generator:.0%} of a core: the daemon may be faster than this"))
    return "\n".join(f"{label:<16}{value}" for label, value in lines)


def _as_json(rooms: int, result: "Result") -> str:
    times = {
        label: {"count": one.total, "p50": one.quantile(0.5), "p99": one.quantile(0.99)}
        for label, one in (("joins", result.joins), ("leaves", result.leaves))
    }
    rest = {"clients": result.clients, "rooms": rooms, "seconds": result.seconds}
    per_second = (result.joins.total + result.leaves.total) / result.seconds
    end = {"errors": dict(result.errors), "generator": result.generator}
    return msgspec.json.encode({**rest, "perSecond": per_second, **times, **end}).decode()
