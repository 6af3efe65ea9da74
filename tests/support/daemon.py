"""A daemon started as its users start it, and clients on real sockets."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect

from roomd.limits.allowances import LIMITS
from tests.support import steered
from tests.support.forking import start
from tests.support.postgresql import database_of
from tests.support.processes import MEASURED, PATIENCE, Process, end, free_port

SECRET = "a secret for tests only, 32 bytes and more"

ERRORS = {
    "guest_name_required": (400, "guestName is required"),
    "invalid_guest_name": (400, "guestName must be 1 to 50 printable characters"),
    "room_inactive": (400, "Room is no longer active"),
    "room_full": (400, "Room is full"),
    "not_in_room": (400, "Join a room first"),
    "unknown_type": (400, "Unknown type"),
    "unauthenticated": (401, "Authentication required"),
    "invalid_token": (401, "Token is not valid"),
    "token_expired": (401, "Token has expired"),
    "banned": (403, "You were removed from this room"),
    "denied": (403, "The host declined"),
    "not_host": (403, "Only the host can do this"),
    "not_admin": (403, "Only an admin can do this"),
    "room_locked": (403, "Room is locked"),
    "guests_not_allowed": (403, "Guests are not allowed in this room"),
    "wrong_user": (403, "This connection belongs to someone else"),
    "wrong_room": (403, "The token is for another room"),
    "not_allowed": (403, "The token does not allow this"),
    "room_not_found": (404, "Room not found"),
    "participant_not_found": (404, "Participant not found"),
    "taken_over": (409, "Your seat is in use on another device"),
    "seat_expired": (410, "Seat is no longer held"),
    "rate_limited": (429, "Too many requests"),
    "storage_low": (507, "Storage is nearly full"),
    "unavailable": (503, "Storage is unavailable, nothing was changed"),
}
"""What docs/protocol.md says of every error with a fixed text."""


def error(code: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    """Word a whole `error` frame; 400 with `message` for the kinds whose text varies."""
    status, text = ERRORS.get(code, (400, message))
    return {"type": "error", "statusCode": status, "code": code, "message": message or text, **more}


SEAT_HOLD = 3600.0
"""Seconds for which a daemon under test holds a seat, unless a test sets another time."""

UNHURRIED = {
    "ROOMD_ROOMS_SEAT_HOLD": str(SEAT_HOLD),
    "ROOMD_SERVER_PING_INTERVAL": "600",
    "ROOMD_LIMITS_JOIN_TIMEOUT": "3600",
}
"""Time limits of a daemon that a test does not reach by being slow; a test of such a limit sets its own."""


class Reachable:
    """A daemon that clients reach."""

    url: str
    """The URL of its WebSocket."""
    secret = SECRET
    """What signs tokens."""
    addresses: Iterator[str] | None = None
    """The addresses that clients come from, one for each; None: this machine's."""

    def token(self, user: str, *, ttl: float = 3600, **claims: Any) -> str:
        """Make a token as an issuer would."""
        return jwt.encode({"sub": user, "exp": int(time.time() + ttl), **claims}, self.secret, algorithm="HS256")

    @contextlib.asynccontextmanager
    async def client(
        self, user: str | None = None, *, token: str | None = None, address: str | None = None, **options: Any
    ) -> AsyncIterator["Client"]:
        """Connect, as a user (with a fresh token, or the one given) or as a guest, from an address or from here."""
        token = self.token(user) if user is not None else token
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        if address is not None or self.addresses is not None:
            headers["X-Forwarded-For"] = address or next(self.addresses or many_addresses())
        # Without a bound on unread frames, a test need not read what it does not look at to be able to close.
        options = {"max_queue": None, "open_timeout": PATIENCE, "ping_interval": None, **options}
        async with connect(self.url, additional_headers=headers, **options) as websocket:
            yield Client(websocket)

    async def room(self, host: str = "alice", **settings: Any) -> dict[str, Any]:
        """Make a room."""
        async with self.client(host) as client:
            room: dict[str, Any] = (await client.ask("create-room", **settings))["room"]
            return room


