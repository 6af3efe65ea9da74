"""Faults: commands of the user that break a node, and those that bring it back."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

import msgspec


class Faults(msgspec.Struct, frozen=True):
    """What is done to the servers while the clients act."""

    breaks: Sequence[str] = ()
    """Shell commands; one is chosen at random each time."""
    repairs: Sequence[str] = ()
    """Shell commands: as many as `breaks`, one for each; or one for all; or none where the servers come back alone."""
    interval: float = 5.0
    """Seconds from one repair to the next break."""
    down: float = 2.0
    """Seconds from the break to the repair."""

    def repair_of(self, number: int) -> str | None:
        """Return the command that repairs what a break has done; None where there is none."""
        if not self.repairs:
            return None
        return self.repairs[number if len(self.repairs) > 1 else 0]


class CommandFailed(Exception):  # noqa: N818 - an outcome, not a mistake of the caller
    """A command of the user ended with another status than 0."""


async def execute(command: str) -> None:
    """Run a shell command, and wait for its end. Raises `CommandFailed`."""
    process = await asyncio.create_subprocess_shell(command, stdin=asyncio.subprocess.DEVNULL)
    status = await process.wait()
    if status != 0:
        raise CommandFailed(f"exit status {status} of: {command}")


async def inflict(faults: Faults, random: Random, stop: asyncio.Event, tell: Callable[[str], None]) -> int:
    """Break and repair again and again until `stop` is set, and return how often. In the end all is repaired.

    Raises `CommandFailed`.
    """
    count = 0
    while faults.breaks and not await _is_set(stop, faults.interval):
        number = random.randrange(len(faults.breaks))
        count += 1
        tell(f"fault: {faults.breaks[number]}")
        await execute(faults.breaks[number])
        await _is_set(stop, faults.down)
        repair = faults.repair_of(number)
        if repair is not None:
            tell(f"start: {repair}")
            await execute(repair)
    return count


async def _is_set(stop: asyncio.Event, seconds: float) -> bool:
    """Wait until `stop` is set, at most so many seconds, and return whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
    return stop.is_set()
