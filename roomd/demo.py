"""The demo room of `roomd serve --demo`: print links and commands that join it."""

import contextlib
import shlex
import sys
import uuid
from collections.abc import Sequence

from roomd.auth.local_tokens import mint_locally
from roomd.auth.orders import TokenOrder
from roomd.config import Config
from roomd.engine.ports import Archive, Rooms
from roomd.rooms.settings import Settings

HOST = "demo-host"
"""The user id of the demo room's host."""
TOKEN_TTL = 86_400.0
"""The seconds for which the host's token is valid: the printed one, and the one for the ticket of the printed link."""


async def show_demo(
    config: Config, options: Sequence[str], url: str | None, rooms: Rooms, archive: Archive, now: float
) -> None:
    """Print the address, the code of the demo room, and links and commands that join it.

    `options` are those with which other commands find this daemon. `url` is that of the WebSocket; None when only a
    proxy knows it: then the code is printed alone. The room is created once and used again at later starts. `now` is in
    seconds since the epoch. Raises `Refused` and `StorageFailed`.
    """
    found, _ = await archive.rooms_of(HOST, is_active=True, cursor=None, limit=1)
    room = found[0] if found else await rooms.create(Settings(name="Demo room"), HOST)
    if url is None:
        _print([f"The demo room is {room.code}. roomd listens on Unix sockets only: join it by the proxy's address."])
        return
    program = [sys.executable, "-m", "roomd"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    join = [*program, "join", room.code, "--url", url]
    page = f"http{url.removeprefix('ws').removesuffix(config.server.path)}/"
    order = TokenOrder(user=HOST, name="Demo Host", ttl=TOKEN_TTL)
    token, ticket = (mint_locally(config, each, now) for each in (order, order.as_ticket(str(uuid.uuid4()))))
    ways = [("Join it from another terminal, as a guest:", shlex.join([*join, "--guest", "Jane Smith"]))]
    if token is not None:
        ways.append(("and as its host:", shlex.join([*join, "--token", token])))
    if config.server.demo:
        new = shlex.join([*program, "token", "--link", "--user", HOST, "--room", room.code, "--page", page, *options])
        label = f"and in another window as its host, once, within 10 minutes ({new} makes a new link):"
        hosts = [(label, f"{page}#code={room.code}&ticket={ticket}")] if ticket is not None else []
        ways = [("Open it in a browser, as a guest:", f"{page}#{room.code}"), *hosts, *ways]
    lines = ["", f"roomd is listening on {url}", f"The demo room is {room.code}."]
    for label, way in ways:
        lines += [label, "", f"    {way}", ""]
    _print(lines)


def _print(lines: Sequence[str]) -> None:
    with contextlib.suppress(OSError):  # standard output may be closed
        print("\n".join(lines), flush=True)
