"""The daemon in the process of a test."""

import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import uvloop

from roomd.auth.local_tokens import mint_locally
from roomd.auth.orders import TokenOrder
from roomd.config import Config, ConfigError, admin_socket, load
from roomd.counters import Counters
from roomd.daemon import Surroundings, run
from roomd.engine.served import ServedRooms
from roomd.gateway.listener import Listener
from roomd.storage.kinds import Database
from roomd.system.logging import TextFormatter
from roomd.testing.clock import Clock

Settings = Mapping[str, Mapping[str, Any]]
"""Settings by section and key, as a TOML file has them: `{"rooms": {"seat_hold": 5}}`."""

DEFAULTS: Settings = {
    "server": {"port": 0},
    "database": {"synchronous": "NORMAL", "reserve": 0},
}
"""What differs from a daemon in operation: any free port, no wait for the disk, no refusal where it is nearly full."""

_log = logging.getLogger("roomd")
_log.addHandler(logging.NullHandler())  # without this, warnings are printed where nobody has set up logging


class Daemon:
    """A roomd that serves on a port of this machine, from `with` or `async with` to its end.

        async with Daemon() as daemon:    # in the running event loop
        with Daemon() as daemon:          # in a thread of its own, for tests without an event loop

    It is the daemon that `roomd serve` runs, without handlers of signals, with a database in a new folder, which is
    removed in the end, and with the defaults of `DEFAULTS`. Environment variables are not read.

    Settings are given as a mapping, by section, or as arguments with the names of sections; those win:

        Daemon(rooms={"seat_hold": 5}, limits={"max_participants": 10})

    `log` gets the lines that `roomd serve` writes to a terminal, from `server.log_level` up; the loggers below `roomd`
    have them in any case. Starting raises what a start can fail with, `roomd.config.ConfigError` for wrong settings.
    """

    def __init__(
        self, settings: Settings | None = None, /, *, log: TextIO | None = None, **sections: Mapping[str, Any]
    ) -> None:
        self.clock = Clock()
        """The daemon's clock: `daemon.clock.advance(60)` lets a minute pass at once."""
        self._sections = _merged(DEFAULTS, settings or {}, sections)
        self._log = log
        self._is_used = False
        self._serving: tuple[Config, Listener] | None = None  # while it serves
        self._loop: asyncio.AbstractEventLoop | None = None  # the one in which it runs
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None  # where it runs in the loop of the test
        self._thread: threading.Thread | None = None  # where it does not
        self._ended: Future[None] = Future()  # of the thread
        self._folder: Path | None = None  # to be removed

    @property
    def url(self) -> str:
        """The URL of the WebSocket, like `ws://127.0.0.1:40123/ws`."""
        _, listener = self._running()
        url = listener.url
        if url is None:
            raise ConfigError("server.listen has only Unix sockets, which have no URL; add 127.0.0.1:0")
        return url

    @property
    def http_url(self) -> str:
        """The URL of the meeting page, without a slash at its end: the server API is below `/api/v1`."""
        return f"http{self.url.removeprefix('ws').removesuffix(self.config.server.path)}"

    @property
    def config(self) -> Config:
        """The configuration, with the defaults."""
        config, _ = self._running()
        return config

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.config.database.path)

    @property
    def admin_socket(self) -> Path:
        """The Unix socket of the admin interface (docs/reference/admin.md)."""
        return admin_socket(self.config)

    def token(
        self,
        user: str,
        *,
        name: str | None = None,
        ttl: float = 3600.0,
        admin: bool = False,
        host: bool = False,
        create: bool = True,
        hidden: bool = False,
        room: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """Return a token of a user, which is valid for `ttl` seconds of the daemon's clock.

        The others are the name that people see, and the grants of docs/protocol.md, section 2. Raises `ValueError` for
        what no token may say, and `ConfigError` where tokens come from an issuer with keys of its own.
        """
        order = TokenOrder(
            user=user, name=name, ttl=ttl, admin=admin, host=host, create=create, hidden=hidden, room=room,
            metadata=metadata,
        )  # fmt: skip
        token = mint_locally(self.config, order, self.clock.wall())
        if token is None:
            raise ConfigError("auth: only the issuer of these settings can sign tokens; sign them with its private key")
        return token

    async def __aenter__(self) -> Self:
        config, started = self._prepare(), _future()
        self._task = asyncio.create_task(self._serve(config, started), name="roomd")
        try:
            await asyncio.wrap_future(started)
        except BaseException:
            await self._end_task()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end_task()

    def __enter__(self) -> Self:
        config, started = self._prepare(), _future()
        self._thread = threading.Thread(target=self._run_thread, args=(config, started), name="roomd", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_thread()

    def _running(self) -> tuple[Config, Listener]:
        if self._serving is None:
            raise RuntimeError("the daemon does not run: use it inside `with Daemon() as daemon` or `async with`")
        return self._serving

    def _prepare(self) -> Config:
        """Return the configuration, and create the folder of the database. Raises `ConfigError`."""
        if self._is_used:
            raise RuntimeError("the daemon was started before; make another one for each `with`")
        self._is_used = True
        sections = self._sections
        if "path" not in sections.get("database", {}):
            self._folder = Path(tempfile.mkdtemp(prefix="roomd-"))
            sections = _merged(sections, {"database": {"path": str(self._folder / "roomd.db")}})
        try:
            return load(flags=sections, flags_source="the settings of the test")
        except BaseException:
            self._remove_folder()
            raise

    async def _serve(self, config: Config, started: "Future[None]") -> None:
        """Run until `_stop` is set. `started` is set when the daemon serves, or to the error of its start."""
        self._loop = asyncio.get_running_loop()

        async def is_started(listener: Listener, _rooms: ServedRooms, _store: Database) -> None:
            self._serving = config, listener
            started.set_result(None)

        around = Surroundings(self._stop, asyncio.Event(), started=is_started)
        self.clock.use(self._loop)
        try:
            with _written(self._log, config.server.log_level):
                await run(config, lambda: config, self.clock, (), Counters(self.clock.wall()), around)
        except BaseException as exc:
            if started.done():
                raise
            started.set_exception(exc)
        finally:
            self._serving = None
            self.clock.use(None)

    async def _end_task(self) -> None:
        task, self._task = self._task, None
        try:
            if task is not None:
                self._ask_to_stop()
                await task
        finally:
            self._remove_folder()

    def _run_thread(self, config: Config, started: "Future[None]") -> None:
        try:
            uvloop.run(self._serve(config, started))
        except BaseException as exc:  # noqa: BLE001 - the edge of the thread: it is raised where the thread is joined
            self._ended.set_exception(exc)
        else:
            self._ended.set_result(None)

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        try:
            if thread is not None:
                self._ask_to_stop()
                thread.join()
                self._ended.result()
        finally:
            self._remove_folder()

    def _ask_to_stop(self) -> None:
        if self._loop is None:
            self._stop.set()
            return
        with suppress(RuntimeError):  # the loop is closed: the start has failed
            self._loop.call_soon_threadsafe(self._stop.set)

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None


def _future() -> "Future[None]":
    """Return a future that cannot be cancelled: who waits for it can be."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


def _merged(*all_settings: Settings) -> dict[str, dict[str, Any]]:
    """Merge settings key by key; later ones win."""
    merged: dict[str, dict[str, Any]] = {}
    for settings in all_settings:
        for section, values in settings.items():
            merged.setdefault(section, {}).update(values)
    return merged


@contextmanager
def _written(stream: TextIO | None, level: str) -> Iterator[None]:
    """Write the lines of the log to `stream` meanwhile, from `level` up."""
    if stream is None:
        yield
        return
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter())
    before = _log.level
    _log.addHandler(handler)
    _log.setLevel(min(before or logging.CRITICAL, logging.getLevelNamesMapping()[level.upper()]))
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(before)
