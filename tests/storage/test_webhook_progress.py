"""The progress of webhooks: the real store and the fake keep the same contract."""

from collections.abc import AsyncIterator

import pytest

from roomd.engine.progress import Progress, ProgressStore
from tests.support.fake_progress import FakeProgress
from tests.support.stores import ALL, new_database, opened


@pytest.fixture(params=ALL)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ProgressStore]:
    if request.param == "fake":
        yield FakeProgress()
        return
    async with opened(new_database(request.param, request)) as storage:
        yield storage.progress


async def test_the_progress_is_kept(store: ProgressStore) -> None:
    """What is written replaces what was there, and nothing else."""
    assert await store.read_progress() == {}
    first = {
        "a": Progress("0123456789ab", 3),
        "b": Progress("0123456789ab", 5, "2026-03-03T10:35:00.000Z", is_gone=True),
    }
    await store.write_progress(first)
    assert await store.read_progress() == first
    await store.write_progress({"a": Progress("0123456789ab", 4)})
    assert await store.read_progress() == {**first, "a": Progress("0123456789ab", 4)}
