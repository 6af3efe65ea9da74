"""The daemon: build the parts, run them, and stop them in order. Only this module names the concrete parts."""

import asyncio
import gc
import logging
import os
import random
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from roomd.admin.activity import ActivityView, activity_operations
from roomd.admin.operations import operations
from roomd.admin.server import AdminServer
from roomd.admin.webhooks import webhook_operations
from roomd.alone import RunningAlone, open_alone
from roomd.config import (
    Config,
    ConfigError,
    ListenAddress,
    TcpAddress,
    admin_socket,
    database_name,
    listen_addresses,
    metrics_address,
    seconds_in,
    seconds_or_never,
)
from roomd.counters import Counters
from roomd.demo import show_demo
from roomd.engine.duties import RETENTION
from roomd.engine.forgetting import Forgetter
from roomd.engine.outage import OutageWatch
from roomd.engine.ports import StorageFailed
from roomd.engine.retention import Keep, Retention
from roomd.engine.served import ServedRooms
from roomd.eventlog.feed import Feed
from roomd.eventlog.webhooks.service import Webhooks
from roomd.gateway.addresses import address_keys
from roomd.gateway.listener import Listener, closing_limit
from roomd.gateway.outbox import encode_frame
from roomd.gateway.services import Services
from roomd.gateway.sockets import AddressUnavailable, OpenSockets
from roomd.metrics.exporter import Exporter
from roomd.metrics.families import Sources
from roomd.metrics.server import MetricsServer, metrics_operations
from roomd.reloading import Reloader, check_files, make_parts, rules
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.kinds import Database
from roomd.system import logging as log_lines
from roomd.system.clock import Clock
from roomd.system.notify import Notifier
from roomd.system.signals import ignore_hangup, set_on_hangup, stop_on_signal

if TYPE_CHECKING:
    from roomd.node import RunningNode

    Running = RunningAlone | RunningNode

log = logging.getLogger("roomd")

OTHER_FILES = 64
"""The number of open files besides clients' connections: the database, its log, the listener, standard streams."""

RETRY_LATER, MISCONFIGURED = 1, 2
"""The exit codes of a failed start: for a reason that may pass, and for one that an operator must remove."""

NOISE = (
    "connected", "at the connection limit", "over the memory limit", "closing", "refused", "token refused",
    "request refused", "refusals", "fell behind",
)  # fmt: skip
"""The events that anybody who connects can cause at any rate."""
NOISE_A_SECOND, NOISE_AT_ONCE = 10.0, 400
"""The lines of each of these events that are written; see `LineLimit`."""
JOINS = ("joined", "waits")
"""The events that anybody who knows a room can cause at any rate."""
JOINS_A_SECOND, JOINS_AT_ONCE = 20.0, 1000
"""The lines of each of these. With them all the lines of 30 seconds are fewer than 10,000: when there are more, the
journal drops all that follows, errors too (journald.conf(5), RateLimitBurst)."""

COLLECT_AFTER = 20_000
"""The number of new objects after which the garbage collector checks the youngest ones; Python's default is 700."""

SWITCH_AFTER = 0.001
"""The seconds after which the event loop's thread gives way to the database's; Python's default is 0.005."""


async def _nothing(_listener: Listener, _rooms: ServedRooms, _store: Database) -> None:
    """Do nothing."""


class Surroundings(NamedTuple):
    """What the daemon runs in: a process of its own, or that of a test."""

    stop: asyncio.Event
    """Set when the daemon is to stop."""
    hung_up: asyncio.Event
    """Set when the configuration is to be reloaded."""
    environ: Mapping[str, str] = {}
    """Names the socket of systemd, if there is one."""
    use: Callable[[Config], None] = lambda _config: None
    """Applies the settings that concern the whole process, at each reload."""
    started: Callable[[Listener, ServedRooms, Database], Awaitable[None]] = _nothing
    """Called when the daemon serves."""


