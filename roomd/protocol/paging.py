"""Pages of a list: every listing request has a `limit` and a `cursor`, the id that the page before ended with."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Identified(Protocol):
    """What a list can be paged by."""

    @property
    def id(self) -> str:
        """Sorts the list."""
        ...


T = TypeVar("T", bound=Identified)


def page(items: Sequence[T], limit: int) -> tuple[list[T], str | None]:
    """Cut a page of `limit` off `items`, and give the cursor of the next page; None when there is none."""
    return list(items[:limit]), items[limit - 1].id if len(items) > limit else None
