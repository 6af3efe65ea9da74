"""The measurement of several nodes: a short run has all its figures."""

import asyncio
import re
from pathlib import Path

import pytest

from bench import cluster as measured
from bench.cluster import ALONE, SINGLE, SINGLE_PACED, THREE, THREE_PACED, run, running


@pytest.mark.nightly
@pytest.mark.long
def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side did something, and a join elsewhere takes longer than nothing."""
    monkeypatch.setattr(measured, "CLIENTS", 8)
    monkeypatch.setattr(measured, "RATE", 40.0)
    with running(tmp_path) as cluster:
        text = asyncio.run(run(cluster, rounds=1, seconds=0.3, count=5))
    for side in (ALONE, SINGLE, THREE):
        (found,) = re.findall(rf"^\| {re.escape(side)} \| (\d+) \(", text, re.M)
        assert int(found) > 0
    assert len(re.findall(r"^\| .* \| [≥≤] [\d.]+ \| -?[\d.]+", text, re.M)) == 4
    for side in (SINGLE_PACED, THREE_PACED):
        figures = re.findall(rf"^\| {side} \| (\d+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \(", text, re.M)
        assert len(figures) == 1
        assert all(float(figure) > 0 for figure in figures[0])
    assert re.search(r"p50 of a join at the owner [\d.]+ ms, elsewhere [\d.]+ ms", text)
