"""A node of the tests that keeps what it hears on the bus."""

from roomd.cluster.ports import Bus, BusFailed
from tests.support.cluster.waiting import until


class Ear:
    """The receiver of a bus."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.missing: list[str] = []
        self.reconnects = 0

    def received(self, data: bytes) -> None:
        """Keep a message."""
        self.messages.append(data)

    def absent(self, name: str) -> None:
        """Keep the name of a node that is not there."""
        self.missing.append(name)

    def reconnected(self) -> None:
        """Count a connection after another one."""
        self.reconnects += 1


async def _answers(bus: Bus) -> bool:
    try:
        await bus.answers()
    except BusFailed:
        return False
    return True


async def until_there(bus: Bus) -> None:
    """Wait until a bus answers. A busy machine may need longer than the bus waits for one answer."""
    await until(lambda: _answers(bus))


async def until_away(bus: Bus) -> None:
    """Wait until a bus does not answer."""

    async def is_away() -> bool:
        return not await _answers(bus)

    await until(is_away)
