"""Pages of messages read what they return, however much others wrote: by the plan, and by the steps of SQLite."""

import sqlite3
from collections.abc import Iterator

import pytest

from roomd.rooms.answers import Reader
from roomd.storage.migrations import schema
from roomd.storage.reading import MOST_SCANNED, messages_query, read_messages

OTHERS = 20_000
"""The messages of one kind that lie between those of a reader."""
INSERT = "INSERT INTO messages (room_id, id, participant_id, user_id, display_name, text, sent_at, to_id, to_user_id) "

READERS = {
    "a guest": Reader("r", "g1", None),
    "a user": Reader("r", "p1", "alice"),
    "a host without a seat": Reader("r", None, "alice"),
    "a guest who reads only their own": Reader("r", "g1", None, "", sees_public=False),
    "a user who reads only their own": Reader("r", "p1", "alice", "", sees_public=False),
}


def add(db: sqlite3.Connection, ids: range, sender: tuple[str, str | None], to: tuple[str | None, str | None]) -> None:
    """Add messages with these numbers from one participant, with a user id or without, to another or to everyone."""
    rows = [("r", f"{number:024x}", *sender, "N", "t", "s", *to) for number in ids]
    db.executemany(f"{INSERT} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    """A room in which others wrote much: to themselves, to each other, and one of them to everyone."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.executescript(schema())
    made.execute("PRAGMA foreign_keys = OFF")
    everyone = (None, None)
    add(made, range(OTHERS), ("p9", "eve"), ("p9", "eve"))
    add(made, range(OTHERS, 2 * OTHERS), ("g9", None), ("p9", "eve"))
    add(made, range(2 * OTHERS, 3 * OTHERS), ("p9", "eve"), everyone)
    add(made, range(3 * OTHERS, 3 * OTHERS + 3), ("g1", None), ("p1", "alice"))
    add(made, range(3 * OTHERS + 3, 3 * OTHERS + 6), ("p1", "alice"), ("p1", "alice"))
    add(made, range(3 * OTHERS + 6, 3 * OTHERS + 9), ("g1", None), everyone)
    yield made
    made.close()


def steps_of(db: sqlite3.Connection, reader: Reader, cursor: str | None, limit: int) -> tuple[int, list[str]]:
    """Return how many steps of SQLite's machine a page takes, in hundreds, and the ids in it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 100)
    rows, *_ = read_messages(db, reader, cursor, limit)
    db.set_progress_handler(None, 0)
    return steps, [str(row[1]) for row in rows]


@pytest.mark.parametrize("reader", [READERS[name] for name in READERS if "only" not in name])
def test_a_page_reads_what_it_returns(db: sqlite3.Connection, reader: Reader) -> None:
    """One message behind tens of thousands of others' costs no more than one at the beginning."""
    for limit in (1, 5):
        steps, ids = steps_of(db, reader, None, limit)
        assert len(ids) == limit
        assert steps <= 10 + 3 * limit
    steps, ids = steps_of(db, reader, f"{3 * OTHERS - 1:024x}", 200)
    assert steps <= 30
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(("name", "count"), [("a guest", 6), ("a user", 6)])
def test_the_cursor_moves_past_what_is_not_the_readers(db: sqlite3.Connection, name: str, count: int) -> None:
    """Who sees only their own gets short pages, each of bounded cost, until all of it was read."""
    reader, cursor, found = READERS[f"{name} who reads only their own"], None, list[str]()
    for _ in range(OTHERS // MOST_SCANNED + 2):
        steps, _ = steps_of(db, reader, cursor, 101)
        assert steps <= MOST_SCANNED
        rows, cursor, read = read_messages(db, reader, cursor, 101)
        assert read == len(rows) + (MOST_SCANNED if cursor else (OTHERS + 3) % MOST_SCANNED)
        found += [str(row[1]) for row in rows]
        if cursor is None:
            break
    assert cursor is None
    assert len(found) == len(set(found)) == count
    assert found == sorted(found)


def test_the_steps_of_a_large_page_are_in_proportion(db: sqlite3.Connection) -> None:
    """The measure works: a page of thousands takes thousands of steps."""
    steps, ids = steps_of(db, READERS["a user"], None, 5000)
    assert len(ids) == 5000
    assert steps > 500


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_every_part_has_an_index(db: sqlite3.Connection, reader: Reader) -> None:
    """The parts are merged as the indexes have them: nothing is sorted, and no table is scanned."""
    values = {"room": "r", "reader": "gg1", "after": "", "until": "g", "limit": 100}
    plan = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {messages_query(reader)}", values)]
    searches = [line for line in plan if line.startswith("SEARCH")]
    assert searches == [
        "SEARCH messages USING PRIMARY KEY (room_id=? AND id=?)",
        "SEARCH messages USING INDEX public_messages (room_id=? AND id>? AND id<?)",
        "SEARCH messages USING INDEX messages_from (room_id=? AND sender=? AND id>? AND id<?)",
        "SEARCH messages USING INDEX messages_to (room_id=? AND recipient=? AND id>? AND id<?)",
    ]
    assert not [line for line in plan if "TEMP B-TREE" in line or line.startswith("SCAN messages")]


def test_a_guest_is_not_a_user(db: sqlite3.Connection) -> None:
    """A user whose id is that of a guest reads nothing of the guest's."""
    assert steps_of(db, Reader("r", "p2", "g1", "", sees_public=False), None, 100)[1] == []
    assert steps_of(db, Reader("r", "alice", None, "", sees_public=False), None, 100)[1] == []
    assert steps_of(db, Reader("r", None, None, "", sees_public=False), None, 100)[1] == []
