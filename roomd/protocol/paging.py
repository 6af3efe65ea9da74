"""Pages of a list. A request for a page has a `limit`, and a `cursor`: the last id of the page before."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

PAGE_BYTES = 256 * 1024
"""The bytes of JSON that the items of a page have, unless a single item is larger."""
_encoder = msgspec.json.Encoder()


class Identified(Protocol):
    """An item of a list that is sorted by id."""

    @property
    def id(self) -> str:
        """The id by which the list is sorted."""
        ...


T = TypeVar("T", bound=Identified)


def page(items: Sequence[T], limit: int) -> tuple[list[T], str | None]:
    """Return the first items, and the cursor of the next page; None when there is no next page.

    A page has at most `limit` items and `PAGE_BYTES`, but at least one item.
    """
    count = size = 0
    for item in items[:limit]:
        size += len(_encoder.encode(item))
        if size > PAGE_BYTES and count:
            break
        count += 1
    return list(items[:count]), items[count - 1].id if len(items) > count else None
