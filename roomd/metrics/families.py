"""Every metric: its name, its kind, what it says, its labels, and where its figures come from.

docs/reference/metrics.md is generated from this table. No label has a value that a client makes up, so the number of
series has a bound.
"""

import importlib.metadata
import platform
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from roomd import __version__
from roomd.config import Config
from roomd.counters import Counters, Histogram
from roomd.engine.peers import Peers
from roomd.engine.ports import RoomFigures, Rooms
from roomd.eventlog.webhooks.service import Webhooks
from roomd.gateway.listener import Listener
from roomd.limits.allowances import LIMITS, Limit
from roomd.limits.applied import ACTIONS
from roomd.limits.ledger import Use
from roomd.protocol import errors
from roomd.protocol.errors import Close, ErrorKind
from roomd.protocol.requests import BY_HTTP
from roomd.storage.space import free_bytes
from roomd.system.memory import resident

REASONS = (
    "busy", "readonly", "io", "corrupt", "full", "cannot_open", "unreachable", "denied", "constraint", "tickets",
    "other",
)  # fmt: skip
"""Why the database fails; `storage` names them."""
RESULTS = ("delivered", "refused", "failed")
"""What comes of an attempt to deliver an event: 2xx, another status, or no response."""
REST = "other"
"""The value of a label for what has no value of its own."""
LIBRARY_CLOSES = frozenset({1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011})
"""The close codes of RFC 6455 that the library sends, and those of clients that close in order or not at all."""
CLOSES = LIBRARY_CLOSES | {code for name, code in vars(Close).items() if name.isupper()}
"""The close codes that have a series of their own. A client can choose any."""


class Sources(NamedTuple):
    """Where figures come from."""

    config: Config
    """The configuration."""
    rooms: Rooms
    """All rooms."""
    listener: Listener
    """The listening port."""
    counters: Counters
    """What was counted."""
    webhooks: Webhooks
    """The endpoints of webhooks."""
    peers: Peers | None = None
    """The nodes of the cluster; None for a daemon that is alone."""


class Snapshot(NamedTuple):
    """The sources, and what is read once for one answer."""

    sources: Sources
    """The sources."""
    rooms: list[RoomFigures]
    """The rooms in use."""
    sizes: dict[str, int]
    """The bytes of the database and of its log, and those that are free."""

    @property
    def counters(self) -> Counters:
        """What was counted."""
        return self.sources.counters


Figures = Mapping[tuple[str, ...], float]
"""Figures by the values of the labels."""


class Family(NamedTuple):
    """One metric."""

    name: str
    """Its name; that of a counter ends with `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    """What it is (prometheus.io/docs/concepts/metric_types)."""
    help: str
    """What it says."""
    read: Callable[[Snapshot], Figures | Histogram]
    """Returns its figures now."""
    labels: tuple[str, ...] = ()
    """The names of its labels."""


def take_snapshot(sources: Sources) -> Snapshot:
    """Read what several metrics need, once."""
    database = sources.config.database
    sizes = database_sizes(Path(database.path)) if database.url is None else {}
    return Snapshot(sources, list(sources.rooms.in_use()), sizes)


@cache
def versions() -> dict[str, str]:
    """Return the versions of roomd and of what it runs on."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "websockets": importlib.metadata.version("websockets"),
        "sqlite": sqlite3.sqlite_version,
    }


def limit_series(key: str, holder: str) -> str:
    """Return the series that counts how often a limit of the table applied."""
    return f'roomd_limited_total{{limit="{key}",holder="{holder}"}}'


def database_sizes(path: Path) -> dict[str, int]:
    """Return the bytes of the database and of its log, and those that are free beside them; 0 for what is not there."""
    try:
        free = free_bytes(path)
    except OSError:
        free = 0
    return {"database": _size(path), "wal": _size(Path(f"{path.resolve()}-wal")), "free": free}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _one(value: float) -> Figures:
    return {(): value}


@cache
def _error_codes() -> list[str]:
    return sorted({kind.code for kind in vars(errors).values() if isinstance(kind, ErrorKind)})


def _closes(snapshot: Snapshot) -> Figures:
    figures: dict[tuple[str, ...], float] = dict.fromkeys(((str(code),) for code in sorted(CLOSES)), 0)
    figures[(REST,)] = 0
    for code, count in snapshot.counters.closes.items():
        figures[(str(code) if code in CLOSES else REST,)] += count
    return figures


def _api(snapshot: Snapshot) -> Figures:
    figures: dict[tuple[str, ...], float] = dict.fromkeys(((_tag(kind), "200") for kind in BY_HTTP), 0)
    figures["events", "200"] = 0
    for (kind, status), count in snapshot.counters.api.items():
        figures[kind, str(status)] = count
    return figures


