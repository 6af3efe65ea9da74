"""The record of one reader: a file with a line for each event that it was given.

A line is how the event was served, in the words of `tests.support.receiver`, a space, and the event as JSON, which has
its id and its position. A reader that is killed reads its own file, cuts off a last line that is torn, and goes on from
the position in the line before.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.receiver import ANSWERS, OK


class Given(NamedTuple):
    """One line."""

    how: str
    """How the event was served."""
    event: dict[str, Any]
    """The event."""

    @property
    def is_kept(self) -> bool:
        """Whether the reader took the event. Otherwise it refused it."""
        return self.how not in ANSWERS


class Record:
    """The file of a running reader. Only one process may have it open."""

    def __init__(self, path: Path) -> None:
        self.position: str | None = None
        """The position of the last event; None without one."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        if last := whole[:end].splitlines()[-1:]:
            self.position = _parse(last[0]).event["position"]

    def add(self, events: Sequence[bytes], how: str = OK) -> None:
        """Store events, durably when this returns."""
        if not events:
            return
        left = memoryview(b"".join(b"%b %b\n" % (how.encode(), event) for event in events))
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)
        self.position = json.loads(events[-1])["position"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def read_record(path: Path) -> list[Given]:
    """Return what a reader was given, in its order, without a torn last line."""
    if not path.exists():
        return []
    whole = path.read_bytes()
    return [_parse(line) for line in whole[: whole.rfind(b"\n") + 1].splitlines()]


def _parse(line: bytes) -> Given:
    how, _, text = line.partition(b" ")
    return Given(how.decode(), json.loads(text))
