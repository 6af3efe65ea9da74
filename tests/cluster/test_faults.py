"""Three daemons, a primary with its standby, three servers of the bus, and everything that may happen to them."""

import sys
from pathlib import Path
from random import Random

import pytest

from roomd.verify.report import report_text
from tests.support.cluster.faults.deeds import DEEDS
from tests.support.cluster.faults.late import late_join
from tests.support.cluster.faults.rig import rig
from tests.support.cluster.faults.run import LEAST_HOLD, SETTINGS, suffer

SEED, ROOMS = 1, 60


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, untraced: None) -> Path:
    """The folder of the daemons."""
    return tmp_path


@pytest.mark.long
async def test_faults(folder: Path) -> None:
    """No fault, nor what is left of it when the next one comes, breaks a promise to a client: `make cluster-faults`."""
    async with rig(folder, Random(SEED), SETTINGS) as cluster:
        report = await late_join(cluster, LEAST_HOLD)
        assert report.is_fine, report_text(report)
        result = await suffer(cluster, list(DEEDS), 0.5, ROOMS, SEED, lambda line: print(line, file=sys.stderr))
    assert result.report.is_fine, report_text(result.report)
    assert result.answered > 500
    assert len(result.losses) == 5
    assert len(result.hand_overs) == 6
    assert max(one.commits for one in result.hand_overs) <= 10, result.hand_overs


@pytest.mark.long
async def test_without_the_fence(folder: Path) -> None:
    """With leases alone the audit reports a seat too many: so it would see a fence that does not work."""
    async with rig(folder, Random(SEED), SETTINGS, is_fenced=False) as cluster:
        report = await late_join(cluster, LEAST_HOLD)
    assert "limit" in report.broken(), report_text(report)
