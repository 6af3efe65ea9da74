"""The daemon: build the parts, run them, and stop them in order. Only this module names the concrete parts."""

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

from roomd.admin.activity import ActivityView, activity_operations
from roomd.admin.operations import operations
from roomd.admin.server import AdminServer
from roomd.auth.keys import check_keys, make_own_key, open_keys, policy
from roomd.config import Config, ConfigError, admin_socket, metrics_address
from roomd.counters import Counters
from roomd.demo import show_demo
from roomd.engine.hub import Hub
from roomd.engine.ports import StorageFailed
from roomd.gateway.addresses import address_keys
from roomd.gateway.listener import AddressUnavailable, Listener, closing_limit
from roomd.gateway.outbox import encode_frame
from roomd.gateway.services import Services
from roomd.ice import open_ice
from roomd.metrics.exporter import Exporter
from roomd.metrics.families import Sources
from roomd.metrics.server import metrics_operations, open_metrics
from roomd.rooms.settings import Rules
from roomd.storage.opening import StoreBusy, StoreError, open_store
from roomd.system import logging as log_lines
from roomd.system.clock import Clock
from roomd.system.ids import Ids

log = logging.getLogger("roomd")

OTHER_FILES = 64
"""The number of open files besides clients' connections: the database, its log, the listener, standard streams."""

RETRY_LATER, MISCONFIGURED = 1, 2
"""The exit codes of a failed start: for a reason that may pass, and for one that an operator must remove."""

LIMITED_LINES = (
    "connected", "at the connection limit", "over the memory limit", "closing", "refused", "token refused",
    "request refused",
)  # fmt: skip
"""The events, all of one logger, that anybody who connects can cause at any rate."""
LINES_A_SECOND, LINES_AT_ONCE = 20.0, 1000
"""The lines of each of these events that are written; see `LineLimit`."""

COLLECT_AFTER = 20_000
"""The number of new objects after which the garbage collector checks the youngest ones; Python's default is 700."""

STOP_TIMEOUT = 8.5
"""The most seconds from the first signal to the end of the process."""


