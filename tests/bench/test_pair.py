"""`python -m bench.pair`: two checkouts in one run, and the ratios of their figures."""

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.pair import AFTER, BEFORE, Pair, fetched, find_checkout, letter, markdown, ratios
from bench.processes import StartFailed, Usage
from bench.rig import HERE, Checkout
from bench.suite import Failure, Plan, Sample

CORES = os.sched_getaffinity(0)
USAGE = Usage(1.0, 0.99, 0.9)
MACHINE = {**dict.fromkeys(("date", "processor", "cores", "system"), "x"), "sync_ms": 0.2, "load": 0.1}
RESULTS = report.Results(
    MACHINE, 3, 60.0, 1.5,
    [
        Sample(1, "a", BEFORE, 100.0, USAGE), Sample(1, "a", AFTER, 120.0, USAGE),
        Sample(2, "a", AFTER, 300.0, USAGE), Sample(2, "a", BEFORE, 200.0, USAGE),
        Sample(3, "a", BEFORE, 100.0, USAGE), Sample(3, "a", AFTER, 90.0, USAGE),
        Sample(1, "g99", BEFORE, 10.0, None), Sample(2, "g99", AFTER, 5.0, None),
        Sample(0, "h1000", BEFORE, 10.0, None), Sample(0, "h1000", AFTER, 9.0, None),
    ],
    [Failure(3, "g", AFTER, "not done within 60 s")],
)  # fmt: skip


def test_ratios_are_taken_within_a_round() -> None:
    assert sorted(ratios(RESULTS, "a")) == pytest.approx([0.9, 1.2, 1.5])
    assert ratios(RESULTS, "g99") == [], "no round has both"


def test_the_report_has_a_line_for_each_row() -> None:
    lines = markdown(RESULTS, "v1", "v2").splitlines()
    assert lines[2:4] == ["- before: v1", "- after: v2"]
    titles = (report.title("a"), report.title("g99"), report.title("h1000"))
    assert [line for line in lines if line.startswith("| (")] == [
        f"| {titles[0]} | more | 100 | 120 | **1.20** | (0.90 – 1.50) | 99% | 90% ⚠ |",
        f"| {titles[1]} | less | 10 | 5 | – | | | |",
        f"| {titles[2]} | less | 10 | 9 | **0.90** | (0.90 – 0.90) | | |",
    ]
    assert lines[-1] == "- round 3: g, after: not done within 60 s"


def test_the_python_of_a_checkout_is_the_one_of_its_venv(tmp_path: Path) -> None:
    """A link there is not followed: it is what makes the Python that of the environment."""
    with pytest.raises(ValueError, match="is no checkout of roomd"):
        find_checkout(tmp_path, None)
    (tmp_path / "roomd").mkdir()
    (tmp_path / "roomd/__main__.py").touch()
    with pytest.raises(ValueError, match="run `make install` there, or give --python"):
        find_checkout(tmp_path, None)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (link := tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    assert find_checkout(tmp_path, None) == Checkout(tmp_path, link)
    assert find_checkout(tmp_path, Path(sys.executable)) == Checkout(tmp_path, Path(sys.executable))


@pytest.mark.nightly
def test_both_checkouts_are_measured_in_every_round_and_take_turns_to_be_first(tmp_path: Path) -> None:
    plan = Plan(("g",), ("roomd",), 0.2, True, has_largest=False)
    pair = Pair(plan, HERE, HERE, CORES, tmp_path)
    pair.run_round()
    pair.run_round()
    pair.run_once()
    assert pair.failures == []
    assert [(sample.round, sample.row, sample.server) for sample in pair.samples] == [
        (1, "g50", BEFORE), (1, "g99", BEFORE), (1, "g50", AFTER), (1, "g99", AFTER),
        (2, "g50", AFTER), (2, "g99", AFTER), (2, "g50", BEFORE), (2, "g99", BEFORE),
    ]  # fmt: skip


def test_a_checkout_that_does_not_start_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "old" / "roomd").mkdir(parents=True)
    (tmp_path / "old" / "roomd" / "__init__.py").touch()
    (tmp_path / "old" / "roomd" / "__main__.py").write_text("raise RuntimeError('an old mistake')\n")
    old = Checkout(tmp_path / "old", Path(sys.executable))
    pair = Pair(Plan(("a",), ("roomd",), 0.1, True), old, HERE, CORES, tmp_path)
    with pytest.raises(StartFailed, match="an old mistake"):
        pair.run_round()


def test_metrics_are_fetched_while_a_daemon_runs(tmp_path: Path) -> None:
    """Each second, over one connection each time; what cannot be reached is tried again."""
    path = tmp_path / "metrics.sock"
    with fetched(path), socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(60)
        for _ in range(2):
            client, _ = listening.accept()
            with client:
                assert client.recv(4096) == b"GET /metrics HTTP/1.0\r\n\r\n"


@pytest.mark.nightly
def test_the_command_line_prints_the_report(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.pair", "--before", str(HERE.root), "--python", sys.executable]
    command += ["--rounds", "1", "--seconds", "0.3", "--folder", str(tmp_path), "f"]
    done = subprocess.run(command, cwd=HERE.root, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.count("| (f) signals")) == (0, 1), done.stderr
    assert "- before: " in done.stdout


def test_the_work_that_needs_a_schema_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        letter("i")
