"""The daemon: build the parts, run them, stop them in order. Only this module names the concrete parts."""

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import uvloop

from roomd.auth.keys import check_keys, open_keys, policy
from roomd.config import Config, ConfigError
from roomd.demo import show_demo
from roomd.engine.hub import Hub
from roomd.engine.ports import StorageFailed
from roomd.gateway.client import Services
from roomd.gateway.listener import AddressUnavailable, Listener
from roomd.gateway.outbox import encode_frame
from roomd.ice import open_ice
from roomd.rooms.settings import Rules
from roomd.storage.opening import StoreBusy, StoreError, open_store
from roomd.system import logging as log_lines
from roomd.system.clock import Clock
from roomd.system.ids import Ids

log = logging.getLogger("roomd")

FILES_BESIDE = 64
"""Open files besides the connections of clients: the database, its log, the listener, the standard streams."""

NOT_NOW, MISCONFIGURED = 1, 2
"""Exit codes of a start that failed."""

YOUNG_OBJECTS = 20_000
"""How many new objects make the garbage collector look at the youngest ones; Python's default is 700."""

STOP_TIMEOUT = 8.5
"""The most seconds from the first signal to the end of the process."""


async def run(config: Config, demo: bool, clock: Clock) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once.

    Raises `ConfigError`, `StoreError`, `StorageFailed` and `AddressUnavailable` when the start fails.
    """
    stop = asyncio.Event()
    _stop_on_signal(stop)
    ids = Ids()
    # Check all of the configuration before the store creates a database, so that a wrong one leaves no file behind.
    database = Path(config.database.path)
    check_keys(config.auth, database)
    ice = open_ice(config.ice)
    store = await open_store(config.database)
    try:
        keys = open_keys(config.auth, database)
        hub = Hub(store, Rules(config.rooms.seat_hold, config.limits.max_participants), clock, ids, encode_frame)
        await hub.open()
        services = Services(hub, store, keys, policy(config.auth), clock, ids, config.limits, ice)
        listener = Listener(config, services, hub)
        await listener.open()
        log.info("listening", {"host": config.server.host, "port": listener.port, "path": config.server.path})
        if demo:
            await show_demo(config, listener.port, hub, store, clock.wall())
        await stop.wait()
        await listener.close()
        await keys.close()
    finally:
        await store.close()
    log.info("stopped")


def serve(config: Config, demo: bool, clock: Clock | None = None) -> int:
    """Run the daemon, by the machine's own clock unless another is given, and return the exit code.

    0 after an orderly stop; 1 when it cannot start now, for a reason that may pass (the address or the database is in
    use, storage fails); 2 when the configuration is wrong.
    """
    os.umask(0o077)  # no other user may read the database, its log and the secret
    log_lines.set_up(config.server.log_level)
    _allow_files(config.limits.connections)
    _slow_collector_down()
    try:
        uvloop.run(run(config, demo, clock or Clock()))
    except (ConfigError, StoreError, AddressUnavailable) as exc:
        return _explain(str(exc), lasting=not isinstance(exc, (StoreBusy, AddressUnavailable)))
    except StorageFailed as exc:
        return _explain(f"{config.database.path}: cannot be read or written: {exc.__cause__}", lasting=exc.lasting)
    return 0


def _explain(why: str, *, lasting: bool) -> int:
    """Print why the start failed, below what was logged, and return the exit code."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    print(f"roomd: {why}", file=sys.stderr)
    return MISCONFIGURED if lasting else NOT_NOW


def _allow_files(connections: int) -> None:
    """Raise the limit on open files, which is often 1024, to what the connections need, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES_BESIDE
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning("fewer files than connections", {"files": allowed, "connections": connections})


def _slow_collector_down() -> None:
    """Run the garbage collector seldom, and never on what the start has made.

    Reference counts free nearly everything that a request makes; the collector took a tenth of the time to find that
    out. A connection leaves cycles of objects, so old objects are collected more often than by default. Otherwise the
    garbage of many thousand connections would stay in memory. Figures: docs/decisions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 5, 2)


def _end_within(seconds: float) -> None:
    """End the process in time even if storage does not answer: the next start restores what clients were told."""

    def end() -> None:
        log.warning("stopped without waiting for storage")
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _stop_on_signal(stop: asyncio.Event) -> None:
    """Set `stop` on the first SIGTERM or SIGINT, and end the process on the second.

    Python's own handlers are used, not those of the loop: they run between any two instructions, however busy the loop
    is.
    """
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def handle(number: int, _: object) -> None:
        if asked:
            os._exit(1)  # at once: seats are held from the last commit on
        asked.append(number)
        _end_within(STOP_TIMEOUT)
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
