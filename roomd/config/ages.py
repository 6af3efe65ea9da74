"""How long something is kept, as a setting."""

from typing import Annotated

from msgspec import Meta

Age = Annotated[float, Meta(ge=1, le=8_640_000_000)] | Annotated[str, Meta(pattern="^[1-9][0-9]{0,9}[smhd]?$")]
"""How long something is kept: a number of seconds, or a number with a unit: s, m, h or d."""


def seconds_or_never(age: Age | None) -> float | None:
    """Return the seconds of an age; None when nothing is deleted by age."""
    return None if age is None else seconds_in(age)


def seconds_in(age: Age) -> float:
    """Return the seconds of an age."""
    if not isinstance(age, str):
        return age
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    return float(age[:-1]) * units[age[-1]] if age[-1] in units else float(age)
