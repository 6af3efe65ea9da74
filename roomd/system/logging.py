"""Logging: text on a terminal, JSON elsewhere; for the journal of systemd, JSON with priorities.

Lines contain ids, never names, tokens or bodies of frames.
"""

import asyncio
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from roomd.counters import Counters
from roomd.protocol.timestamps import stamp

WRITE_INTERVAL = 0.05
"""The seconds for which lines are collected before they are written together."""
MOST_UNWRITTEN = 10_000
"""The number of lines that may wait to be written; more are dropped."""
LIMIT, NOT_WRITTEN = "limit", "not_written"
"""Why lines are dropped: there were too many of one event, or they could not be written in time."""
FLUSH_TIMEOUT = 1.0
"""The seconds that `flush` waits for the last lines to be written."""
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""The least severe level for each priority of syslog(3)."""
_DEBUG = 7
"""The priority of what is less severe than all of these."""


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the fields of a record. They are passed as one mapping: `log.info("joined", {"room": …})`."""
    return record.args if isinstance(record.args, dict) else {}


class Record(logging.LogRecord):
    """A log record with only those attributes of the standard record that are shown."""

    def __init__(
        self,
        name: str,
        level: int,
        _pathname: str,
        _lineno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        _func: str | None = None,
        sinfo: str | None = None,
    ) -> None:
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = msg
        self.args = args[0] if args and isinstance(args[0], dict) else args
        self.exc_info = exc_info
        self.exc_text = None
        self.stack_info = sinfo
        self.created = time.time()


class EventLogger(logging.Logger):
    """A logger that does not look up the line of code that logs. The lookup takes half of the time of logging."""

    def info(self, msg: object, *args: object, **options: Any) -> None:
        """Log what happened: each join and each leave has such a line, so it takes the shortest way."""
        if options:
            super().info(msg, *args, **options)
        elif self.isEnabledFor(logging.INFO):
            self.handle(Record(self.name, logging.INFO, "", 0, msg, args, None))

    def findCaller(self, *_: object, **__: object) -> tuple[str, int, str, str | None]:  # noqa: N802 - logging's name
        """Return an unknown place in the code."""
        return "", 0, "", None


class JsonFormatter(logging.Formatter):
    """Format each record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's time, level, logger, event, fields and traceback as one line of JSON."""
        line: dict[str, Any] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class JournalFormatter(JsonFormatter):
    """Format each record as one JSON object after its priority, which the journal takes off (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the priority and the line of JSON."""
        return f"{_priority(record.levelno)}{super().format(record)}"


class TextFormatter(logging.Formatter):
    """Format each record as a line for people: time, level, event, then the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, followed by the traceback if there is one."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{stamp(record.created)} {record.levelname.lower():7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class LogHandler(logging.Handler):
    """Write log lines on a thread, several times a second.

    A blocked or closed stream, or a full disk, does not delay the daemon. Lines that cannot be written are dropped, and
    their number is logged with the next lines that can. `limits` leave out lines; they run on the thread.
    """

    def __init__(self, stream: TextIO, counters: Counters, limits: Sequence["LineLimit"] = ()) -> None:
        super().__init__()
        self._counters = counters
        self._limits = limits
        self._stream = stream
        self._records: list[logging.LogRecord] = []
        self._batches: queue.SimpleQueue[list[logging.LogRecord]] = queue.SimpleQueue()
        self._unwritten = 0
        self._dropped = 0
        self._written = threading.Condition()
        self.setFormatter(_formatter(stream))
        threading.Thread(target=self._write_batches, name="log", daemon=True).start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep a record for the thread. On an event loop, several records are given to the thread together.

        This runs for each join, so it takes no lock (`append` needs none) and does not format the record.
        """
        self._records.append(record)
        if len(self._records) == 1:
            try:
                asyncio.get_running_loop().call_later(WRITE_INTERVAL, self._hand_over)
            except RuntimeError:  # no loop in this thread
                self._hand_over()
        return True

    def flush(self) -> None:
        """Wait until every line is written, for at most `FLUSH_TIMEOUT` seconds."""
        self._hand_over()
        with self._written:
            self._written.wait_for(lambda: self._unwritten == 0, FLUSH_TIMEOUT)

    def _hand_over(self) -> None:
        with self._written:
            records, self._records = self._records, []
            if self._unwritten + len(records) > MOST_UNWRITTEN:
                self._drop(len(records))
                return
            self._unwritten += len(records)
        self._batches.put(records)

    def _write_batches(self) -> None:
        while True:
            given = self._batches.get()
            records = [record for record in given if all(limit.filter(record) for limit in self._limits)]
            dropped = self._dropped
            report = [_report(dropped)] if dropped else []
            try:
                self._stream.write("".join(f"{self._line(record)}\n" for record in records + report))
                self._stream.flush()
            except (OSError, ValueError):  # the stream is closed, or the disk is full
                self._drop(len(records))
            else:
                self._dropped -= dropped
            with self._written:
                self._unwritten -= len(given)
                self._written.notify_all()

    def _drop(self, lines: int) -> None:
        self._dropped += lines
        self._counters.lines_dropped[NOT_WRITTEN] += lines

    def _line(self, record: logging.LogRecord) -> str:
        """Format a record. A record that cannot be formatted must not end the thread."""
        try:
            return self.format(record)
        except Exception as exc:  # noqa: BLE001 - the edge of the thread: the arguments may raise anything
            return self.format(Record(record.name, logging.ERROR, "", 0, "cannot format line", ({"error": exc},), None))