async def run(
    config: Config,
    read: Callable[[], Config],
    clock: Clock,
    inherited: Sequence[socket.socket],
    counters: Counters,
    around: Surroundings,
) -> None:
    """Serve until `around.stop` is set. Whenever `around.hung_up` is set, reload the configuration.

    `read` reads it again. `inherited` are listening sockets in place of those of the configuration. Nothing here
    concerns the process as a whole, so several can run in one. Raises `ConfigError`, `StoreError`, `StorageFailed` and
    `AddressUnavailable` when the start fails.
    """
    # Check the whole configuration before the store creates a database, so that a wrong one creates no file.
    check_files(config)
    if config.cluster.nats:
        await _check_addresses(config, inherited)
    opened = await _open_rooms(config, clock, counters, around.stop)
    rooms, ids = opened.rooms, opened.ids
    store, events, old_rows, people, progress = opened.storage
    notifier = Notifier(around.environ)
    admin: AdminServer | None = None
    metrics: MetricsServer | None = None
    try:
        parts = make_parts(config)
        feed = Feed(events if config.events.enabled else None)
        if not config.events.enabled:
            await events.renew_log_id()  # what happens from now on is in no log: nobody reads on as if it were
        await feed.open()
        opened.follow(feed)
        keys_of_addresses = address_keys(await store.address_secret())
        services = Services(
            rooms, store, parts.keys, parts.policy, clock, ids, config.limits, parts.ice, parts.own_key, store,
            keys_of_addresses, counters, feed,
        )  # fmt: skip
        listener = Listener(config, services, rooms)
        retention = Retention(old_rows, events, rooms, clock, lambda: _keep(reloader.config), counters)
        rooms.when_deleted(retention.wake)
        webhooks = Webhooks(feed, progress, clock, counters, ids.new_id, random.random, opened.duties)
        await webhooks.open(parts.endpoints)

        def use(new: Config) -> None:
            around.use(new)
            retention.wake()

        reloader = Reloader(
            read, parts, services, rooms, listener, use, webhooks, began=notifier.reloading, ended=notifier.ready
        )
        forgetter = Forgetter(people, rooms, feed.rewritten)
        exporter = Exporter(Sources(config, rooms, listener, counters, webhooks, opened.peers))
        local = {
            **operations(config, rooms, listener, reloader.reload, counters, clock, forgetter),
            **activity_operations(ActivityView(rooms, listener, counters, clock)),
            **metrics_operations(exporter),
            **webhook_operations(webhooks),
        }
        admin = AdminServer(opened.spread(local, webhooks.names))
        await _open_admin(admin, config)
        metrics = MetricsServer(exporter)
        await metrics.open(metrics_address(config.metrics))
        await listener.open(inherited)
        reloading = asyncio.create_task(reloader.reload_when(around.hung_up), name="reload on SIGHUP")
        for address in listener.addresses:
            log.info("listening", {**_fields(address), "path": config.server.path})
        await around.started(listener, rooms, store)
        notifier.ready()
        deleting = asyncio.create_task(opened.duties.perform(RETENTION, retention.run), name="delete what is old")
        watch = OutageWatch(opened.outage, listener.note_outage, listener.send_away, clock)
        watching = asyncio.create_task(watch.run(), name="watch the database")
        reporting = asyncio.create_task(notifier.report(lambda: _status(rooms, listener), store.answers))
        await around.stop.wait()
        notifier.stopping()
        await webhooks.close()
        feed.stop()
        for task in (reloading, reporting, deleting, watching):
            task.cancel()
        await asyncio.gather(reloading, reporting, deleting, watching, return_exceptions=True)
        await listener.close()
        await admin.close()  # nobody reloads any more
        await reloader.close()
    finally:
        notifier.close()
        if metrics is not None:
            metrics.close()
        if admin is not None:
            await admin.close()
        await opened.close()
    if opened.failure is not None:
        raise opened.failure
    log.info("stopped")


async def _open_rooms(config: Config, clock: Clock, counters: Counters, stop: asyncio.Event) -> "Running":
    """Open the database, and what serves its rooms: the hub, or a node of a cluster.

    A node sets `stop` when another one has its name. Raises `ConfigError`, `StoreError` and `StorageFailed`.
    """
    if config.cluster.nats:
        from roomd.node import open_as_node  # a daemon that is alone imports nothing of it

        return await open_as_node(config, rules(config), clock, encode_frame, counters, stop.set)
    return await open_alone(config, rules(config), clock, encode_frame, counters)


async def _check_addresses(config: Config, inherited: Sequence[socket.socket]) -> None:
    """Check that a node can listen, before it takes its name from the process that has it.

    A node that is started twice on a machine would otherwise end the one that serves, and then itself. Raises
    `AddressUnavailable`.
    """
    admin, sockets = AdminServer({}), OpenSockets(asyncio.Protocol)
    try:
        await _open_admin(admin, config)
        if not inherited:
            await sockets.open(listen_addresses(config.server), 0o600)
    finally:
        sockets.close()
        await admin.close()


async def _open_admin(admin: AdminServer, config: Config) -> None:
    """Open the admin interface. Raises `AddressUnavailable` where its socket cannot be now.

    The folder of `database.path`, where it is unless `admin.socket` is set, may be missing: PostgreSQL needs no file.
    """
    path = admin_socket(config)
    try:
        if config.admin.socket is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        await admin.open(path)
    except OSError as exc:
        raise AddressUnavailable(f"admin.socket: {path}: {exc.strerror}") from None