async def run(config: Config, demo: bool, clock: Clock, counters: Counters) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    `demo` is whether the demo room is created and printed. Raises `ConfigError`, `StoreError`, `StorageFailed` and
    `AddressUnavailable` when the start fails.
    """
    stop = asyncio.Event()
    _stop_on_signal(stop)
    ids = Ids(config.rooms.code_groups)
    # Check the whole configuration before the store creates a database, so that a wrong one creates no file.
    database = Path(config.database.path)
    check_keys(config.auth, database)
    ice = open_ice(config.ice, database)
    store = await open_store(config.database, counters)
    try:
        own = make_own_key(config.auth, database)
        keys = open_keys(config.auth, database, own)
        hub = Hub(store, rules(config), clock, ids, encode_frame, counters)
        await hub.open()
        keys_of_addresses = address_keys(await store.address_secret())
        services = Services(
            hub,
            store,
            keys,
            policy(config.auth),
            clock,
            ids,
            config.limits,
            ice,
            own,
            store,
            keys_of_addresses,
            counters,
        )
        listener = Listener(config, services, hub)
        exporter = Exporter(Sources(config, hub, listener, counters))
        admin = AdminServer(
            {
                **operations(config, hub, listener, clock),
                **activity_operations(ActivityView(config, hub, listener, counters, clock)),
                **metrics_operations(exporter),
            }
        )
        await _open_admin(admin, config)
        metrics = await open_metrics(exporter, metrics_address(config))
        await listener.open()
        for host, port in listener.addresses:
            log.info("listening", {"host": host, "port": port, "path": config.server.path})
        if demo:
            await show_demo(config, listener.port, hub, store, clock.wall())
        await stop.wait()
        await listener.close()
        await admin.close()
        await metrics.close()
        await keys.close()
    finally:
        await store.close()
    log.info("stopped")


async def _open_admin(admin: AdminServer, config: Config) -> None:
    """Open the admin interface. Raises `ConfigError` where its socket cannot be."""
    path = admin_socket(config)
    try:
        await admin.open_at(path)
    except OSError as exc:
        raise ConfigError(f"admin.socket: {path}: {exc.strerror}; name another path") from None


def rules(config: Config) -> Rules:
    """Return what the configuration sets for every room."""
    return Rules(
        seat_hold=config.rooms.seat_hold,
        max_participants=config.limits.max_participants,
        grace=config.auth.grace,
        host_passes_lock=config.rooms.host_passes_lock,
        history_visible=config.rooms.history_for_newcomers,
        room_bytes=config.limits.room_bytes,
        address_ban=config.rooms.address_ban,
        show_user_ids=config.rooms.show_user_ids,
    )


def serve(config: Config, demo: bool, clock: Clock | None = None) -> int:
    """Run the daemon and return the exit code. `clock` replaces the machine's clock.

    The exit code is 0 after an orderly stop; 1 when it cannot start now, for a reason that may pass (the address or the
    database is in use, storage fails); 2 when the configuration is wrong.
    """
    os.umask(0o077)  # other users must not read the database, its log and the secret
    _write_no_core_dump()
    clock, counters = clock or Clock(), Counters()
    counters.reloaded_at = clock.wall()
    log_lines.set_up(config.server.log_level, counters)
    limit = log_lines.LineLimit(LIMITED_LINES, LINES_A_SECOND, LINES_AT_ONCE, counters)
    logging.getLogger("roomd.gateway.limited").addFilter(limit)
    _raise_file_limit(config.limits.connections)
    _tune_garbage_collector()
    try:
        uvloop.run(run(config, demo, clock, counters))
    except (ConfigError, StoreError, AddressUnavailable) as exc:
        return _report_failure(str(exc), is_lasting=not isinstance(exc, (StoreBusy, AddressUnavailable)))
    except StorageFailed as exc:
        return _report_failure(
            f"{config.database.path}: cannot be read or written: {exc.__cause__}", is_lasting=exc.is_lasting
        )
    return 0


def _report_failure(why: str, *, is_lasting: bool) -> int:
    """Print the reason of a failed start, after the lines of the log, and return the exit code."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    print(f"roomd: {why}", file=sys.stderr)
    return MISCONFIGURED if is_lasting else RETRY_LATER


def _write_no_core_dump() -> None:
    """Keep the kernel, and systemd-coredump, from writing the memory to disk: secrets and messages are in it.

    That the process cannot be traced at all (PR_SET_DUMPABLE) would hide its open files from its own user, too.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _raise_file_limit(connections: int) -> None:
    """Raise the limit of open files, which is often 1024, to the number that the connections need, if possible.

    Those that are no WebSocket yet are among the `connections`, and those that are closing come on top.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + closing_limit(connections) + OTHER_FILES
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning("limit of open files is too low", {"files": allowed, "connections": connections})


def _tune_garbage_collector() -> None:
    """Run the garbage collector less often, and never on objects that were created at the start.

    Reference counting frees nearly all objects of a request, and the collector needed a tenth of the time to check
    them. A closed connection leaves cycles of objects, so old objects are collected more often than by default:
    otherwise those of thousands of connections would stay in memory. The figures are in
    docs/decisions/0004-collect-garbage-seldom.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 5, 2)


def _exit_after(seconds: float) -> None:
    """End the process after `seconds`, even if storage blocks. All that clients were told is stored already."""

    def end() -> None:
        log.warning("stopped without waiting for storage")
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _stop_on_signal(stop: asyncio.Event) -> None:
    """Set `stop` on the first SIGTERM or SIGINT, and end the process on the second.

    These are handlers of Python, not of the event loop: they run between two instructions, even when the loop is busy.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if received:
            os._exit(1)  # at once: the next start holds all seats
        received.append(number)
        _exit_after(STOP_TIMEOUT)
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