class LineLimit(logging.Filter):
    """Leave out lines of some events when there are too many: anybody who connects can cause these.

    For each of `events` there are at most `burst` lines at once, and `rate` a second after that. The next line has the
    number of those before it that were left out, as `left_out`. `clock` returns seconds.
    """

    def __init__(
        self,
        events: Iterable[str],
        rate: float,
        burst: int,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._counters = counters
        self._lines = dict.fromkeys(events, (0.0, 0.0, 0))  # the lines counted, the time of that, those left out

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written."""
        found = self._lines.get(str(record.msg))
        if found is None:
            return True
        counted, at, left_out = found
        now = self._clock()
        counted = max(0.0, counted - (now - at) * self._rate)
        if counted + 1 > self._burst:
            self._lines[str(record.msg)] = (counted, now, left_out + 1)
            self._counters.lines_dropped[LIMIT] += 1
            return False
        self._lines[str(record.msg)] = (counted + 1, now, 0)
        if left_out:
            record.args = {**_fields(record), "left_out": left_out}
        return True


def _report(dropped: int) -> logging.LogRecord:
    return Record(__name__, logging.WARNING, "", 0, "lines dropped", ({"lines": dropped},), None)


def is_journal(stream: TextIO) -> bool:
    """Return whether the journal reads a stream: JOURNAL_STREAM has its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is no file, or closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def error_text(text: str, stream: TextIO) -> str:
    """Return the text of an error for people as `stream` gets it: for the journal each line has its priority."""
    if not is_journal(stream):
        return text
    return "\n".join(f"{_priority(logging.ERROR)}{line}" for line in text.splitlines())


def _priority(level: int) -> str:
    """Return the priority of a level, in the form of sd-daemon(3)."""
    return f"<{next((number for least, number in _PRIORITIES if level >= least), _DEBUG)}>"


def _formatter(stream: TextIO) -> logging.Formatter:
    if is_journal(stream):
        return JournalFormatter()
    return TextFormatter() if stream.isatty() else JsonFormatter()


def set_level(level: str) -> None:
    """Write lines from `level` up: `debug`, `info`, `warning` or `error`."""
    logging.getLogger().setLevel(level.upper())


def set_up(level: str, counters: Counters, stream: TextIO = sys.stderr, limits: Sequence[LineLimit] = ()) -> None:
    """Write the lines of all loggers to `stream`, from `level` up: `debug`, `info`, `warning` or `error`.

    `limits` leave out lines of events of which there are too many.
    """
    logging.setLogRecordFactory(Record)
    logging.basicConfig(level=level.upper(), handlers=[LogHandler(stream, counters, limits)], force=True)
    # The libraries log every connection and statement; roomd's own lines have the ids.
    for library in ("websockets", "aiosqlite", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # No line shows these attributes, so they are not computed ("Optimization" in the documentation of logging).
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, name, None)
