"""A server that does not start stops the run, with the reason; PostgreSQL's data lies where its user reaches it."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers import postgres
from bench.peers.folders import folder_of
from bench.peers.servers import ROOT
from bench.processes import StartFailed, serving
from bench.suite import check_installed

CORES = os.sched_getaffinity(0)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
needs_postgres = pytest.mark.skipif(postgres.programs() is None, reason="needs PostgreSQL (Debian: postgresql)")


def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder below one of mode 0700, as `make run` makes var/."""
    folder = tmp_path / "var" / "bench-x"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    folder.chmod(0o711)
    return folder


def open_parents(folder: Path) -> None:
    """Let every user through the folders that pytest made, which it closes to others."""
    for parent in folder.parents:
        if parent.name.startswith("pytest-of-"):
            break
    else:
        return
    for one in (parent, *(inner for inner in folder.parents if parent in inner.parents)):
        one.chmod(one.stat().st_mode | 0o111)


def test_a_server_that_ends_is_reported_with_what_it_wrote(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('to stdout'); sys.exit('to stderr')"]
    with pytest.raises(StartFailed) as failed, serving("bad", command, CORES, tmp_path, {}, tmp_path):
        pass
    assert str(failed.value).startswith("bad ended with status 1; its stdout and stderr end with:\n")
    assert "to stdout" in str(failed.value)
    assert "to stderr" in str(failed.value)


def test_a_server_that_ends_without_a_word_is_reported_as_that(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(StartFailed) as failed, serving("bad", command, CORES, tmp_path, {}, tmp_path):
        pass
    assert str(failed.value) == "bad ended with status 3; it wrote nothing to stdout and stderr"


def test_a_program_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="bad could not be started"):  # noqa: SIM117 - one is what is tested
        with serving("bad", [str(tmp_path / "none")], CORES, tmp_path, {}, tmp_path):
            pass


@as_root
def test_a_folder_lies_in_the_first_place_that_the_user_can_reach(closed: Path) -> None:
    with folder_of(nobody(), "roomd-test-", (closed, Path("/var/tmp"))) as folder:
        assert folder.parent == Path("/var/tmp")
        assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (nobody().pw_uid, 0o700)
    assert not folder.exists()
    assert list(closed.iterdir()) == []


@as_root
def test_where_no_place_can_be_reached_the_folder_in_the_way_is_named(closed: Path) -> None:
    open_parents(closed.parent)
    with pytest.raises(StartFailed) as failed, folder_of(nobody(), "roomd-test-", (closed, closed / "none")):
        pass
    assert str(failed.value).splitlines() == [
        "no folder for the user nobody:",
        f"  {closed}: the user nobody cannot enter {closed.parent} (mode 0700)",
        f"  {closed / 'none'}: No such file or directory",
    ]


def test_without_a_user_the_first_place_serves(tmp_path: Path) -> None:
    with folder_of(None, "roomd-test-", (tmp_path,)) as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


@needs_postgres
def test_postgres_starts_where_its_user_cannot_reach_the_folder(closed: Path) -> None:
    with postgres.cluster(closed, CORES) as cluster:
        psql = ["psql", "-h", str(cluster.socket), "-U", "postgres", "-Atc", "SHOW synchronous_commit"]
        assert subprocess.run(psql, check=True, capture_output=True, text=True).stdout == "on\n"
        (data,) = cluster_data(cluster)
    assert not data.exists()
    assert not cluster.socket.exists()
    assert closed.parent.stat().st_mode & 0o777 == 0o700, "the user's own folder is left as it is"


def cluster_data(cluster: postgres.Cluster) -> list[Path]:
    words = Path(f"/proc/{cluster.postmaster}/cmdline").read_bytes().split(b"\0")
    return [Path(words[at + 1].decode()) for at, word in enumerate(words) if word == b"-D"]


@needs_postgres
def test_what_initdb_writes_is_shown(tmp_path: Path) -> None:
    binaries, folder = tmp_path / "bin", tmp_path / "folder"
    binaries.mkdir()
    folder.mkdir()
    (binaries / "initdb").write_text("#!/bin/sh\necho 'no room on the disk' >&2\nexit 7\n")
    (binaries / "initdb").chmod(0o755)
    open_parents(binaries)
    with pytest.raises(StartFailed) as failed, postgres.cluster(folder, CORES, binaries):
        pass
    assert str(failed.value) == "initdb ended with status 7; its stdout and stderr end with:\nno room on the disk"


def test_a_peer_that_lacks_something_stops_the_run() -> None:
    """It is named with what it lacks and how to install that."""
    with pytest.raises(StartFailed) as failed:
        check_installed(["roomd", "ws", "colyseus"], lambda name: "its packages" if name == "colyseus" else None)
    assert str(failed.value) == "colyseus needs its packages: python -m bench.peers.install"


@pytest.mark.nightly
@pytest.mark.parametrize("left_out", [False, True])
def test_a_peer_that_does_not_start_stops_the_run_unless_it_is_left_out(tmp_path: Path, left_out: bool) -> None:
    """The run shows why, measures nothing and writes nothing."""
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("socketio", "uvicorn"):  # a broken installation of what the peer needs
        (modules / f"{name}.py").write_text("raise RuntimeError('a broken installation')\n")
    arguments = ["--quick", "--seconds", "0.1", "--only", "a", "--servers", "roomd", "python_socketio"]
    arguments += ["--folder", str(tmp_path), "--results", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, *(["--without", "python_socketio"] if left_out else [])],
        env={**os.environ, "PYTHONPATH": str(modules)},
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (tmp_path / "results").exists() is left_out
    if left_out:
        assert done.returncode == 0
        assert "| roomd |" in done.stdout
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert "python_socketio ended with status 1; its stdout and stderr end with:\nTraceback" in done.stderr
        assert "RuntimeError: a broken installation\n" in done.stderr
        assert done.stderr.endswith("Nothing is written. --without SERVER leaves a server out.\n")
