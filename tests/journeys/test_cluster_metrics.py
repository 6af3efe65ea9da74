"""The metrics of a node: what an operator sees of what nodes do for each other."""

import asyncio
from pathlib import Path

import pytest

from tests.support.cluster.daemons import trio
from tests.support.metrics import metrics, wait_for_metrics
from tests.support.postgresql import Server


@pytest.mark.long
async def test_what_nodes_do_for_each_other(tmp_path: Path, postgresql: Server) -> None:
    """Rooms owned, commands forwarded, the lease, the bus; nothing of a file that is not there."""
    with trio(tmp_path, postgresql) as three:
        code = (await three.daemons["a"].room())["code"]
        async with three.daemons["b"].client() as ann, three.daemons["c"].client() as bob:
            await ann.join(code, guestName="ann")
            await bob.join(code, guestName="bob")
            owner = three.daemons[three.owner(code)]
            others = [one for one in three.daemons.values() if one is not owner]
            found = await asyncio.to_thread(wait_for_metrics, owner, lambda now: now["roomd_cluster_nodes"] == 3)
            assert found["roomd_cluster_rooms_owned"] == 1
            assert found["roomd_cluster_lease_age_seconds"] >= 0
            assert found["roomd_cluster_bus_seconds_count"] >= 1
            assert found["roomd_cluster_drained"] == found["roomd_cluster_fenced_total"] == 0
            assert not {"roomd_disk_reserve_bytes", "roomd_database_bytes"} & found.keys()
            forwarded = [await asyncio.to_thread(metrics, one) for one in others]
            assert sum(one["roomd_cluster_forwarded_seconds_count"] for one in forwarded) >= 1
        three.nats.stop()
        await asyncio.to_thread(wait_for_metrics, owner, lambda now: now["roomd_cluster_lease_age_seconds"] > 3)
        three.nats.start()
        await asyncio.to_thread(wait_for_metrics, owner, lambda now: now["roomd_cluster_lease_age_seconds"] < 2)
