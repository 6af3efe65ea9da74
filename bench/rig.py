"""What a measurement has in hand: a running server, ways to open rooms on it, and lines to it."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jwt

from bench.peers import servers as peers
from bench.peers.lines import line
from bench.processes import Server, Usage, serving
from roomd.load import Crowd, Kind, Line, Roomd
from roomd.load.line import READ_BUFFER

CEILINGS = Path(__file__).parent / "ceilings"
CEILING_COMMANDS = {
    "echo": [sys.executable, str(CEILINGS / "echo.py"), "{port}"],
    "frames": [sys.executable, "-m", "bench.ceilings.frames", "{port}"],
}
ROOMD = [sys.executable, "-m", "roomd", "serve", "--port", "{port}", "--database"]

SERVERS = ("roomd", *CEILING_COMMANDS, *peers.PEERS)

ROOMS_OF_A_HOST = 500


class Figure(NamedTuple):
    """One result of one measurement."""

    row: str
    """The row of the report it belongs to (report.py)."""
    value: float
    usage: Usage | None = None
    """What it cost, where that says something."""


class Incomplete(RuntimeError):  # noqa: N818 - an outcome
    """A measurement that broke off, with what it had till then."""

    def __init__(self, figures: list[Figure], reason: str) -> None:
        super().__init__(reason)
        self.figures = figures


class Rig:
    """One server, as measurements use it."""

    def __init__(self, server: Server, secret: str) -> None:
        self.server = server
        self.secret = secret

    @property
    def name(self) -> str:
        """The server's."""
        return self.server.name

    def token(self, user: str) -> str:
        """Mint a token."""
        return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, self.secret, algorithm="HS256")

    def line(self, token: str | None = None, read_buffer: int = READ_BUFFER, source: str | None = None) -> Line:
        """Make a line, as a guest's or with a token."""
        return line(self.name, self.server.host, token, read_buffer, source)

    def crowd(self, read_buffer: int = READ_BUFFER) -> Crowd[Line]:
        """Make a crowd of guests."""
        return Crowd(lambda _: self.line(read_buffer=read_buffer))

    async def create_rooms(self, count: int, seats: int) -> list[str]:
        """Open rooms and return their codes."""
        if self.name != "roomd":
            return await asyncio.to_thread(peers.create_rooms, self.server.host, count, seats)
        request = json.dumps({"type": "create-room", "id": 1, "maxParticipants": seats}).encode()
        replies: asyncio.Queue[bytes] = asyncio.Queue()
        codes: list[str] = []
        async with Crowd(lambda _: Line(Roomd(), f"ws://{self.server.host}", self.token("bench"))) as crowd:
            for number in range(count):
                if number % ROOMS_OF_A_HOST == 0:  # more at once would be past the limit on requests
                    host = (await crowd.open(len(crowd.lines) + 1))[-1]
                    host.on_frame = lambda _, payload: replies.put_nowait(payload)
                host.send(request)
                async with asyncio.timeout(10):
                    reply = json.loads(await replies.get())
                if reply["type"] != "room":
                    raise RuntimeError(f"create-room was refused: {reply}")
                codes.append(reply["room"]["code"])
        return codes


@contextmanager
def running(
    name: str,
    cores: set[int],
    folder: Path,
    secret: str,
    settings: Mapping[str, str] | None = None,
    database: Path | None = None,
) -> Iterator[Rig]:
    """Run a server on `cores` with its database in `folder` until the block ends.

    roomd can be given settings (ROOMD_…) and a `database` that exists. Raises `RuntimeError` when it does not come up.
    """
    if name in CEILING_COMMANDS:
        starting = serving(name, CEILING_COMMANDS[name], cores, folder, peers.python_path(), folder)
    elif name == "roomd":
        file = database or folder / "roomd.db"
        environ = {"ROOMD_AUTH_SECRET": secret, **peers.python_path(), **(settings or {})}
        starting = serving(name, [*ROOMD, str(file)], cores, folder, environ, file)
    else:
        starting = peers.running(name, cores, folder, secret)
    with starting as server:
        yield Rig(server, secret)


def leave_all(crowd: Crowd[Line]) -> asyncio.Future[None]:
    """Have everybody of a crowd give the seat up; done when all have."""
    staying = len(crowd.lines)
    empty: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_frame(kind: Kind, payload: bytes) -> None:
        nonlocal staying
        if kind is Kind.LEFT:
            staying -= 1
            if not staying:
                empty.set_result(None)
        elif kind is Kind.REFUSED:
            crowd.fail(f"refused to leave: {payload[:200].decode(errors='replace')}")

    for line_ in crowd.lines:
        line_.tap = None
        line_.on_frame = on_frame
        line_.leave()
    return empty
