"""Log lines, as whoever runs roomd reads them."""

import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from roomd.counters import Counters
from roomd.system import logging as log
from tests.support.fakes import START
from tests.support.processes import PATIENCE


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root, libraries = logging.getLogger(), [logging.getLogger(name) for name in ("websockets", "aiosqlite", "asyncio")]
    names = ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile")
    before = {name: getattr(logging, name, None) for name in names}
    handlers, level, quiet = root.handlers[:], root.level, [library.level for library in libraries]
    factory = logging.getLogRecordFactory()
    root.handlers = []  # force=True would close pytest's own
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    for library, before_level in zip(libraries, quiet, strict=True):
        library.setLevel(before_level)
    for name, value in before.items():
        setattr(logging, name, value)


def write(stream: io.StringIO, level: str = "info") -> str:
    """Log one line of each kind."""
    log.set_up(level, Counters(), stream)
    logger = logging.getLogger("roomd.test")
    logger.debug("seen only when asked for")
    logger.info("joined", {"connection": 7, "room": "r1"})
    logger.info("plain %s", "text")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed", {"error": "ValueError"})
    written()
    return stream.getvalue()


def written() -> None:
    """Wait until what was logged is written."""
    logging.getLogger().handlers[0].flush()


def test_json_lines_off_a_terminal() -> None:
    """One JSON object a line: time, level, logger, event, and the fields."""
    joined, plain, failed = (json.loads(line) for line in write(io.StringIO()).splitlines())
    assert joined.pop("time").endswith("Z")
    assert joined == {"level": "info", "logger": "roomd.test", "event": "joined", "connection": 7, "room": "r1"}
    assert plain["event"] == "plain text"
    assert (failed["level"], failed["error"]) == ("error", "ValueError")
    assert "ValueError: why" in failed["traceback"]


@pytest.mark.parametrize(
    ("level", "priority"), [("critical", 2), ("error", 3), ("warning", 4), ("info", 6), ("debug", 7)]
)
def test_lines_for_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, priority: int) -> None:
    """Where JOURNAL_STREAM is the stream, the priority stands before the JSON, and a traceback is in the same line."""
    with (tmp_path / "log").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log.set_up("debug", Counters(), stream)
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("roomd.test").log(logging.getLevelName(level.upper()), "failed", exc_info=True)
        written()
        stream.seek(0)
        (line,) = stream.read().splitlines()
    assert line[:3] == f"<{priority}>"
    assert json.loads(line[3:])["level"] == level


def test_readable_lines_on_a_terminal() -> None:
    """Time, level, event, fields; a traceback below its line."""
    lines = write(Terminal()).splitlines()
    assert lines[0].split(maxsplit=1)[1] == "info    joined connection=7 room=r1"
    assert lines[1].endswith("info    plain text")
    assert lines[2].endswith("error   failed error=ValueError")
    assert lines[3].startswith("Traceback")


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("error", 1)])
def test_the_level_decides(level: str, count: int) -> None:
    """What is less severe than the level is not written."""
    assert len(write(io.StringIO(), level).splitlines()) == count


class Troubled(io.StringIO):
    """A stream that somebody may stop reading, or whose disk may be full."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.writing = threading.Event()
        self.is_read = threading.Event()
        self.is_read.set()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writing.set()
        assert self.is_read.wait(PATIENCE)
        if self.full:
            raise OSError("no space left on device")
        self.writes += 1
        return super().write(text)


async def test_lines_gather_on_a_loop() -> None:
    """Lines that come together are written together."""
    stream = Troubled()
    log.set_up("info", Counters(), stream)
    for number in range(100):
        logging.getLogger("roomd.test").info("line", {"number": number})
    assert stream.writes == 0
    written()
    assert (stream.writes, len(stream.getvalue().splitlines())) == (1, 100)


async def test_a_stalled_reader_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit the bound is dropped, and counted in the next line."""
    monkeypatch.setattr(log, "MOST_UNWRITTEN", 5)
    stream, counters = Troubled(), Counters()
    log.set_up("info", counters, stream)
    logger = logging.getLogger("roomd.test")
    handler = cast("log.LogHandler", logging.getLogger().handlers[0])
    stream.is_read.clear()
    logger.info("first")
    handler._hand_over()
    assert stream.writing.wait(PATIENCE)
    for number in range(10):
        logger.info("line", {"number": number})
        handler._hand_over()
    stream.is_read.set()
    written()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [e["event"] for e in events if e["event"] != "lines dropped"] == ["first", *["line"] * 4]
    assert [e["lines"] for e in events if e["event"] == "lines dropped"] == [6]
    assert counters.lines_dropped == {"not_written": 6}


def test_a_full_disk_drops_lines_and_counts_them() -> None:
    """A log that cannot be written costs lines, never the daemon."""
    stream, counters = Troubled(), Counters()
    stream.full = True
    log.set_up("info", counters, stream)
    logger = logging.getLogger("roomd.test")
    for _ in range(3):
        logger.info("lost")
        written()
    stream.full = False
    logger.info("kept")
    written()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(e["event"], e.get("lines")) for e in events] == [("kept", None), ("lines dropped", 3)]
    assert counters.lines_dropped == {"not_written": 3}


def test_times_are_the_wire_s() -> None:
    """ISO 8601 in UTC with milliseconds."""
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": START})
    assert log.TextFormatter().format(record) == "2026-03-03T10:35:00.000Z info    x"


def test_lines_that_anybody_can_cause_are_limited() -> None:
    """At most so many of an event at once, and a few a second; the next line has the number of those left out."""
    now, counters = 0.0, Counters()
    limit = log.LineLimit(["refused"], rate=2, burst=3, counters=counters, clock=lambda: now)
    logger = logging.getLogger("roomd.test")
    stream = io.StringIO()
    log.set_up("info", Counters(), stream, [limit])
    for _ in range(5):
        logger.info("refused", {"connection": 1})
        logger.info("joined", {"connection": 1})
    written()
    now = 1.0
    for _ in range(3):
        logger.info("refused", {"connection": 2})
    written()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("joined") == 5
    refused = [(line["connection"], line.get("left_out")) for line in lines if line["event"] == "refused"]
    assert refused == [(1, None)] * 3 + [(2, 2), (2, None)]
    assert counters.lines_dropped == {"limit": 3}, "the last line too"
