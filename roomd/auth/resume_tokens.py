"""Resume tokens: what takes a seat, or a place in a queue, back (docs/protocol.md, section 5)."""

import hashlib
from typing import NamedTuple


class ResumeToken(NamedTuple):
    """A resume token: the place of a seat, and a secret of which roomd stores only a hash."""

    code: str
    """The code of the room."""
    participant_id: str
    """The id of the participant who has the seat."""
    secret: str
    """The secret, as text."""

    def __str__(self) -> str:
        return f"{self.code}.{self.participant_id}.{self.secret}"

    @classmethod
    def parse(cls, text: str) -> "ResumeToken | None":
        """Parse a token; None if the text is none. The parts are not checked."""
        parts = text.split(".")
        return cls(*parts) if len(parts) == 3 else None


_EMPTY = hashlib.sha256()  # a copy of it takes half of the time of a new one, for which OpenSSL looks up the algorithm


def hash_secret(secret: str) -> str:
    """Return the hash that is stored of a secret: its SHA-256, in hexadecimal."""
    digest = _EMPTY.copy()
    digest.update(secret.encode())
    return digest.hexdigest()