def _keep(config: Config) -> Keep:
    """Return how long things are kept."""
    ages = config.retention
    return Keep(seconds_in(config.events.keep), *map(seconds_or_never, (ages.messages, ages.stays, ages.rooms)))


def _fields(address: ListenAddress) -> dict[str, str | int]:
    """Return how the log names an address."""
    if isinstance(address, TcpAddress):
        return {"host": address.host, "port": address.port}
    return {"socket": address.path}


def _status(rooms: ServedRooms, listener: Listener) -> str:
    """Return the status line of `systemctl status`."""
    return f"{rooms.statistics()['rooms']} rooms, {len(listener.connections)} connected"


def serve(
    read: Callable[[], Config],
    demo: Sequence[str] | None,
    clock: Clock | None = None,
    inherited: Sequence[socket.socket] = (),
) -> int:
    """Run the daemon and return the exit code. `read` reads its configuration. `clock` replaces the machine's clock.

    `inherited` are the sockets that it listens on, if they are open already. `demo` is like that of `_run_as_process`.

    The exit code is 0 after an orderly stop; 1 when it cannot start now, for a reason that may pass (the address or the
    database is in use, storage fails) or by a fault; 2 when the configuration is wrong.
    """
    try:
        config = read()
    except ConfigError as exc:
        return _report_failure(str(exc), is_lasting=True)
    os.umask(0o077)  # other users must not read the database, its log and the secret
    _write_no_core_dump()
    clock = clock or Clock()
    counters = Counters(clock.wall())
    limits = [
        log_lines.LineLimit(NOISE, NOISE_A_SECOND, NOISE_AT_ONCE, counters),
        log_lines.LineLimit(JOINS, JOINS_A_SECOND, JOINS_AT_ONCE, counters),
    ]
    log_lines.set_up(config.server.log_level, counters, limits=limits)
    _set_up_process(config)
    _tune_garbage_collector()
    _tune_threads()
    try:
        uvloop.run(_run_as_process(config, read, demo, clock, inherited, counters))
    except (ConfigError, StoreError, AddressUnavailable) as exc:
        return _report_failure(str(exc), is_lasting=not isinstance(exc, (StoreBusy, AddressUnavailable)))
    except StorageFailed as exc:
        return _report_failure(
            f"{database_name(config.database)}: cannot be read or written: {exc.__cause__}", is_lasting=exc.is_lasting
        )
    except Exception as exc:  # the edge of the process: the log has the traceback, in one line and as an error
        log.critical("ended by a fault", {"error": type(exc).__name__}, exc_info=exc)
        return _report_failure(f"ended by a fault, which the log shows: {type(exc).__name__}", is_lasting=False)
    return 0


async def _run_as_process(
    config: Config,
    read: Callable[[], Config],
    demo: Sequence[str] | None,
    clock: Clock,
    inherited: Sequence[socket.socket],
    counters: Counters,
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal, a second later or more, ends the process at once.

    SIGHUP reloads the configuration. Unless `demo` is None, the demo room is created and printed; it has
    the options with which other commands find this daemon.
    """

    async def started(listener: Listener, rooms: ServedRooms, store: Database) -> None:
        if demo is not None:
            await show_demo(config, demo, listener.url, rooms, store, clock.wall())

    stop, hung_up = asyncio.Event(), asyncio.Event()
    stop_on_signal(stop)
    set_on_hangup(hung_up)
    try:
        around = Surroundings(stop, hung_up, os.environ, _set_up_process, started)
        await run(config, read, clock, inherited, counters, around)
    finally:
        ignore_hangup()


def _report_failure(why: str, *, is_lasting: bool) -> int:
    """Print the reason of a failed start, after the lines of the log, and return the exit code."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    print(log_lines.error_text(f"roomd: {why}", sys.stderr), file=sys.stderr)
    return MISCONFIGURED if is_lasting else RETRY_LATER


def _set_up_process(config: Config) -> None:
    """Apply the settings that concern the whole process, at the start and at each reload."""
    log_lines.set_level(config.server.log_level)
    _raise_file_limit(config.limits.connections)


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


def _tune_threads() -> None:
    """Let the thread of the database run as soon as it has something to do.

    A commit needs the interpreter some twenty times for microseconds. While the event loop has more to do than it can,
    it waits each time for as long as `sys.getswitchinterval` says. The figures are in
    docs/decisions/0031-threads-switch-within-a-millisecond.md.
    """
    sys.setswitchinterval(SWITCH_AFTER)
