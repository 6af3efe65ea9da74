"""Log lines: for people on a terminal, JSON elsewhere. Ids only, never names, tokens or frame bodies."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from roomd.clock import stamp


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
    """Writes lines together that come together: once a turn of the event loop, and at once outside of it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        self._lines.append(self.format(record))
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no loop in this thread
                self.flush()

    def flush(self) -> None:
        """Write the lines that were taken."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()


def set_up(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger's lines to `stream`."""
    logging.basicConfig(level=level.upper(), handlers=[Lines(stream)], force=True)
    # websockets tells of every connection on its own; roomd's lines say the same with its ids.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    # What no line shows need not be found out for each (the logging documentation's "Optimization").
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile"):
        setattr(logging, name, None)
