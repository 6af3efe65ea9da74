"""The processes of the readers: started, killed by SIGKILL and started again."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.support.forking import start
from tests.support.processes import PATIENCE, Process, end
from tests.support.readers.record import Given, read_record


class ReaderProcess:
    """A reader that keeps its record in `folder`. `command` are arguments of an interpreter, without the record."""

    def __init__(self, name: str, folder: Path, command: Sequence[str], *, may_repeat: bool) -> None:
        self.name = name
        self.may_repeat = may_repeat
        """Whether an event may come again. A reader that asks for events is given none twice."""
        self.kills = 0
        """How often it was killed."""
        self.wrong: list[str] = []
        """How it ended by itself, which it must not."""
        self._record = folder / f"{name}.record"
        self._output = folder / f"{name}.output"
        self._command = [*command, str(self._record)]
        self._process: Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it."""
        with self._output.open("ab") as output:
            self._process = start(self._command, dict(os.environ), output.fileno())

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.kills += 1
        self.close()

    def close(self) -> None:
        """End it, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            end(process)
            if process.wait(PATIENCE) != -signal.SIGKILL:
                self.wrong.append(f"{self.name} ended by itself: {self._output.read_text()[-2000:]}")

    def has(self, key: str) -> bool:
        """Return whether it has kept the event with this id."""
        is_there = (
            self._record.exists() and key.encode() in self._record.read_bytes()
        )  # reading costs less than parsing
        return is_there and any(one.is_kept and one.event["id"] == key for one in self.given())

    def size(self) -> int:
        """Return the bytes of the record."""
        return self._record.stat().st_size if self._record.exists() else 0

    def given(self) -> list[Given]:
        """Return the record."""
        return read_record(self._record)
