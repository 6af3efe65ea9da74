"""The progress of webhooks: the real store and the fake keep the same contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roomd.config import DatabaseConfig
from roomd.engine.progress import Progress, ProgressStore
from roomd.storage.opening import open_store
from roomd.storage.webhooks import StoredProgress
from tests.support.fake_progress import FakeProgress


@pytest.fixture(params=["real", "fake"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ProgressStore]:
    if request.param == "fake":
        yield FakeProgress()
        return
    opened = await open_store(DatabaseConfig(path=str(tmp_path / "roomd.db")))
    yield StoredProgress(opened)
    await opened.close()


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
