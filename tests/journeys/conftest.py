"""The fixtures of the tests of waiting."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.scenes import FULL, LOBBY, Scene


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    """Keeps connections open until the end of the test."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=[FULL, LOBBY])
async def scene(daemon: Daemon, stack: contextlib.AsyncExitStack, request: Any) -> Scene:
    """A full room, then a room with its waiting room on."""
    return await Scene(daemon, stack).set(request.param)
