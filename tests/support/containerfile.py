"""The Containerfile, read as an engine reads it: its stages, their instructions, and the files that it may copy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stage:
    """What is between one FROM and the next."""

    base: str
    """The name of the image that it begins with."""
    name: str
    """What other stages call it, or nothing."""
    steps: list[tuple[str, str]]
    """Its instructions in order, each with its arguments."""

    @property
    def last(self) -> dict[str, str]:
        """The arguments of each instruction; of several with one name, the last."""
        return dict(self.steps)


def stages() -> list[Stage]:
    """Read the Containerfile of the checkout."""
    text = CHECKOUT.joinpath("Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found: list[Stage] = []
    for line in filter(str.strip, lines):
        instruction, arguments = line.split(None, 1)
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            found.append(Stage(base, name, []))
        else:
            found[-1].steps.append((instruction, arguments.strip()))
    return found


def context() -> Iterator[Path]:
    """Return the files and links of the checkout that .dockerignore does not leave out, relative to the checkout."""
    lines = CHECKOUT.joinpath(".dockerignore").read_text(encoding="utf-8").split()
    ignored = re.compile("|".join(map(_as_regex, lines)))

    def walk(folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            relative = path.relative_to(CHECKOUT)
            if ignored.fullmatch(str(relative)):
                continue
            if path.is_dir() and not path.is_symlink():
                yield from walk(path)
            else:
                yield relative

    return walk(CHECKOUT)


def _as_regex(pattern: str) -> str:
    """Convert a pattern of .dockerignore: `*` stands for a part of one name, `**/` for any folders."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    return "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
