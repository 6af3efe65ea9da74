"""Three nodes of a test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.cluster.stage import Cluster, cluster


@pytest.fixture
async def three() -> AsyncIterator[Cluster]:
    """Three nodes with one room of Alice's for three."""
    async with cluster() as made:
        yield made
