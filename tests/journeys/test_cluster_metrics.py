"""The metrics of a node: what an operator sees of what nodes do for each other."""

import asyncio
from pathlib import Path

import pytest

from tests.support.cluster.daemons import trio
from tests.support.cluster.waiting import until as until_so
from tests.support.metrics import Series, metrics, wait_for_metrics
from tests.support.postgresql import Server


@pytest.mark.long
async def test_what_nodes_do_for_each_other(tmp_path: Path, postgresql: Server) -> None:
    """Rooms owned, commands forwarded, the lease, the bus; nothing of a file that is not there."""
    with trio(tmp_path, postgresql) as three:
        code = (await three.daemons["a"].room())["code"]
        async with three.daemons["b"].client() as ann, three.daemons["c"].client() as bob:
            await ann.join(code, guestName="ann")
            await bob.join(code, guestName="bob")

            async def look() -> list[Series]:
                """On a busy machine a node may lose its lease for a moment."""
                found = [await asyncio.to_thread(metrics, one) for one in three.daemons.values()]
                owned = [one["roomd_cluster_rooms_owned"] for one in found if one["roomd_cluster_nodes"] == 3]
                return found if sorted(owned) == [0, 0, 1] else []

            for found in (all_found := await until_so(look)):
                assert found["roomd_cluster_lease_age_seconds"] >= 0
                assert found["roomd_cluster_bus_seconds_count"] >= 1
                assert found["roomd_cluster_drained"] == 0
                assert "roomd_cluster_fenced_total" in found
                assert not {"roomd_disk_reserve_bytes", "roomd_database_bytes"} & found.keys()
            assert sum(found["roomd_cluster_forwarded_seconds_count"] for found in all_found) >= 1
        a = three.daemons["a"]
        three.nats.stop()
        await asyncio.to_thread(wait_for_metrics, a, lambda now: now["roomd_cluster_lease_age_seconds"] > 3)
        three.nats.start()
        await asyncio.to_thread(wait_for_metrics, a, lambda now: now["roomd_cluster_lease_age_seconds"] < 2)
