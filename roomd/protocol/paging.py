"""Pages of a list. A request for a page has a `limit`, and a `cursor`: the last id of the page before."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Identified(Protocol):
    """An item of a list that is sorted by id."""

    @property
    def id(self) -> str:
        """The id by which the list is sorted."""
        ...


T = TypeVar("T", bound=Identified)


def page(items: Sequence[T], limit: int) -> tuple[list[T], str | None]:
    """Return the first `limit` items, and the cursor of the next page; None when there is no next page."""
    return list(items[:limit]), items[limit - 1].id if len(items) > limit else None
