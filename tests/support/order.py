"""The order in which several processes run the tests, so that none of them still has long ones when the others end.

The scheduler `worksteal` of pytest-xdist gives each process a chunk of the tests: of equal numbers, in their order. A
process that has run its own gets the last half of what the fullest one has left. So each chunk has long tests at its
start and quick ones at its end.
"""

import os
from itertools import islice

import pytest

QUICK = {"auth", "config", "engine", "limits", "protocol", "rooms"}
"""Folders of tests that take milliseconds each, and are half of all tests."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what is left of the tests in the order of the chunks, in a process of pytest-xdist."""
    if number := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        items[:] = dealt(items, int(number))


def dealt(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return the tests in the order of the chunks for this number of processes.

    The first chunk has the tests of the page, so that one browser at a time runs, and quick ones; the others share what
    is marked `long`, and the rest. Tests that are not long keep their order, so that those of a file share its
    fixtures.
    """
    if processes == 1:
        return items
    page, long, quick, others = (list[pytest.Item]() for _ in range(4))
    for item in items:
        parts = item.path.parts
        kind = page if "page" in parts else others if QUICK.isdisjoint(parts) else quick
        (long if item.get_closest_marker("long") and kind is not page else kind).append(item)
    apart = 1 if page else 0
    result: list[pytest.Item] = []
    rest, fast = iter(others), iter(quick)
    left = len(others)
    for number in range(processes):
        room = (len(items) - len(result)) // (processes - number)
        first = page if number < apart else long[number - apart :: processes - apart]
        room -= len(first)
        share = room - len(quick) if number < apart else -(-left // (processes - number))
        chunk = list(islice(rest, max(0, min(share, room))))
        left -= len(chunk)
        result += [*first, *chunk, *islice(fast, max(0, room - len(chunk)))]
    return [*result, *rest, *fast]