def _seats(snapshot: Snapshot) -> Figures:
    members, held = sum(room.members for room in snapshot.rooms), sum(room.held for room in snapshot.rooms)
    return {("connected",): members, ("held",): held}


def _results(results: Mapping[str, int]) -> Figures:
    return {(result,): results.get(result, 0) for result in {"seated": 0, "waiting": 0, **results}}


def _limited(snapshot: Snapshot) -> Figures:
    counted = snapshot.counters.limited
    return {
        (row.key, row.holder, action): counted.get((row.holder, row.use, action), 0)
        for row in LIMITS
        for action in ACTIONS
        if action in _actions(row)
    }


def _actions(row: Limit) -> Iterable[str]:
    """Return what is done to who is over a limit."""
    if row.use is Use.ARRIVALS:
        return ("slowed",)
    if row.key == "told":  # who comes back to a seat is slowed for the state of the room
        return ("slowed", "refused")
    return ("refused",) if row.use in (Use.TOLD, Use.STORED, Use.READ) else ACTIONS


def _deliveries(snapshot: Snapshot) -> Figures:
    counted = snapshot.counters.webhooks
    return {
        (endpoint, result): counted.get((endpoint, result), 0)
        for endpoint in snapshot.sources.webhooks.names()
        for result in RESULTS
    }


def _disk(name: str) -> Callable[[Snapshot], Figures]:
    """Return how a figure of the file is read. A database in PostgreSQL has no file here, and no such figures."""
    return lambda snapshot: _one(snapshot.sizes[name]) if name in snapshot.sizes else {}


Families = tuple[Family, ...]