class Daemon(Reachable):
    """One database, and the daemon process that serves it: started, killed and started again.

    The clock of one that is `steered` can be moved by `advance`.
    """

    def __init__(self, folder: Path, steered: bool = False, /, **settings: str) -> None:
        self.database = folder / "roomd.db"
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        self.log = folder / "roomd.log"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")},
            "ROOMD_AUTH_SECRET": SECRET,
            "ROOMD_DATABASE_PATH": str(self.database),
            "ROOMD_SERVER_PORT": str(self.port),
            **({"ROOMD_DATABASE_URL": url} if (url := database_of(folder)) is not None else {}),
            **UNHURRIED,
            **settings,
        }
        self._is_steered = steered
        self._control: socket.socket | None = None
        self._process: Process | None = None

    @property
    def database_url(self) -> str | None:
        """The URL of its database in PostgreSQL; None if that is the file."""
        return self.environ.get("ROOMD_DATABASE_URL")

    @property
    def is_started(self) -> bool:
        """Whether the process was started, and not stopped since."""
        return self._process is not None

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        with contextlib.ExitStack() as stack:
            command, fds = ["-m", "roomd", "serve"], []
            if self._is_steered:
                self._control, control = socket.socketpair()
                self._control.settimeout(PATIENCE)
                fds = [stack.enter_context(control).fileno()]
                command = [steered.__file__, *map(str, fds)]
            log = stack.enter_context(self.log.open("ab"))
            self._process = self._started(command, log.fileno(), fds)
        try:
            self._wait_answer(self._process)
        except BaseException:
            self.kill()
            raise

    def _started(self, command: Sequence[str], log: int, fds: Sequence[int]) -> Process:
        """Run an interpreter with these arguments."""
        return start(command, self.environ, log, fds)

    def _wait_answer(self, process: Process) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=PATIENCE):
                return
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "the daemon does not answer"
            time.sleep(0.02)

    def wait_for_log(self, text: str) -> None:
        """Wait until the log contains a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def advance(self, seconds: float) -> None:
        """Move the clock of a steered daemon; what came due meanwhile has been called when this returns."""
        assert self._control is not None
        self._control.sendall(f"{seconds}\n".encode())
        assert self._control.recv(64) == b"moved\n"

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock of a steered daemon so many seconds ahead of the right time, or behind it."""
        assert self._control is not None
        self._control.sendall(f"set {seconds}\n".encode())
        assert self._control.recv(64) == b"moved\n"

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        process, self._process = self.process, None
        process.send_signal(number)
        try:
            return process.wait(PATIENCE)
        finally:
            end(process)
            self._let_go_of_clock()

    def _let_go_of_clock(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def kill(self) -> None:
        """End the process as a crash would."""
        self.stop(signal.SIGKILL)

    def close(self) -> None:
        """Stop whatever still runs."""
        if self._process is not None:
            self.stop()


class Client:
    """One raw WebSocket client: JSON out, JSON in."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self._last = 0

    async def send(self, type_: str, **fields: Any) -> None:
        """Send a frame."""
        await self.websocket.send(json.dumps({"type": type_, **fields}))

    async def receive(self) -> dict[str, Any]:
        """Wait for the next frame."""
        async with asyncio.timeout(PATIENCE):
            frame: dict[str, Any] = json.loads(await self.websocket.recv())
        return frame

    async def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its reply, which must be the next frame; its `id` is checked and taken off."""
        self._last += 1
        await self.send(type_, id=self._last, **fields)
        reply = await self.receive()
        assert reply.pop("id") == self._last, reply
        return reply

    async def join(self, code: str, **fields: Any) -> dict[str, Any]:
        """Join a room; return the reply with the `room-state` that follows it under `state`."""
        reply = await self.ask("join-room", code=code, **fields)
        assert reply["type"] == "participant", reply
        return {**reply, "state": await self.receive()}

    async def events(self) -> list[dict[str, Any]]:
        """Take every event that was told before now: what comes before the answer to a ping sent now."""
        events = []
        await self.send("ping", id="events")
        while (frame := await self.receive()).get("id") != "events":
            events.append(frame)
        return events

    async def nothing_more(self) -> None:
        """Check that no frame waits: the next one answers a ping sent now."""
        assert await self.ask("ping") == {"type": "pong"}

    async def closed(self) -> int:
        """Wait for the server to close, and return the code."""
        await asyncio.wait_for(self.websocket.wait_closed(), PATIENCE)
        code = self.websocket.close_code
        assert code is not None
        return code


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons with settings of their own, e.g. `ROOMD_ROOMS_SEAT_HOLD="1"`.

    One that is `measured` counts as covered, for lines that no other test runs. It takes half as long again to start.
    """
    with contextlib.ExitStack() as stack:

        def make(*, measured: bool = False, steered: bool = False, **settings: str) -> Daemon:
            environ = MEASURED if measured else {}
            return stack.enter_context(serving(tmp_path, steered, **environ, **settings))

        yield make


@contextlib.contextmanager
def serving(folder: Path, steered: bool = False, /, **settings: str) -> Iterator[Daemon]:
    """Start a daemon, and stop it in the end."""
    daemon = Daemon(folder, steered, **settings)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


@pytest.fixture
def untraced() -> Iterator[None]:
    """Spare a test that has daemons do all that is to be covered what coverage takes here, nearly half of the time."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, store_of_daemons: None) -> Iterator[Daemon]:
    """A daemon with the defaults, shared by the tests of all modules; each makes rooms of its own."""
    with serving(tmp_path_factory.mktemp("daemon")) as daemon:
        yield daemon


PATIENT = {f"ROOMD_LIMITS_{row.key.upper()}_{part}": "1e9" for row in LIMITS for part in ("RATE", "BURST")}
"""Settings with rate limits that no flood reaches."""

QUICK = {"compression": None, "max_queue": None, "ping_interval": None, "proxy": None}
"""Options of a client that costs little and keeps every event it has not read, however many there are."""


def many_addresses() -> Iterator[str]:
    """Return addresses, each a different one, of the networks for benchmarks (RFC 2544)."""
    return (f"198.{18 + number // 65_536}.{number // 256 % 256}.{number % 256}" for number in range(131_072))


def faults(daemon: Daemon) -> list[str]:
    """Return the lines of the log that report an error inside roomd."""
    signs = ("raceback", "internal_error", '"level":"error"', '"level":"critical"', "Exception")
    return [line for line in daemon.log.read_text().splitlines() if any(sign in line for sign in signs)]


def memory(daemon: Daemon) -> int:
    """Return the memory that the daemon's process has, in KiB."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for hostile input, shared by the tests of a module; its rate limit lets floods pass."""
    with serving(tmp_path_factory.mktemp("hostile"), **PATIENT) as daemon:
        yield daemon
        daemon.kill()


@pytest.fixture
async def unharmed(target: Daemon) -> AsyncIterator[None]:
    """Check after a test that the target logged no error of its own and serves a join."""
    yield
    room = await target.room()
    async with target.client() as client:
        await client.join(room["code"], guestName="Jane")
    assert faults(target) == []
