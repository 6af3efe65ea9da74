"""Log lines: for people on a terminal, JSON elsewhere. Ids only, never names, tokens or frame bodies."""

import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from roomd.clock import stamp

GATHER = 0.05
"""Seconds that lines gather before they are written together."""
MOST_UNWRITTEN = 10_000
"""Lines that may wait for a stalled reader; more are dropped."""
FLUSH_TIMEOUT = 1.0
"""Seconds that the end of the process waits for its last lines to be written."""


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """Read a line's fields: roomd passes them as the one mapping argument, `log.info("joined", {"room": …})`."""
    return record.args if isinstance(record.args, dict) else {}


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
        self._lines: list[str] = []
        self._batches: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._unwritten = 0
        self._dropped = 0
        self._written = threading.Condition()
        self.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
        threading.Thread(target=self._write_batches, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; on an event loop, hand it to the thread together with those that follow soon."""
        self._lines.append(self.format(record))
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_later(GATHER, self._hand_over)
            except RuntimeError:  # no loop in this thread
                self._hand_over()

    def flush(self) -> None:
        """Wait until every line is written, at most `FLUSH_TIMEOUT` seconds."""
        self._hand_over()
        with self._written:
            self._written.wait_for(lambda: self._unwritten == 0, FLUSH_TIMEOUT)

    def _hand_over(self) -> None:
        with self._written:
            lines, self._lines = self._lines, []
            if self._unwritten + len(lines) > MOST_UNWRITTEN:
                self._dropped += len(lines)
                return
            self._unwritten += len(lines)
        self._batches.put(lines)

    def _write_batches(self) -> None:
        while True:
            lines = self._batches.get()
            dropped = self._dropped
            report = [self._report(dropped)] if dropped else []
            try:
                self._stream.write("".join(f"{line}\n" for line in lines + report))
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads, or nothing more fits
                self._dropped += len(lines)
            else:
                self._dropped -= dropped
            with self._written:
                self._unwritten -= len(lines)
                self._written.notify_all()

    def _report(self, dropped: int) -> str:
        fields = {"name": __name__, "levelname": "WARNING", "msg": "lines dropped", "args": {"lines": dropped}}
        return self.format(logging.makeLogRecord(fields))


def set_up(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger's lines to `stream`."""
    logging.basicConfig(level=level.upper(), handlers=[Lines(stream)], force=True)
    # The libraries tell of every connection and statement; roomd's lines say what is to be known, with its ids.
    for library in ("websockets", "aiosqlite", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # What no line shows need not be found out for each (the logging documentation's "Optimization").
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile"):
        setattr(logging, name, None)
