"""What a disk may have after a power cut: a recorded database, cut between two syncs.

A write that was synced is there. Of the writes after the last sync any sectors may be there, in any order.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
"""The bytes that a disk writes whole, or not at all."""
HEADER = 32
"""The bytes of the header of a write-ahead log (sqlite.org/fileformat2.html#the_write_ahead_log)."""


class Image(NamedTuple):
    """The two files of a database at one moment."""

    database: bytes
    wal: bytes

    def write(self, path: Path) -> None:
        """Put the files into place, and remove what is there."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(self.database)
        path.chmod(0o600)
        if self.wal:
            Path(f"{path}-wal").write_bytes(self.wal)


class Recorder:
    """Copies the files of an open database. Its descriptors stay open: closing one would release SQLite's locks."""

    def __init__(self, path: Path) -> None:
        self._files = [os.open(f"{path}{suffix}", os.O_RDONLY) for suffix in ("", "-wal")]

    def image(self) -> Image:
        """Copy both files."""
        return Image(*(os.pread(file, os.fstat(file).st_size, 0) for file in self._files))

    def close(self) -> None:
        for file in self._files:
            os.close(file)


def changed_sectors(before: bytes, after: bytes) -> list[int]:
    """Return the offsets of the sectors in which two contents of a file differ."""
    return [
        start
        for start in range(0, len(after), SECTOR)
        if before[start : start + SECTOR] != after[start : start + SECTOR]
    ]


def with_sectors(before: bytes, after: bytes, written: list[int], last: int = SECTOR) -> bytes:
    """Return the old content with some sectors of the new one; of the last in the list only the first bytes."""
    content = bytearray(before)
    for index, start in enumerate(written):
        new = after[start : start + (last if index == len(written) - 1 else SECTOR)]
        if len(content) < start:
            content.extend(bytes(start - len(content)))  # a hole in the file
        content[start : start + len(new)] = new
    return bytes(content)


def torn(before: bytes, after: bytes, tries: int, rng: random.Random) -> Iterator[bytes]:
    """Yield what a file may be when its writes from one content to another were cut.

    First the beginnings of the writes, in their order: whole sectors, and a sector that is cut inside. Then any
    sectors, since a disk writes them in any order. With more than `tries` of either kind, so many of them are chosen.
    """
    sectors = changed_sectors(before, after)
    beginnings = range(len(sectors) + 1)
    for count in beginnings if len(beginnings) <= tries else sorted(rng.sample(beginnings, tries)):
        yield with_sectors(before, after, sectors[:count])
        if count:
            yield with_sectors(before, after, sectors[:count], rng.randrange(1, SECTOR))
    for _ in range(tries if len(sectors) > 1 else 0):
        some = [start for start in sectors if rng.random() < rng.choice((0.1, 0.5, 0.9))]
        rng.shuffle(some)
        yield with_sectors(before, after, some)
    if len(after) < len(before):
        yield before[: len(after)]


def torn_wal(before: bytes, after: bytes, tries: int, rng: random.Random) -> Iterator[bytes]:
    """Yield what a write-ahead log may be when its writes from one content to another were cut.

    A log that begins anew has a new header. SQLite syncs it before it writes what follows, since the frames of before
    are valid as long as the old header is there, and older than the database (sqlite.org/src/info/ff5be73dee).
    """
    header = after[:HEADER]
    if header != before[:HEADER]:
        for length in range(HEADER):
            yield header[:length] + before[length:]
    yield from torn(header + before[HEADER:], after, tries, rng)


def cuts(before: Image, after: Image, tries: int, rng: random.Random) -> Iterator[Image]:
    """Yield what may be left when the power fails between two acknowledged transactions.

    The write-ahead log is written and synced first. Only after that a checkpoint writes to the database.
    """
    for wal in torn_wal(before.wal, after.wal, tries, rng):
        yield Image(before.database, wal)
    if before.database != after.database:
        for database in torn(before.database, after.database, tries, rng):
            yield Image(database, after.wal)
