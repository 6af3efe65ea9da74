"""Reading `clients/vectors`."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "clients/vectors"


def load(name: str) -> Any:
    """Read a file of vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def expander(objects: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return a function that writes abbreviations out."""

    def expand(value: Any) -> Any:
        if isinstance(value, list):
            return [each for item in value for each in expand_range(expand(item))]
        if isinstance(value, dict):
            base = expand(objects[value["use"]]) if "use" in value else {}
            return {**base, **{key: expand(item) for key, item in value.items() if key != "use"}}
        return value

    return expand


def expand_range(item: Any) -> Iterator[Any]:
    """Yield an item of a list, or the items that a range stands for."""
    match item:
        case str() if found := re.fullmatch(r"([a-z]+)(\d+)\.\.\1(\d+)", item):
            yield from (f"{found[1]}{number}" for number in range(int(found[2]), int(found[3]) + 1))
        case {"id": str(key)}:
            yield from ({**item, "id": one} for one in expand_range(key))
        case _:
            yield item
