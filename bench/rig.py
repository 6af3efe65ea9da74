"""A running server, with what measurements need of it: tokens, rooms and clients."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jwt

from bench.clients import READ_BUFFER, Client, Crowd, Kind, Roomd
from bench.peers import servers as peers
from bench.peers.clients import client
from bench.processes import Server, Usage, serving

CEILINGS = Path(__file__).parent / "ceilings"
SCHEMA = peers.ROOT / "schema.sql"
CEILING_COMMANDS = {
    "echo": [sys.executable, str(CEILINGS / "echo.py"), "{port}"],
    "frames": [sys.executable, "-m", "bench.ceilings.frames", "{port}"],
}
ROOMS_OF_A_HOST = 500
"""Rooms that one connection creates; more would exceed the limit on requests."""


class Checkout(NamedTuple):
    """A checkout of roomd, and the Python that has what it needs."""

    root: Path
    python: Path

    def command(self, database: Path) -> list[str]:
        """Return the command that runs the daemon; `{port}` stands for its port."""
        return [str(self.python), "-m", "roomd", "serve", "--port", "{port}", "--database", str(database)]


HERE = Checkout(peers.ROOT, Path(sys.executable))
"""This checkout."""


class Figure(NamedTuple):
    """One result of one measurement."""

    row: str
    """The row of the report it belongs to (report.py)."""
    value: float
    usage: Usage | None = None
    """The processor time it cost; None where that is of no interest."""


class Incomplete(RuntimeError):  # noqa: N818 - named for what happened
    """A measurement failed after it had some of its figures."""

    def __init__(self, figures: list[Figure], reason: str) -> None:
        super().__init__(reason)
        self.figures = figures


PER_ADDRESS = 1_000
"""The clients that connect from one address: as many storm a room from it without meeting a limit of roomd."""


def source(number: int) -> str:
    """Return the address of this machine that a client of a crowd connects from."""
    return f"127.0.0.{1 + number // PER_ADDRESS}"


class Rig:
    """One running server, as measurements use it."""

    def __init__(self, server: Server, secret: str) -> None:
        self.server = server
        self.secret = secret

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name

    def token(self, user: str) -> str:
        """Sign a token for `user`, valid for an hour."""
        return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, self.secret, algorithm="HS256")

    def client(self, token: str | None = None, read_buffer: int = READ_BUFFER, source: str | None = None) -> Client:
        """Make a client: a guest, or the user of a token."""
        return client(self.name, self.server.host, token, read_buffer, source)

    def crowd(self, read_buffer: int = READ_BUFFER) -> Crowd:
        """Make a crowd of guests."""
        return Crowd(lambda number: self.client(read_buffer=read_buffer, source=source(number)))

    async def create_rooms(self, count: int, seats: int) -> list[str]:
        """Create rooms and return their codes."""
        if self.name != "roomd":
            return await asyncio.to_thread(peers.create_rooms, self.server.host, count, seats)
        request = json.dumps({"type": "create-room", "id": 1, "maxParticipants": seats}).encode()
        replies: asyncio.Queue[bytes] = asyncio.Queue()
        codes: list[str] = []
        async with Crowd(lambda _: Client(Roomd(), f"ws://{self.server.host}", self.token("bench"))) as crowd:
            for number in range(count):
                if number % ROOMS_OF_A_HOST == 0:
                    host = (await crowd.open(len(crowd.clients) + 1))[-1]
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
    checkout: Checkout = HERE,
) -> Iterator[Rig]:
    """Run a server on `cores` with its database in `folder` until the block ends.

    roomd can be given settings (ROOMD_…), a `database` that exists, and the checkout to run. Raises `StartFailed` when
    the server does not come up.
    """
    if name in CEILING_COMMANDS:
        starting = serving(name, CEILING_COMMANDS[name], cores, folder, peers.python_path(peers.ROOT), folder)
    elif name == "roomd":
        file = database or folder / "roomd.db"
        environ = {"ROOMD_AUTH_SECRET": secret, **peers.python_path(checkout.root), **(settings or {})}
        starting = serving(name, checkout.command(file), cores, folder, environ, file)
    else:
        starting = peers.running(name, cores, folder, secret)
    with starting as server:
        yield Rig(server, secret)


def leave_all(crowd: Crowd) -> asyncio.Future[None]:
    """Have all clients of a crowd leave; the future is done when all have."""
    staying = len(crowd.clients)
    empty: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_frame(kind: Kind, payload: bytes) -> None:
        nonlocal staying
        if kind is Kind.LEFT:
            staying -= 1
            if not staying:
                empty.set_result(None)
        elif kind is Kind.REFUSED:
            crowd.fail(f"refused to leave: {payload[:200].decode(errors='replace')}")

    for one in crowd.clients:
        one.tap = None
        one.on_frame = on_frame
        one.leave()
    return empty
