"""The SQL that notes which tickets were used."""

import sqlite3

MOST_USED = 100_000
"""The used tickets that are known at the same time. An issuer gives out fewer in ten minutes."""


def use(db: sqlite3.Connection, key: str, valid_until: float, now: float) -> bool | None:
    """Note that a ticket was used. Return False when it was used before, None when too many are known.

    Raises `sqlite3.Error`.
    """
    db.execute("DELETE FROM used_tickets WHERE valid_until < ?", (now,))
    if db.execute("SELECT count(*) FROM used_tickets").fetchone()[0] >= MOST_USED:
        return None
    return db.execute("INSERT OR IGNORE INTO used_tickets VALUES (?, ?)", (key, valid_until)).rowcount == 1
