"""The limits and times of a meeting."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from roomd.client.connection import MAX_FRAME, PATIENCE


@dataclass(frozen=True)
class Settings:
    """Limits and times of a meeting, its clock and its random numbers. Tests replace them."""

    patience: float = PATIENCE
    """Seconds to wait for the server: for the connection, for each reply, and for the `room-state`."""
    token_patience: float = 20.0
    """Seconds to wait for a token function."""
    leave_patience: float = 2.0
    """Seconds to wait for the reply to `leave-room`."""
    message_patience: float = 30.0
    """Seconds until a message must be answered, over all connections."""
    max_frame: int = MAX_FRAME
    """Bytes that a frame to the server may have."""
    most_events: int = 1000
    """Events that may wait for `async for`. One `Refreshed` takes the place of all that do not fit."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for a number of seconds."""
    random: Callable[[], float] = random.random
    """Returns a number from 0 to 1."""
    today: Callable[[], float] = time.time
    """Returns the seconds since 1970, to see whether a token has expired."""
    clock: Callable[[], float] = time.monotonic
    """Returns seconds, and never goes back."""
