"""Log lines: for people on a terminal, JSON elsewhere. Ids only, never names, tokens or frame bodies."""

import asyncio
import logging
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from roomd.protocol.timestamps import stamp

GATHER = 0.05
"""Seconds that lines gather before they are written together."""
MOST_UNWRITTEN = 10_000
"""Lines that may wait for a stalled reader; more are dropped."""
FLUSH_TIMEOUT = 1.0
"""Seconds that the end of the process waits for its last lines to be written."""


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """Read a line's fields: roomd passes them as the one mapping argument, `log.info("joined", {"room": …})`."""
    return record.args if isinstance(record.args, dict) else {}


class Record(logging.LogRecord):
    """A line to come. Of what the standard record finds out for each, only what is shown."""

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
    """A logger that does not look for the line of code that logs, which would take as long as all the rest."""

    def findCaller(self, *_: object, **__: object) -> tuple[str, int, str, str | None]:  # noqa: N802 - logging's name
        """Find nothing."""
        return "", 0, "", None


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Put the record's time, level, logger, event and fields into JSON."""
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


class TextFormatter(logging.Formatter):
    """One line for people: time, level, event, then the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Put the record into one readable line, and a traceback under it if there is one."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{stamp(record.created)} {record.levelname.lower():7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Lines(logging.Handler):
    """Writes lines from a thread of its own, a few times a second.

    A reader of the log who stalls or goes away, or a full disk under it, holds up nothing: lines that cannot be written
    are dropped, and counted in the next line that can.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._records: list[logging.LogRecord] = []
        self._batches: queue.SimpleQueue[list[logging.LogRecord]] = queue.SimpleQueue()
        self._unwritten = 0
        self._dropped = 0
        self._written = threading.Condition()
        self.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
        threading.Thread(target=self._write_batches, name="log", daemon=True).start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a line; on an event loop, hand it to the thread together with those that follow soon.

        A join writes one, so this is short: no lock, which appending does not need, and no words yet.
        """
        self._records.append(record)
        if len(self._records) == 1:
            try:
                asyncio.get_running_loop().call_later(GATHER, self._hand_over)
            except RuntimeError:  # no loop in this thread
                self._hand_over()
        return True

    def flush(self) -> None:
        """Wait until every line is written, at most `FLUSH_TIMEOUT` seconds."""
        self._hand_over()
        with self._written:
            self._written.wait_for(lambda: self._unwritten == 0, FLUSH_TIMEOUT)

    def _hand_over(self) -> None:
        with self._written:
            records, self._records = self._records, []
            if self._unwritten + len(records) > MOST_UNWRITTEN:
                self._dropped += len(records)
                return
            self._unwritten += len(records)
        self._batches.put(records)

    def _write_batches(self) -> None:
        while True:
            records = self._batches.get()
            dropped = self._dropped
            report = [_report(dropped)] if dropped else []
            try:
                self._stream.write("".join(f"{self._line(record)}\n" for record in records + report))
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads, or nothing more fits
                self._dropped += len(records)
            else:
                self._dropped -= dropped
            with self._written:
                self._unwritten -= len(records)
                self._written.notify_all()

    def _line(self, record: logging.LogRecord) -> str:
        """Put a line into words; one that cannot be must not end the thread."""
        try:
            return self.format(record)
        except Exception as exc:  # noqa: BLE001 - whatever its arguments do
            return self.format(Record(record.name, logging.ERROR, "", 0, "unprintable line", ({"error": exc},), None))


def _report(dropped: int) -> logging.LogRecord:
    return Record(__name__, logging.WARNING, "", 0, "lines dropped", ({"lines": dropped},), None)


def set_up(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger's lines to `stream`."""
    logging.setLogRecordFactory(Record)
    logging.basicConfig(level=level.upper(), handlers=[Lines(stream)], force=True)
    # The libraries tell of every connection and statement; roomd's lines say what is to be known, with its ids.
    for library in ("websockets", "aiosqlite", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # What no line shows need not be found out for each (the logging documentation's "Optimization").
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, name, None)
