"""Keeping the seat, so that a program that is started again takes it back."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec


class KeptSeat(msgspec.Struct, frozen=True, rename="camel"):
    """What takes a seat, or a place in the queue, back."""

    code: str
    """The room's code, as it was given to `join`."""
    participant_id: str
    resume_token: str
    """Whoever has it has the seat."""


class SeatStore(Protocol):
    """Where a seat is kept. A program may have its own; the methods must not wait for long, and raise nothing."""

    def load(self) -> KeptSeat | None:
        """Return the seat that was kept; None when there is none."""

    def save(self, seat: KeptSeat) -> None:
        """Keep a seat in place of the one before."""

    def forget(self) -> None:
        """Keep nothing: the seat is gone."""


class SeatFile:
    """Keeps a seat in a file that only its owner can read. One program at a time may use it.

    A file that cannot be read or written keeps nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> KeptSeat | None:
        """Return the seat in the file; None when there is none, or the file has something else."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=KeptSeat)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return None

    def save(self, seat: KeptSeat) -> None:
        """Write the file anew. A crash in the middle leaves the one before."""
        new = self._path.with_name(f"{self._path.name}.new")
        with suppress(OSError):
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(seat))
            new.replace(self._path)

    def forget(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
