"""The units of systemd that roomd comes with, and the program that they start."""

from collections.abc import Mapping
from importlib import resources

WRITTEN_FOR = "/opt/roomd/.venv/bin/roomd"
"""The program that the units in systemd/ start, and that their comments name."""


def units(program: str) -> dict[str, str]:
    """Return the text of each unit by its name, with `program`, an absolute path, in place of `WRITTEN_FOR`."""
    folder = resources.files("roomd") / "systemd"
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    return {name: texts[name].replace(WRITTEN_FOR, program) for name in sorted(texts)}


def enabled(texts: Mapping[str, str]) -> list[str]:
    """Return the names of the units that are enabled and started at once: all that can be but timers, sockets first."""
    names = [name for name in texts if name.endswith((".socket", ".service")) and "[Install]" in texts[name]]
    return sorted(names, key=lambda name: not name.endswith(".socket"))
