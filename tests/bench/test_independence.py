"""The measurements use roomd from outside: its command line, its settings, its socket and its schema."""

import ast
from pathlib import Path

import bench

PACKAGE = Path(bench.__file__).parent


def test_nothing_of_roomd_is_imported() -> None:
    """So modules of roomd may move, and the same clients measure any version of it."""
    for file in PACKAGE.rglob("*.py"):
        if "node_modules" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not any(name.split(".")[0] == "roomd" for name in names), file
