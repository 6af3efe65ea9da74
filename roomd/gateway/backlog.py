"""The clients that have sent more than is parsed at once. They share a bounded part of each turn of the event loop.

Without a bound for all of them, each of many such clients would be parsed in every turn, and everybody else would wait
for all of them again and again: a reply needs several turns.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

SHARE = 0.002
"""The seconds of a turn of the event loop after which no other client of the backlog is parsed in it."""


class Reader(Hashable, Protocol):
    """A client of the backlog."""

    def read_on(self) -> None:
        """Parse more of what was received, at most some milliseconds' worth."""


class Backlog:
    """Clients whose received bytes were not all parsed yet. They are parsed in the order in which they came.

    `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readers: OrderedDict[Reader, None] = OrderedDict()
        self._is_due = False  # whether the next turn parses

    def add(self, reader: Reader) -> None:
        """Parse a client in one of the next turns. Adding it twice is fine."""
        self._readers[reader] = None
        self._continue()

    def _continue(self) -> None:
        if self._readers and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._parse)

    def _parse(self) -> None:
        """Parse those who waited before this turn, or the first of them while there is time."""
        self._is_due = False
        ends = self._clock() + SHARE
        try:
            for _ in range(len(self._readers)):
                reader, _ = self._readers.popitem(last=False)
                reader.read_on()
                if self._clock() >= ends:
                    break
        finally:
            self._continue()
