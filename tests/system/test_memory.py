"""Memory of the process."""

import weakref

from roomd.system.memory import INTERVAL, Releaser, release, resident


class Node:
    """An object in a cycle."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_are_collected() -> None:
    """What only refers to itself is freed; the size is that of a process with an interpreter."""
    node = weakref.ref(Node())
    release()
    assert node() is None
    assert resident() > 1 << 20


def test_memory_is_released_when_the_process_has_grown() -> None:
    """By a fifth since it was smallest, and not more often than the interval."""

    class Process:
        now, size, freed, worked = 0.0, 100, 30, 0.0

    released = []

    def free() -> None:
        released.append(Process.now)
        Process.size -= Process.freed

    releaser = Releaser(lambda: Process.now, lambda: Process.size, free, lambda: Process.worked)
    for now, size in ((1, 500), (INTERVAL, 120), (11, 121), (12, 500), (21, 85), (32, 103)):
        Process.now, Process.size = now, size
        releaser.tick(5, 0)
    assert released == [11, 32]
    Process.now, Process.size, Process.worked = 42, 500, 5.1
    releaser.tick(5, 0)
    assert len(released) == 2, "it has no time"
    for Process.now in range(43, 200):
        Process.size = 500
        releaser.tick(5, 0)
    assert released[2:] == [43, 63, 103, 183], "what is in use is looked at less and less often"
    for Process.now in range(200, 260):
        releaser.tick(1000, 290 if Process.now < 205 else 310)
    assert released[6:] == [205, 215, 235], "many of those who used it are gone, and others have come"
