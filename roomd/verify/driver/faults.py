"""Faults: what breaks a node while the clients act, and what repairs it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random

import msgspec

Action = Callable[[], Awaitable[None]]
"""Does something to the servers, and returns when it is done."""


class CommandFailed(Exception):  # noqa: N818 - an outcome, not a mistake of the caller
    """A command of the user ended with another status than 0."""


class Fault(msgspec.Struct, frozen=True):
    """Something that can be done to the servers."""

    name: str
    """What it is, for people."""
    break_: Action
    repair: Action | None = None
    """None where the servers come back by themselves."""


class Faults(msgspec.Struct, frozen=True):
    """What is done to the servers while the clients act."""

    faults: Sequence[Fault] = ()
    """One of them is chosen at random each time."""
    interval: float = 5.0
    """Seconds from one repair to the next fault."""
    down: float = 2.0
    """Seconds from the fault to the repair."""


def by_command(command: str, repair: str | None) -> Fault:
    """Return a fault that shell commands make and repair. They raise `CommandFailed`."""
    return Fault(command, partial(_execute, command), partial(_execute, repair) if repair is not None else None)


async def inflict(faults: Faults, random: Random, stop: asyncio.Event, tell: Callable[[str], None]) -> int:
    """Break and repair again and again until `stop` is set, and return how often. In the end all is repaired.

    Raises what the faults raise.
    """
    count = 0
    if not faults.faults:
        await stop.wait()
    while not await is_set_within(faults.interval, stop):
        fault = random.choice(faults.faults)
        count += 1
        tell(f"fault: {fault.name}")
        await fault.break_()
        await is_set_within(faults.down, stop)
        if fault.repair is not None:
            await fault.repair()
            tell(f"repaired: {fault.name}")
    return count


async def is_set_within(seconds: float, stop: asyncio.Event) -> bool:
    """Wait until `stop` is set, at most so many seconds, and return whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
    return stop.is_set()


async def _execute(command: str) -> None:
    process = await asyncio.create_subprocess_shell(command, stdin=asyncio.subprocess.DEVNULL)
    status = await process.wait()
    if status != 0:
        raise CommandFailed(f"exit status {status} of: {command}")
