"""The metrics of a real daemon: what an operator sees of what clients did."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from roomd import __version__
from roomd.metrics.families import FAMILIES
from roomd.system.unix_sockets import connect_to
from tests.support.commands import roomd
from tests.support.daemon import Daemon, serving
from tests.support.forking import completed
from tests.support.metrics import Series, get, metrics, parse, wait_for_metrics
from tests.support.processes import PATIENCE, free_port
from tests.support.raw_sockets import narrow_socket
from tests.support.receiver import an_endpoint

MISUSED, PASSING = 2, 1


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of its own, whose counters nobody else adds to."""
    with serving(tmp_path) as daemon:
        yield daemon


def changes(before: Series, after: Series) -> Series:
    """Return the series that have changed, and by how much."""
    return {series: after[series] - before.get(series, 0) for series in after if after[series] != before.get(series, 0)}


async def look(daemon: Daemon) -> Series:
    """Read the metrics beside clients on this loop."""
    return await asyncio.to_thread(metrics, daemon)


async def wait(daemon: Daemon, are_there: Callable[[Series], bool]) -> Series:
    """Wait for metrics beside clients on this loop."""
    return await asyncio.to_thread(wait_for_metrics, daemon, are_there)


async def test_joins_and_seats(watched: Daemon) -> None:
    """Who joined, was refused, waits, came back; how many are there; what was stored and sent."""
    room = await watched.room(maxParticipants=2)
    code = room["code"]
    before = await wait(watched, lambda now: now['roomd_closes_total{code="1000"}'] == 1)
    async with watched.client("alice") as alice, watched.client() as jane, watched.client() as joe:
        await alice.join(code)
        seat = await jane.join(code, guestName="Jane")
        assert (await joe.ask("join-room", code=code, guestName="Joe"))["code"] == "room_full"
        assert (await joe.ask("join-room", code=code))["code"] == "guest_name_required"
        assert (await joe.ask("join-room", code=code, guestName="Joe", wait=True))["type"] == "waiting"
        found = await look(watched)
        assert (found["roomd_rooms"], found['roomd_seats{state="connected"}'], found["roomd_waiting"]) == (1, 2, 1)
        await jane.websocket.close(1000)
        found = await wait(watched, lambda now: now['roomd_seats{state="held"}'] == 1)
        assert found['roomd_seats{state="connected"}'] == 1
        async with watched.client() as again:
            await again.ask("resume", resumeToken=seat["resumeToken"])
            after = await look(watched)
    changed = changes(before, after)
    assert {series: changed[series] for series in changed if "joins" in series or "resumes" in series} == {
        'roomd_joins_total{result="seated"}': 2,
        'roomd_joins_total{result="room_full"}': 1,
        'roomd_joins_total{result="guest_name_required"}': 1,
        'roomd_joins_total{result="waiting"}': 1,
        'roomd_resumes_total{result="seated"}': 1,
    }
    assert {series: changed[series] for series in changed if "refusals" in series or "requests" in series} == {
        'roomd_refusals_total{code="room_full"}': 1,
        'roomd_refusals_total{code="guest_name_required"}': 1,
        'roomd_requests_total{type="join-room"}': 5,
        'roomd_requests_total{type="resume"}': 1,
    }
    assert changed["roomd_connections_opened_total"] == 4
    assert changed['roomd_closes_total{code="1000"}'] == 1
    commits = changed["roomd_commit_seconds_count"]
    assert commits == changed["roomd_commit_changes_count"] > 0
    assert 0 < changed["roomd_commit_seconds_sum"] < PATIENCE
    assert changed["roomd_batch_commands_sum"] >= changed["roomd_batch_commands_count"] >= commits
    assert changed["roomd_sent_bytes_total"] > changed["roomd_received_bytes_total"] > 300


async def test_bytes_and_closes(watched: Daemon) -> None:
    """Bytes are counted exactly, for who is there and for who has gone; a close by its first frame."""
    before = await look(watched)
    async with watched.client("alice") as alice:
        await alice.websocket.send('{"type":"ping"}')
        await alice.receive()
        here = changes(before, await look(watched))
        assert (here["roomd_received_bytes_total"], here["roomd_sent_bytes_total"]) == (6 + 15, 2 + 15)
        await alice.websocket.send(b"binary")
        assert await alice.closed() == 1003
    with contextlib.suppress(Exception):
        async with watched.client("ben") as ben:
            await ben.websocket.close(3999)
    gone = await wait(watched, lambda now: now['roomd_closes_total{code="other"}'] == 1)
    changed = changes(before, gone)
    assert changed['roomd_closes_total{code="1003"}'] == 1
    assert changed["roomd_sent_bytes_total"] > 2 + 15
    assert "roomd_connections" not in changed


async def test_limits_that_apply(tmp_path: Path) -> None:
    """They are counted by the names of the limits."""
    with serving(tmp_path, ROOMD_LIMITS_REQUEST_RATE="0.01", ROOMD_LIMITS_REQUEST_BURST="20") as daemon:
        async with daemon.client("alice") as alice:
            for number in range(40):
                await alice.send("ping", id=number)
            assert await alice.closed() == 4429
        found = await wait(daemon, lambda now: now['roomd_closes_total{code="4429"}'] == 1)
        here = 'holder="member",limit="request"'
        refused = found[f'roomd_limited_total{{action="refused",{here}}}']
        assert refused > 0
        assert found[f'roomd_limited_total{{action="closed",{here}}}'] == 1
        assert found['roomd_refusals_total{code="rate_limited"}'] == refused + 1


