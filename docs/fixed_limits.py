"""What has a fixed size, for docs/reference/limits.md: each figure comes from the code."""

from typing import NamedTuple

from roomd.config import Config, settings
from roomd.daemon import JOINS_A_SECOND, JOINS_AT_ONCE, NOISE_A_SECOND, NOISE_AT_ONCE
from roomd.gateway.event_readers import MOST_READERS
from roomd.gateway.fragments import FRAGMENT_LIMIT
from roomd.gateway.http.reading import HEAD_LIMIT
from roomd.gateway.listener import CLOSING_ALLOWED, HANDSHAKE_TIMEOUT, READ_TIMEOUT
from roomd.limits.ledgers import CAPACITY
from roomd.protocol.errors import Close
from roomd.rooms.commands.banning import MOST_BANS

_DEFAULTS = {f"{setting.section}.{setting.key}": setting.default for setting in settings()}


class FixedLimit(NamedTuple):
    """One row of the table."""

    what: str
    """What has a fixed size."""
    most: str
    """That size, as a text."""
    key: str
    """The setting; empty without one."""
    metric: str
    """The series that shows it, or what happened beyond it; empty without one."""
    then: str
    """What happens beyond it."""


def _size(size: int) -> str:
    """Write a number of bytes."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _default(key: str) -> str:
    """Write the default of a setting in bytes."""
    return _size(_DEFAULTS[key])


def _closes(code: int) -> str:
    return f'roomd_closes_total{{code="{code}"}}'


def _refusals(code: str) -> str:
    return f'roomd_refusals_total{{code="{code}"}}'


FIXED = (
    FixedLimit(
        "connections, with those whose handshake is not complete", f"{Config().limits.connections:,}",
        "limits.connections", "roomd_connections",
        "the address with the most connections without a seat and a verified token loses its oldest, close 1013; only "
        "where there is none, the new one is closed with 1013",
    ),
    FixedLimit(
        "connections without a seat and a verified token, with those whose handshake is not complete, and those whose "
        "client has left", "half of the connections", "", "roomd_strangers",
        "the address with the most of them loses its oldest, close 1013",
    ),
    FixedLimit(
        "connections that are closing", f"a tenth of the connections, and {CLOSING_ALLOWED}", "", "",
        "the oldest is cut off for each new connection",
    ),
    FixedLimit(
        "connections by HTTP that read the event log, of one user", f"{MOST_READERS:,}", "", _refusals("rate_limited"),
        "429 `rate_limited`; they are free again when they end",
    ),
    FixedLimit("request line and header of a handshake", _size(HEAD_LIMIT), "", "", "431"),
    FixedLimit("time for them", f"{HANDSHAKE_TIMEOUT:.0f} s", "", "", "the connection is closed"),
    FixedLimit("a frame", _default("limits.frame"), "limits.frame", _closes(1009), "close 1009"),
    FixedLimit(
        "frames of a message", f"{FRAGMENT_LIMIT:,}", "", _closes(1009),
        "close 1009; every fourth counts as a request",
    ),
    FixedLimit(
        "unread bytes of a client", _default("limits.outbox"), "limits.outbox", "roomd_slow_clients",
        "events are left out, and a new `room-state` follows; close 4408 for who reads nothing for "
        f"{READ_TIMEOUT:.0f} s",
    ),
    FixedLimit(
        "unfinished and unread bytes of all", _default("limits.memory"), "limits.memory", "roomd_memory_aborts_total",
        "of the clients with more than an equal share, those with the most are disconnected; first those without a "
        "seat and a token",
    ),
    FixedLimit(
        "time without a request before the first join", f"{Config().limits.join_timeout:.0f} s", "limits.join_timeout",
        _closes(Close.TOO_SLOW), "close 4408",
    ),
    FixedLimit(
        "messages of a room in the database", _default("limits.room_bytes"), "limits.room_bytes",
        _refusals("storage_low"), "507 `storage_low`",
    ),
    FixedLimit("bans of a room", f"{MOST_BANS:,}", "", _refusals("storage_low"), "507 `storage_low`"),
    FixedLimit(
        "free space", _default("database.reserve"), "database.reserve", "roomd_disk_free_bytes",
        "new rooms and messages get 507 `storage_low`",
    ),
    FixedLimit(
        "accounts of each kind that nobody uses", f"{CAPACITY:,}", "", "",
        "those with the smallest debts are forgotten",
    ),
    FixedLimit(
        "log lines of each event that anybody can cause", f"{NOISE_AT_ONCE:,} at once, {NOISE_A_SECOND:.0f} a second; "
        f"of joins and waits {JOINS_AT_ONCE:,} and {JOINS_A_SECOND:.0f}",
        "", 'roomd_log_lines_dropped_total{reason="limit"}',
        "left out; the next line has their number as `left_out`",
    ),
)  # fmt: skip
"""What has a fixed size."""
