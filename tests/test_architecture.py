"""The architecture as a table: which package may import which (docs/explanation/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import roomd

PACKAGE = Path(roomd.__file__).parent

MAY_IMPORT: dict[str, set[str]] = {
    "protocol": set(),
    "config": set(),
    "counters": {"protocol"},
    "rooms": {"protocol"},
    "engine": {"counters", "protocol", "rooms"},
    "eventlog": {"counters", "engine", "protocol"},
    # what stands between the gateway and the engine where several nodes serve the same rooms
    "cluster": {"counters", "engine", "protocol", "rooms", "system"},
    "storage": {"cluster", "config", "counters", "engine", "protocol", "rooms"},
    "system": {"counters", "engine", "protocol"},
    "auth": {"config", "protocol"},
    "limits": {"config", "counters", "protocol"},
    "ice": {"auth", "config", "protocol"},
    "gateway": {"auth", "config", "counters", "engine", "eventlog", "ice", "limits", "protocol", "rooms", "system"},
    "admin": {"config", "counters", "engine", "eventlog", "gateway", "protocol", "system"},
    "metrics": {
        "admin",
        "config",
        "counters",
        "engine",
        "eventlog",
        "gateway",
        "limits",
        "protocol",
        "storage",
        "system",
    },
    "demo": {"auth", "config", "engine", "rooms"},
    # libraries of their own: they share the wire with the daemon, and nothing else
    "client": {"protocol"},
    "load": set(),
    "verify": {"client", "protocol"},
    # a client of the running daemon, which also mints tokens with the local secret, checks the configuration, and works
    # on the database file
    "cli": {"auth", "client", "config", "ice", "load", "protocol", "storage", "system", "verify"},
    # the only place that names the concrete parts
    "daemon": {
        "admin",
        "alone",
        "config",
        "counters",
        "demo",
        "engine",
        "eventlog",
        "gateway",
        "metrics",
        "node",
        "reloading",
        "storage",
        "system",
    },
    # starts the daemon alone
    "alone": {
        "admin",
        "config",
        "counters",
        "engine",
        "eventlog",
        "rooms",
        "storage",
        "system",
    },
    # starts the daemon as one of several nodes
    "node": {"admin", "cluster", "config", "counters", "engine", "eventlog", "protocol", "rooms", "storage"},
    # builds what the settings are made into, and replaces it while the daemon runs
    "reloading": {"auth", "config", "engine", "eventlog", "gateway", "ice", "rooms"},
    # the daemon in the process of a test, and the plugin of pytest that starts it
    "testing": {"auth", "config", "counters", "daemon", "engine", "gateway", "storage", "system"},
    "pytest_plugin": {"testing"},
    "__main__": {"cli", "config", "daemon", "system"},
}

PURE = ("counters", "limits", "protocol", "rooms")
IMPURE_MODULES = {
    "asyncio", "time", "random", "secrets", "os", "socket", "sqlite3", "threading", "logging", "uuid", "pathlib",
}  # fmt: skip

PRIVATE_NAMES = {("storage/worker.py", "_tx"), ("storage/worker.py", "_running"), ("storage/worker.py", "_conn")}
"""The only private names of a dependency: how aiosqlite reaches its thread."""
DOCUMENTED = {"_exit", "_replace"}
"""Names that look private and are not: `os._exit`, and `_replace` of named tuples."""


def files() -> Iterator[tuple[str, str, ast.Module]]:
    """Every module: its package, its path in the package roomd, and what it says."""
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE)
        yield path.parts[0].removesuffix(".py"), path.as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> set[str]:
    """Every module that is imported, in full."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the architecture"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_one_way() -> None:
    """Every import between packages stands in the table, and the table has none that is not there."""
    found: dict[str, set[str]] = {}
    for package, _, tree in files():
        if package != "__init__":
            targets = {name.split(".")[1] for name in imports(tree) if name.startswith("roomd.")}
            found.setdefault(package, set()).update(targets - {package, "__version__"})
    assert found == MAY_IMPORT


def test_the_table_has_no_cycle() -> None:
    """No package imports itself through others."""
    done: set[str] = set()
    while ready := {name for name, needs in MAY_IMPORT.items() if name not in done and needs <= done}:
        done |= ready
    assert done == MAY_IMPORT.keys()


def test_protocol_and_rooms_are_pure() -> None:
    """Time, ids and keys come in as arguments: no clock, no randomness, no I/O, no async."""
    for package, path, tree in files():
        if package in PURE:
            assert not {name.split(".")[0] for name in imports(tree)} & IMPURE_MODULES, path
            assert not any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree)), path


def defined(tree: ast.Module) -> set[str]:
    """Every private name that a module defines: functions, methods, attributes, slots."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Attribute(ctx=ast.Store()):
                names.add(node.attr)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Constant(value=str() as text):
                names.add(text)
    return names


def is_private(name: str) -> bool:
    """Whether a name is one that its owner keeps to itself."""
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def test_no_private_name_of_a_dependency_is_used() -> None:
    """Only documented API of a dependency is used, with the one exception in `PRIVATE_NAMES`."""
    used: set[tuple[str, str]] = set()
    for _, path, tree in files():
        own = defined(tree)
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(attr=name) if is_private(name) and name not in own:
                    used.add((path, name))
                case ast.ImportFrom(module=module, names=aliases) if module and not module.startswith("roomd"):
                    parts = {*module.split("."), *(alias.name for alias in aliases)}
                    used |= {(path, part) for part in parts if is_private(part)}
    assert used == PRIVATE_NAMES


def test_no_test_imports_another() -> None:
    """What test modules share is in tests/support and in conftest.py files."""
    tests = PACKAGE.parent / "tests"
    found = {
        (file.relative_to(tests).as_posix(), name)
        for file in tests.rglob("*.py")
        for name in imports(ast.parse(file.read_text(encoding="utf-8")))
        if any(part.startswith("test_") for part in name.split("."))
    }
    assert not found


def test_no_file_is_long() -> None:
    """No file of the daemon or of its tests has more than 400 lines."""
    top = PACKAGE.parent
    long = {
        file.relative_to(top).as_posix(): lines
        for folder in ("roomd", "tests", "bench", "clients")
        for suffix in ("*.py", "*.js", "*.css")
        for file in (top / folder).rglob(suffix)
        if "node_modules" not in file.parts
        if (lines := file.read_bytes().count(b"\n")) > 400
    }
    assert not long
