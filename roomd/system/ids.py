"""Random ids, room codes, claims and resume tokens, from the operating system."""

import os

from roomd.protocol.text import SHORTEST_CODE, join_code

_POOL = 4096
"""The random bytes that are read at once. A system call for each id would take most of the time."""

_CEILING = 0xF0 << 88
"""The smallest number that is ignored as an id to sort after. Later ids could need a 25th digit, and would not sort."""


class Ids:
    """Generate ids, codes, claims and secrets. It implements `ports.Ids`.

    `code_groups` is the number of groups of three letters in a room code.
    """

    def __init__(self, code_groups: int = SHORTEST_CODE) -> None:
        self.code_groups = code_groups
        """The number of groups of three letters in a new code."""
        self._pool = b""
        self._used = 0
        self._last = 0

    def new_id(self, wall: float, above: str = "") -> str:
        """Return an id: 24 hexadecimal digits, half of them the time, half of them random.

        `wall` is in seconds since the epoch. The id sorts after every earlier one and after `above`, another id or
        empty; a text that is not such an id is ignored.
        """
        fresh = int(wall * 1000) << 48 | int.from_bytes(self._draw(6))
        if fresh <= self._last:  # the same millisecond, or the clock was set back
            fresh = self._last + 1 + int.from_bytes(self._draw(3))
        identifier = f"{fresh:024x}"
        if identifier <= above and (last := _number(above)) >= fresh:  # the clock was ahead before this run
            fresh = last + 1 + int.from_bytes(self._draw(3))
            identifier = f"{fresh:024x}"
        self._last = fresh
        return identifier

    def new_code(self) -> str:
        """Return a room code like `xxx-xxx-xxx`: one of 26**9 or more, so that it cannot be guessed."""
        number = int.from_bytes(self._draw(16))  # 128 bits, so all codes have nearly the same probability
        return join_code("".join(chr(ord("a") + number // 26**place % 26) for place in range(3 * self.code_groups)))

    def new_claim(self) -> int:
        """Return a claim: 64 random bits, so that no two are the same, also after a restart."""
        return int.from_bytes(self._draw(8))

    def of_run(self, number: int) -> int:
        """Return a number that this process counts, as rooms know it: here as it is."""
        return number

    def new_secret(self) -> str:
        """Return the secret of a resume token: 128 random bits, in hexadecimal."""
        return self._draw(16).hex()

    def _draw(self, size: int) -> bytes:
        start, self._used = self._used, self._used + size
        if self._used > len(self._pool):
            self._pool, start, self._used = os.urandom(_POOL), 0, size
        return self._pool[start : self._used]


def _number(identifier: str) -> int:
    """Read an identifier as a number; 0 for one that was put into the database by other means."""
    try:
        number = int(identifier, 16) if len(identifier) == 24 else 0
    except ValueError:
        return 0
    return number if number < _CEILING else 0
