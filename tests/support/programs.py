"""The programs of examples/, which the how-to pages show."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from roomd.testing import Daemon

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGES = EXAMPLES.parent / "docs" / "how-to"
if str(EXAMPLES) not in sys.path:
    sys.path.append(str(EXAMPLES))  # programs import each other, as in one folder


def program(name: str) -> ModuleType:
    """Import a program, and run nothing of it."""
    return importlib.import_module(name)


def code_of_room(daemon: Daemon, host: str = "alice", **settings: object) -> str:
    """Create a room of this user's, and return its code."""
    roomd = program("service_account").Roomd(daemon.http_url, lambda: daemon.token(host))
    return str(roomd.ask("create-room", **settings)["room"]["code"])