async def test_a_database_that_is_locked(tmp_path: Path) -> None:
    """A failure is counted by its reason; the sizes of the files are those of the files."""
    with serving(tmp_path, ROOMD_DATABASE_BUSY_TIMEOUT="0") as daemon:
        code = (await daemon.room())["code"]
        with contextlib.closing(sqlite3.connect(daemon.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with daemon.client("alice") as alice:
                assert (await alice.ask("join-room", code=code))["code"] == "unavailable"
            other.execute("ROLLBACK")
        found = await look(daemon)
        assert found['roomd_storage_failures_total{reason="busy"}'] >= 1
        assert found['roomd_joins_total{result="unavailable"}'] == 1
        assert found["roomd_database_bytes"] == daemon.database.stat().st_size
        assert found["roomd_wal_bytes"] == Path(f"{daemon.database}-wal").stat().st_size
        status = os.statvfs(tmp_path)
        assert found["roomd_disk_free_bytes"] == pytest.approx(status.f_bavail * status.f_frsize, rel=0.1)


async def test_a_client_that_does_not_read(tmp_path: Path) -> None:
    """It is counted while too much waits for it, and `roomd top` names it."""
    with serving(tmp_path, ROOMD_LIMITS_OUTBOX="65536") as daemon:
        code = (await daemon.room())["code"]
        narrow = daemon.client(sock=narrow_socket(daemon.port), max_queue=1, close_timeout=0.1)
        async with daemon.client("alice") as alice, narrow as slow:
            await alice.join(code)
            await slow.send("join-room", code=code, guestName="Jane")
            for _ in range(500):
                await alice.send("send-message", text="x" * 1900)
            await wait(daemon, lambda now: now["roomd_slow_clients"] == 1)
            top = await asyncio.to_thread(roomd, "top", "--interval", "0.1", "--database", daemon.database)
            assert "SLOW CLIENT" in top.output
            assert ", 1 slow" in top.output


def test_what_every_answer_has(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Every metric of the table is there under its name, with those of the process and of Python."""
    watched = make_daemon(**an_endpoint(tmp_path))
    text = get(watched)
    found = parse(text)
    for family in FAMILIES:
        base = family.name.removesuffix("_total")
        assert f"# HELP {family.name} " in text
        assert any(series.startswith(base) for series in found), family.name
        assert family.name.endswith("_total") == (family.kind == "counter")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    build = next(series for series in found if series.startswith("roomd_build_info"))
    assert f'version="{__version__}"' in build
    assert f'sqlite="{sqlite3.sqlite_version}"' in build
    assert found["roomd_config_last_reload_successful"] == 1
    assert found["roomd_config_last_reload_success_timestamp_seconds"] > 1.7e9
    assert found["process_resident_memory_bytes"] > 0
    assert found["roomd_memory_bytes"] == pytest.approx(found["process_resident_memory_bytes"], rel=0.5)
    assert found["roomd_start_time_seconds"] == pytest.approx(found["process_start_time_seconds"], abs=PATIENCE)
    assert 0 < found["roomd_cpu_seconds_total"] < PATIENCE
    assert "python_info" in text
    later = wait_for_metrics(watched, lambda now: now["roomd_loop_lag_seconds_count"] > 0)
    assert later['roomd_loop_lag_seconds_bucket{le="+Inf"}'] == later["roomd_loop_lag_seconds_count"]


def test_no_series_for_each_client(watched: Daemon) -> None:
    """The number of series does not grow with people, rooms and what clients send."""
    before = metrics(watched)

    async def crowd() -> None:
        for number in range(5):
            code = (await watched.room(f"host-{number}"))["code"]
            async with watched.client(f"user-{number}") as client:
                await client.join(code)
                await client.ask(f"unknown-{number}")
                await client.websocket.close(4000 + number)

    asyncio.run(crowd())
    after = wait_for_metrics(watched, lambda now: now['roomd_closes_total{code="other"}'] == 5)
    assert after.keys() == before.keys()


def test_an_address_of_their_own(tmp_path: Path) -> None:
    """A port alone is one of this machine. Nothing but the metrics is there."""
    port = free_port()
    with serving(tmp_path, ROOMD_METRICS_LISTEN=str(port)) as daemon:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert parse(answer.read().decode())["roomd_connections"] == 0
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"http://127.0.0.1:{port}/status", timeout=PATIENCE)
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))
        assert daemon.stop() == 0


def test_a_unix_socket_of_their_own(tmp_path: Path) -> None:
    """It is for every user of the machine, and goes with the daemon."""
    path = tmp_path / "metrics.sock"
    with serving(tmp_path, ROOMD_METRICS_LISTEN=f"unix:{path}") as daemon:
        assert path.stat().st_mode & 0o777 == 0o666
        with connect_to(path, PATIENCE) as connected:
            connected.sendall(b"GET /metrics?name=x HTTP/1.0\r\n\r\n")
            with connected.makefile("rb") as stream:
                assert b"roomd_connections 0.0" in stream.read()
        assert daemon.stop() == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("listen", "code", "reason"),
    [
        ("loud", MISUSED, "metrics.listen: 'loud' is no address to listen on"),
        (
            "127.0.0.1:{taken}",
            PASSING,
            "metrics: cannot listen on 127.0.0.1:{taken}: Address already in use; choose another",
        ),
        ("unix:/nowhere/metrics.sock", PASSING, "cannot listen on unix:/nowhere/metrics.sock: No such file"),
    ],
)
def test_an_address_that_cannot_be(tmp_path: Path, listen: str, code: int, reason: str) -> None:
    """The daemon does not start, and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        environ = Daemon(tmp_path, ROOMD_METRICS_LISTEN=listen.format(taken=taken)).environ
        result = completed(["serve"], environ)
    assert result.returncode == code
    assert reason.format(taken=taken) in result.stderr


def test_the_library_is_not_loaded_at_the_start() -> None:
    """A daemon without metrics does not pay for them."""
    script = "import sys, roomd.daemon; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE)
