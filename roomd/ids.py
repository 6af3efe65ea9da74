"""Where ids, room codes and resume tokens come from: the operating system's randomness."""

import hashlib
import secrets
import string
from typing import NamedTuple

_LETTERS = string.ascii_lowercase


def new_id(wall: float) -> str:
    """Make an identifier: 24 hexadecimal digits that sort by time to the millisecond, half of them random."""
    return f"{int(wall * 1000):012x}{secrets.token_hex(6)}"


def new_code() -> str:
    """Draw a room code, `xxx-xxx-xxx`: one of 26**9, which nobody guesses."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(9))
    return f"{letters[:3]}-{letters[3:6]}-{letters[6:]}"


class ResumeToken(NamedTuple):
    """What takes a seat back: where it is, and a secret of 128 bits that roomd keeps only as a hash."""

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


def new_secret() -> str:
    """Draw the secret of a resume token."""
    return secrets.token_urlsafe(16)


def hash_secret(secret: str) -> str:
    """Make what is kept of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()
