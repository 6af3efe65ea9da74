"""The hub of a test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.stage import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """One room for three; in the end every member must have been told things in their order."""
    stage = await Stage().open()
    yield stage
    await stage.close()
