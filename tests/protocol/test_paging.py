"""Pages: so many items, so many bytes, and the cursor that leads to the next one."""

import msgspec
import pytest

from roomd.protocol.paging import PAGE_BYTES, page

QUARTER = PAGE_BYTES // 4


class Item(msgspec.Struct):
    """Something with an id, and a text of some bytes."""

    id: str
    text: str


def items(*sizes: int) -> list[Item]:
    """Make items whose JSON has these sizes."""
    least = len(msgspec.json.encode(Item("0", "")))
    return [Item(str(number), "x" * (size - least)) for number, size in enumerate(sizes)]


CASES = {
    "nothing": ([], 2, 0, None),
    "fewer than the limit": ([100], 2, 1, None),
    "as many": ([100, 100], 2, 2, None),
    "more": ([100, 100, 100], 2, 2, "1"),
    "as many bytes as fit": ([QUARTER] * 4, 9, 4, None),
    "as many bytes as fit, and one more item": ([*[QUARTER] * 4, 100], 9, 4, "3"),
    "one byte more": ([*[QUARTER] * 3, QUARTER + 1], 9, 3, "2"),
    "a large one behind": ([100, PAGE_BYTES], 9, 1, "0"),
    "a larger one than fits": ([2 * PAGE_BYTES, 100], 9, 1, "0"),
    "only that": ([2 * PAGE_BYTES], 9, 1, None),
}


@pytest.mark.parametrize(("sizes", "limit", "count", "cursor"), CASES.values(), ids=CASES)
def test_a_page(sizes: list[int], limit: int, count: int, cursor: str | None) -> None:
    """It has at most the limit and the bytes, at least one item, and a cursor unless it is the last."""
    found = items(*sizes)
    assert page(found, limit) == (found[:count], cursor)