FAMILIES: Families = (
    Family("roomd_build_info", "gauge", "The versions of roomd, Python, websockets and SQLite; always 1.",
           lambda _: {tuple(versions().values()): 1}, tuple(versions())),
    Family("roomd_start_time_seconds", "gauge", "When the daemon started, in seconds since the epoch.",
           lambda snapshot: _one(snapshot.counters.started_at)),
    Family("roomd_memory_bytes", "gauge", "The bytes of the process that are in memory.", lambda _: _one(resident())),
    Family("roomd_cpu_seconds_total", "counter", "The seconds of processor time that the process has used.",
           lambda _: _one(time.process_time())),
    Family("roomd_connections", "gauge", "The open WebSockets.",
           lambda snapshot: _one(len(snapshot.sources.listener.connections))),
    Family("roomd_connections_limit", "gauge", "The most connections, `limits.connections`.",
           lambda snapshot: _one(snapshot.sources.listener.limit)),
    Family("roomd_strangers", "gauge",
           "The connections without a seat and a token, those for a plain HTTP request included.",
           lambda snapshot: _one(snapshot.sources.listener.strangers)),
    Family("roomd_slow_clients", "gauge", "The open WebSockets that read so slowly that they get no events.",
           lambda snapshot: _one(sum(one.socket.is_full for one in snapshot.sources.listener.connections))),
    Family("roomd_connections_opened_total", "counter", "The WebSockets that were opened.",
           lambda snapshot: _one(snapshot.counters.opened)),
    Family("roomd_closes_total", "counter",
           "The WebSockets that have ended, by the code of the first close frame; 1006 without one, "
           f"`{REST}` for a code that a client made up.",
           _closes, ("code",)),
    Family("roomd_rooms", "gauge", "The rooms in which somebody has a seat or waits for one.",
           lambda snapshot: _one(len(snapshot.rooms))),
    Family("roomd_seats", "gauge", "The seats: `connected`, or `held` for somebody whose connection was lost.",
           _seats, ("state",)),
    Family("roomd_waiting", "gauge", "The people who wait for a seat or for the host.",
           lambda snapshot: _one(sum(room.waiting for room in snapshot.rooms))),
    Family("roomd_draining", "gauge", "1 while newcomers are refused: `roomd drain`, or the daemon stops.",
           lambda snapshot: _one(int(snapshot.sources.rooms.is_draining))),
    Family("roomd_requests_total", "counter", "The requests, refused ones included, by type.",
           lambda snapshot: {(_tag(kind),): count for kind, count in snapshot.counters.requests.items()}, ("type",)),
    Family("roomd_api_requests_total", "counter", "The requests of the server API, by type and status of the response.",
           _api, ("type", "status")),
    Family("roomd_refusals_total", "counter", "The `error` replies, by code.",
           lambda snapshot: {(code,): snapshot.counters.refusals.get(code, 0) for code in _error_codes()}, ("code",)),
    Family("roomd_joins_total", "counter", "The results of `join-room`: `seated`, `waiting`, or the code of the error.",
           lambda snapshot: _results(snapshot.counters.joins), ("result",)),
    Family("roomd_resumes_total", "counter", "The same of `resume`.",
           lambda snapshot: _results(snapshot.counters.resumes), ("result",)),
    Family("roomd_limited_total", "counter",
           "How often a limit applied, by its key, its holder, and what was done: `slowed`, `refused` or `closed`.",
           _limited, ("limit", "holder", "action")),
    Family("roomd_memory_aborts_total", "counter",
           "The connections that were aborted because all together held more than `limits.memory`.",
           lambda snapshot: _one(snapshot.counters.memory_aborts)),
    Family("roomd_received_bytes_total", "counter", "The bytes of frames received by WebSocket.",
           lambda snapshot: _one(snapshot.counters.received)),
    Family("roomd_sent_bytes_total", "counter", "The bytes of frames written to WebSockets.",
           lambda snapshot: _one(snapshot.sources.listener.bytes_sent())),
    Family("roomd_batch_commands", "histogram", "The commands of a room that were served together.",
           lambda snapshot: snapshot.counters.batches),
    Family("roomd_commit_seconds", "histogram",
           "The seconds of a transaction that stored changes, with the wait for the database thread.",
           lambda snapshot: snapshot.counters.commits),
    Family("roomd_commit_changes", "histogram", "The changes that were stored by a transaction.",
           lambda snapshot: snapshot.counters.changes),
    Family("roomd_storage_failures_total", "counter",
           "The failures of the database, by reason: that of the code of SQLite or PostgreSQL; `tickets` where too "
           "many are known.",
           lambda snapshot: {(reason,): snapshot.counters.storage_failures.get(reason, 0) for reason in REASONS},
           ("reason",)),
    Family("roomd_database_bytes", "gauge", "The size of the database file.", _disk("database")),
    Family("roomd_wal_bytes", "gauge", "The size of its write-ahead log.", _disk("wal")),
    Family("roomd_disk_free_bytes", "gauge", "The bytes that the daemon can still write to their file system.",
           _disk("free")),
    Family("roomd_disk_reserve_bytes", "gauge",
           "Below so many free bytes new rooms and messages are refused, `database.reserve`.",
           lambda snapshot: _one(snapshot.sources.config.database.reserve) if snapshot.sizes else {}),
    Family("roomd_webhook_deliveries_total", "counter",
           "The attempts to deliver an event, by endpoint and result: `delivered`, `refused` with a status other than "
           "2xx, or `failed` without a response.",
           _deliveries, ("endpoint", "result")),
    Family("roomd_webhook_backlog_events", "gauge", "The events behind the position of an endpoint.",
           lambda snapshot: {(name,): lag.events for name, lag in snapshot.sources.webhooks.lags().items()},
           ("endpoint",)),
    Family("roomd_webhook_backlog_seconds", "gauge", "The age of the oldest of them.",
           lambda snapshot: {(name,): lag.seconds for name, lag in snapshot.sources.webhooks.lags().items()},
           ("endpoint",)),
    Family("roomd_webhook_lost_total", "counter",
           "The events that were deleted before an endpoint got them, because they were older than `events.keep`.",
           lambda snapshot: {(name,): snapshot.counters.webhooks_lost.get(name, 0)
                             for name in snapshot.sources.webhooks.names()},
           ("endpoint",)),
    Family("roomd_loop_lag_seconds", "histogram",
           "The seconds by which a timer of the event loop was late. It is measured about once a second.",
           lambda snapshot: snapshot.counters.lag),
    Family("roomd_log_lines_dropped_total", "counter",
           "The log lines that were left out: too many of one event (`limit`), or not written in time (`not_written`).",
           lambda snapshot: {(why,): snapshot.counters.lines_dropped.get(why, 0) for why in ("limit", "not_written")},
           ("reason",)),
    Family("roomd_config_reloads_total", "counter", "How often the configuration was read again, by the result.",
           lambda snapshot: {(_success(ok),): count for ok, count in snapshot.counters.reloads.items()}, ("result",)),
    Family("roomd_config_last_reload_successful", "gauge",
           "1 when the configuration was taken the last time it was read, 0 when it was refused.",
           lambda snapshot: _one(int(snapshot.counters.reload_succeeded))),
    Family("roomd_config_last_reload_success_timestamp_seconds", "gauge",
           "When the configuration was last taken, at the start or at a reload.",
           lambda snapshot: _one(snapshot.counters.reloaded_at)),
)  # fmt: skip
"""Every metric, in the order of the output."""


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _success(succeeded: bool) -> str:
    return "success" if succeeded else "failure"
