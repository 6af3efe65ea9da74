"""Log lines: for people on a terminal, JSON elsewhere. Ids only, never names, tokens or frame bodies."""

import logging
import sys
from typing import Any, TextIO

import msgspec

from roomd.clock import stamp

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Collect what was passed as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


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


def set_up(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger's lines to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # websockets tells of every connection on its own; roomd's lines say the same with its ids.
    logging.getLogger("websockets").setLevel(logging.WARNING)
