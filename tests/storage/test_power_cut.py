"""After a power cut every acknowledged transaction is there whole, and none is there in part.

A real store writes; its files are copied after each transaction, cut between two of them, and opened as a daemon does.
"""

import itertools
import random
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.rooms.changes import Banned, Change, MessagesDeleted, RoomChanged, RoomDeleted, SeatChanged, Unbanned
from roomd.rooms.event_log import reference
from roomd.rooms.model import PersonKey, Seat
from roomd.storage import upkeep
from roomd.storage.checking import check
from roomd.storage.opening import open_store
from roomd.storage.upkeep import StoredRows
from tests.support.databases import opened
from tests.support.processes import IS_NIGHTLY
from tests.support.rooms import user_ban
from tests.support.stored import JANE, LATER, OTHER, ROOM, InRoom, said
from tests.support.torn import Image, Recorder, changed_sectors, cuts, torn, torn_wal, with_sectors

TRIES = 64 if IS_NIGHTLY else 1
"""The cuts of each kind between two transactions."""
HASH = "0" * 64


def person(number: int, *, is_active: bool = True, left_at: str | None = None, room: str = ROOM.id) -> SeatChanged:
    """Somebody's seat as it was taken, dropped or left."""
    one = msgspec.structs.replace(
        JANE, id=f"a{number}", room_id=room, is_active=is_active and left_at is None, left_at=left_at
    )
    return SeatChanged(Seat(one, HASH, None, None if one.is_active else LATER))


def written(number: int) -> list[Change | InRoom]:
    """Return the changes of one transaction: some are small, some are of many pages."""
    ban = user_ban("eve")
    texts = [said(100 * number + n, "x" * 1500 * (number % 4), by=(f"a{number % 5}", None)) for n in range(number % 7)]
    changes: dict[int, list[Change | InRoom]] = {
        0: [person(number), *texts],
        1: [person(number - 1, is_active=False), *texts],
        2: [person(number), Banned(PersonKey("user", "eve"), ban), *texts],
        3: [person(number - 1, left_at=LATER), Unbanned(PersonKey("user", "eve"), ban.id)],
    }
    return changes[number % 4]


async def record(path: Path, synchronous: Any = "FULL") -> list[Image]:
    """Let a store write, with checkpoints, deletions and a file that shrinks; copy its files after each transaction."""
    store = await open_store(DatabaseConfig(path=str(path), synchronous=synchronous))
    rows, joined = StoredRows(store), LoggedParticipantJoined(LATER, reference(ROOM), JANE)
    await store.maintain(lambda db: db.execute("PRAGMA wal_autocheckpoint = 30").fetchall())
    await store.append(ROOM.id, [RoomChanged(ROOM), *(person(number) for number in range(5))])
    await store.append(OTHER.id, [RoomChanged(OTHER), person(9, room=OTHER.id)])
    recorder = Recorder(path)
    images = [recorder.image()]
    for number in range(28):
        changes = [one.change if isinstance(one, InRoom) else one for one in written(number)]
        await store.append(ROOM.id, changes, [joined] * (number % 3))
        images.append(recorder.image())
    await store.append(ROOM.id, [MessagesDeleted("m002000", 7)])
    images.append(recorder.image())
    await rows.delete_stays("2027", None)
    images.append(recorder.image())
    await rows.checkpoint()
    images.append(recorder.image())
    while await rows.shrink():
        images.append(recorder.image())
    await store.append(OTHER.id, [person(9, room=OTHER.id, left_at=LATER), RoomDeleted(OTHER)])
    images.append(recorder.image())
    while await rows.purge():
        images.append(recorder.image())
    await store.close()
    recorder.close()
    return images


def dump(path: Path) -> list[str]:
    with opened(path) as db:
        return list(db.iterdump())


async def opened_again(path: Path, image: Image) -> list[str]:
    """Open what is left as a daemon does, and return what is in it. What must hold of it holds."""
    image.write(path)
    await (await open_store(DatabaseConfig(path=str(path)))).close()
    assert check(path).problems == []
    return dump(path)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FREE_PAGES", 2)
    monkeypatch.setattr(upkeep, "FREEING", 0.0)


async def test_a_power_cut_at_any_point(tmp_path: Path) -> None:
    """The database is as it was after the last acknowledged transaction, or after the one that was being written."""
    images, rng = await record(tmp_path / "roomd.db"), random.Random(1)
    copy = tmp_path / "copy.db"
    states = [await opened_again(copy, image) for image in images]
    assert len({len(image.database) for image in images}) > 2, "checkpoints, and a file that grows and shrinks"
    found = [0, 0]
    for before, after, old, new in zip(images, images[1:], states, states[1:], strict=False):
        for cut in cuts(before, after, TRIES, rng):
            state = await opened_again(copy, cut)
            assert state in (old, new)
            found[state == new] += 1
    assert min(found) > len(images), found


async def test_without_syncs_of_each_commit(tmp_path: Path) -> None:
    """With `synchronous = "NORMAL"` the last commits may be undone, each whole."""
    images, rng = await record(tmp_path / "roomd.db", "NORMAL"), random.Random(2)
    copy = tmp_path / "copy.db"
    states = [await opened_again(copy, image) for image in images]
    begin = max(number for number, image in enumerate(images) if image.database != images[number - 1].database)
    for wal in torn_wal(images[begin].wal, images[-1].wal, 8 * TRIES, rng):
        assert await opened_again(copy, Image(images[begin].database, wal)) in states[begin:]


async def test_what_is_lost_is_noticed(tmp_path: Path) -> None:
    """The test itself: where sectors of an acknowledged transaction are missing, its state is not found."""
    images = await record(tmp_path / "roomd.db")
    copy = tmp_path / "copy.db"
    lost = 0
    for before, after in itertools.pairwise(images):
        sectors = changed_sectors(before.wal, after.wal)
        if before.database == after.database and sectors:  # the first sector of an acknowledged transaction is lost
            rest = Image(after.database, with_sectors(before.wal, after.wal, sectors[1:]))
            lost += await opened_again(copy, rest) != await opened_again(copy, after)
    assert lost > 10


def test_half_a_transaction_would_be_found(tmp_path: Path) -> None:
    """The test itself: SQLite without a journal leaves half of what was written, and the integrity check sees it."""
    path = tmp_path / "bare.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode = OFF; CREATE TABLE t (a PRIMARY KEY, b); CREATE INDEX i ON t (b)")
    before = path.read_bytes()
    db.execute("INSERT INTO t SELECT value, value FROM json_each(json_array(1, 2, 3, 4, 5, 6, 7))")
    db.close()
    after, broken = path.read_bytes(), 0
    for content in torn(before, after, 20, random.Random(3)):
        path.write_bytes(content)
        with opened(path) as again:
            try:
                rows = again.execute("SELECT count(*) FROM t").fetchone()[0]
                broken += rows not in (0, 7) or again.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
            except sqlite3.DatabaseError:
                broken += 1
    assert broken
