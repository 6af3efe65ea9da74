"""The demo room of `roomd serve --demo`: print links and commands that join it."""

import contextlib
import shlex
import sys

import msgspec

from roomd.auth.local_tokens import mint_locally
from roomd.auth.orders import TokenOrder
from roomd.config import Config, local_url
from roomd.engine.ports import Archive, Rooms
from roomd.rooms.settings import Settings

HOST = "demo-host"
"""The user id of the demo room's host."""
TOKEN_TTL = 86_400.0
"""The seconds for which the printed token of the host is valid."""


async def show_demo(config: Config, port: int, rooms: Rooms, archive: Archive, now: float) -> None:
    """Print the address, the code of the demo room, and links and commands that join it.

    The room is created once and used again at later starts. `now` is in seconds since the epoch. Raises `Refused` and
    `StorageFailed`.
    """
    found, _ = await archive.rooms_of(HOST, is_active=True, cursor=None, limit=1)
    room = found[0] if found else await rooms.create(Settings(name="Demo room"), HOST)
    url = local_url(msgspec.structs.replace(config.server, port=port))
    program = [sys.executable, "-m", "roomd"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    join = [*program, "join", room.code, "--url", url]
    page = f"http{url.removeprefix('ws').removesuffix(config.server.path)}/#"
    token = mint_locally(config, TokenOrder(user=HOST, name="Demo Host", ttl=TOKEN_TTL), now)
    ways = [("Join it from another terminal, as a guest:", shlex.join([*join, "--guest", "Jane Smith"]))]
    if token is not None:
        ways.append(("and as its host:", shlex.join([*join, "--token", token])))
    if config.server.demo:
        hosts = [("and in another window as its host:", f"{page}code={room.code}&token={token}")] if token else []
        ways = [("Open it in a browser, as a guest:", page + room.code), *hosts, *ways]
    lines = ["", f"roomd is listening on {url}", f"The demo room is {room.code}."]
    for label, way in ways:
        lines += [label, "", f"    {way}", ""]
    with contextlib.suppress(OSError):  # standard output may be closed
        print("\n".join(lines), flush=True)
