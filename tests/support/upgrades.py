"""A database of an earlier schema, as that version's daemon left it, and the resume tokens that people had then."""

import contextlib
import sqlite3
from pathlib import Path

VERSION_2 = Path(__file__).parent.parent / "storage" / "version_2.sql"


def make_version_2(database: Path) -> dict[str, str]:
    """Write the database to a file. Return the resume tokens by name."""
    script = VERSION_2.read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.executescript(script)
    lines = [line.split() for line in script.splitlines() if line.startswith("-- token ")]
    return {name: token for _, _, name, token in lines}
