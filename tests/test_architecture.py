"""The house's plan as a table: who may import whom. Imports run one way, shell → rules → words."""

import ast
from pathlib import Path

import roomd

PACKAGE = Path(roomd.__file__).parent

WORDS = {"objects", "errors", "frames", "codec", "config", "names", "asyncapi"}
RULES = {"commands", "settings", "state", "room", "tokens", "limits", "session", "turn"}

MAY_IMPORT: dict[str, set[str]] = {
    # words
    "errors": set(),
    "objects": set(),
    "frames": {"objects"},
    "names": set(),
    "config": set(),
    "codec": {"errors", "frames"},
    "asyncapi": {"errors", "frames"},
    # rules: no clock, no randomness, no I/O
    "commands": {"errors", "frames", "objects"},
    "settings": {"commands", "errors", "names", "objects"},
    "state": {"commands", "objects"},
    "room": {"commands", "errors", "frames", "objects", "settings", "state"},
    "tokens": {"errors", "names"},
    "limits": set(),
    "session": {"commands", "errors", "names", "objects", "tokens"},
    "turn": {"objects"},
    # shell
    "clock": {"commands"},
    "ids": set(),
    "log": {"clock"},
    "jwks": {"errors", "tokens"},
    "keys": {"config", "jwks", "tokens", "turn"},
    "rows": {"commands", "objects"},
    "store": {"commands", "config", "objects", "rows", "state"},
    "outbox": {"errors"},
    "delivery": {"codec", "commands", "errors", "frames", "objects", "outbox", "room", "state"},
    "hub": {"clock", "commands", "delivery", "errors", "ids", "objects", "room", "settings", "store"},
    "desk": {
        "clock", "codec", "commands", "config", "errors", "frames", "hub", "ids", "keys", "limits", "outbox", "session",
        "store", "tokens", "turn",
    },
    "requests": {
        "clock", "codec", "commands", "desk", "errors", "frames", "ids", "names", "objects", "outbox", "room",
        "store", "turn",
    },
    "connection": {"codec", "desk", "door", "errors", "frames", "hub", "limits", "outbox", "requests", "store"},
    "door": {"outbox"},
    "site": {"asyncapi", "config", "door"},
    "server": {"config", "connection", "door", "errors", "frames", "desk", "site"},
    "demo": {"commands", "config", "hub", "keys", "store", "tokens"},
    # a library of its own: it shares the words with the daemon, and nothing else
    "client": {"errors", "frames", "objects"},
    # the clients of a load test: nothing of the daemon
    "load": set(),
    # the command line is a client, and knows the words and how to mint a token, not the daemon
    "cli": {"client", "config", "errors", "frames", "keys", "load", "names", "objects", "tokens"},
    # the only place that names the concrete parts
    "daemon": {
        "clock", "config", "demo", "desk", "hub", "ids", "keys", "log", "server", "settings", "store",
    },
    "__main__": {"cli", "config", "daemon"},
}  # fmt: skip

IMPURE = {"asyncio", "time", "random", "secrets", "os", "socket", "sqlite3", "threading", "logging", "uuid", "pathlib"}


def part_of(file: Path) -> str:
    """Name the room of the house a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Every module a file imports, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the plan"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_as_the_plan_says() -> None:
    """Every arrow between parts stands in the table, and the table has no arrow that is not there."""
    arrows: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        part = part_of(file)
        if part != "__init__":
            targets = {name.split(".")[1] for name in imports(file) if name.startswith("roomd.")}
            arrows.setdefault(part, set()).update(targets - {part, "__version__"})
    assert arrows == MAY_IMPORT


def test_words_and_rules_are_pure() -> None:
    """Time, ids and keys come in as arguments: no clock, no randomness, no I/O, no async."""
    for part in WORDS | RULES:
        file = PACKAGE / f"{part}.py"
        allowed = {"pathlib"} if part == "config" else set()  # config reads its one file
        used = {name.split(".")[0] for name in imports(file)}
        assert not used & (IMPURE - allowed), part
        assert not any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(ast.parse(file.read_text()))), part
