"""Memory of the process."""

import weakref

from roomd.system.memory import release


class Node:
    """An object in a cycle."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_are_collected() -> None:
    """What only refers to itself is freed."""
    node = weakref.ref(Node())
    release()
    assert node() is None
