"""Inputs with their right answers, kept as data in tests/cases."""

import json
from pathlib import Path
from typing import NamedTuple

CASES = Path(__file__).parent.parent / "cases"


class FrameCase(NamedTuple):
    """One line of frames.txt: a frame that is refused."""

    frame: str
    """The text to send."""
    code: str
    """The code of the error."""
    id: int | str | None
    """The `id` that the error carries; None for one without."""


def frame_cases() -> list[FrameCase]:
    """Read frames.txt: a frame, a tab, then like `400 bad_frame id 7`; notes follow in brackets."""
    lines = (CASES / "frames.txt").read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        if line.startswith("{"):
            frame, outcome = line.split("\t")
            _, code, *rest = outcome.split("(")[0].replace(",", "").split()
            nested = frame.replace("NEST-2000", "[" * 2000 + "]" * 2000)
            found.append(FrameCase(nested, code, json.loads(rest[1]) if rest[0] == "id" else None))
    return found
