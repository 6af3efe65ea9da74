"""Where ids, room codes and resume tokens come from: the operating system's randomness."""

import hashlib
import os
from typing import NamedTuple

_POOL = 4096
"""Bytes that are asked of the system at once: a call for each id would cost more than all the rest of it."""


class Ids:
    """Draws ids, codes and secrets."""

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0
        self._last = 0

    def new_id(self, wall: float, above: str = "") -> str:
        """Draw an identifier: 24 hexadecimal digits, half time (`wall`, seconds since the epoch), half random.

        It sorts after every one drawn before, and after `above`, unless that is no identifier of this kind.
        """
        fresh = int(wall * 1000) << 48 | int.from_bytes(self._draw(6))
        last = max(self._last, _number(above)) if above else self._last
        if fresh <= last:  # the same millisecond, or a clock that was set back
            fresh = last + 1 + int.from_bytes(self._draw(3))
        self._last = fresh
        return f"{fresh:024x}"

    def new_code(self) -> str:
        """Draw a room code, `xxx-xxx-xxx`: one of 26**9, which nobody guesses."""
        number = int.from_bytes(self._draw(16))  # 128 bits: the remainder favours no letter that could be noticed
        letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(9))
        return f"{letters[:3]}-{letters[3:6]}-{letters[6:]}"

    def new_claim(self) -> int:
        """Draw a number for one sitting: 64 random bits, so that no two are the same, restarts included."""
        return int.from_bytes(self._draw(8))

    def new_secret(self) -> str:
        """Draw the secret of a resume token: 128 bits."""
        return self._draw(16).hex()

    def _draw(self, size: int) -> bytes:
        start, self._used = self._used, self._used + size
        if self._used > len(self._pool):
            self._pool, start, self._used = os.urandom(_POOL), 0, size
        return self._pool[start : self._used]


def _number(identifier: str) -> int:
    """Read an identifier as a number; 0 for one that was put into the database by other means."""
    try:
        return int(identifier, 16) if len(identifier) == 24 else 0
    except ValueError:
        return 0


class ResumeToken(NamedTuple):
    """What takes a seat back: where it is, and a secret that roomd keeps only as a hash."""

    code: str
    participant_id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.code}.{self.participant_id}.{self.secret}"

    @classmethod
    def parse(cls, text: str) -> "ResumeToken | None":
        """Read a token back; None if it cannot be one."""
        parts = text.split(".")
        return cls(*parts) if len(parts) == 3 else None


def hash_secret(secret: str) -> str:
    """Make what is kept of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()
