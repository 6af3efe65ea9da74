"""Log lines, as whoever runs roomd reads them."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from roomd import log
from tests.fakes import START


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root, websockets = logging.getLogger(), logging.getLogger("websockets")
    names = ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile")
    before = {name: getattr(logging, name, None) for name in names}
    handlers, level, quiet = root.handlers[:], root.level, websockets.level
    root.handlers = []  # force=True would close pytest's own
    yield
    root.handlers = handlers
    root.setLevel(level)
    websockets.setLevel(quiet)
    for name, value in before.items():
        setattr(logging, name, value)


def write(stream: io.StringIO, level: str = "info") -> str:
    """Log one line of each kind."""
    log.set_up(level, stream)
    logger = logging.getLogger("roomd.test")
    logger.debug("seen only when asked for")
    logger.info("joined", {"connection": 7, "room": "r1"})
    logger.info("plain %s", "text")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed", {"error": "ValueError"})
    return stream.getvalue()


def test_json_lines_off_a_terminal() -> None:
    """One JSON object a line: time, level, logger, event, and the fields."""
    joined, plain, failed = (json.loads(line) for line in write(io.StringIO()).splitlines())
    assert joined.pop("time").endswith("Z")
    assert joined == {"level": "info", "logger": "roomd.test", "event": "joined", "connection": 7, "room": "r1"}
    assert plain["event"] == "plain text"
    assert (failed["level"], failed["error"]) == ("error", "ValueError")
    assert "ValueError: why" in failed["traceback"]


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


async def test_lines_of_one_turn_are_written_together() -> None:
    """On a loop, lines wait for the end of its turn, and no longer."""
    stream = io.StringIO()
    assert write(stream) == ""
    await asyncio.sleep(0)
    assert len(stream.getvalue().splitlines()) == 3


def test_times_are_the_wire_s() -> None:
    """ISO 8601 in UTC with milliseconds."""
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": START})
    assert log.TextFormatter().format(record) == "2026-03-03T10:35:00.000Z info    x"
