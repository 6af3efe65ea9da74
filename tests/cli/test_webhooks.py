"""`roomd webhooks` against a real daemon: what an operator sees and does, and what the endpoint gets."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.commands import roomd
from tests.support.daemon import Daemon
from tests.support.metrics import metrics
from tests.support.processes import PATIENCE
from tests.support.receiver import SIGNING, Receiver, endpoints, setting

OK, REFUSED, MISUSED = 0, 1, 2
QUICK = {"ROOMD_WEBHOOKS_RETRY_FIRST": "0.01", "ROOMD_WEBHOOKS_RETRY_LONGEST": "0.05"}


async def webhooks(daemon: Daemon, *arguments: str, exits: int = OK) -> str:
    """Run a command beside the receiver; return what it says."""
    result = await asyncio.to_thread(roomd, "webhooks", *arguments, "--database", daemon.database)
    assert result.exit_code == exits, result.output
    return result.output


async def listed(daemon: Daemon, name: str = "backend") -> dict[str, Any]:
    """Return what is listed of an endpoint."""
    found = {one["name"]: one for one in json.loads(await webhooks(daemon, "--json"))["webhooks"]}
    return dict(found[name])


async def until(daemon: Daemon, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until something holds of what is listed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition(found := await listed(daemon)):
                return found
            await asyncio.sleep(0.05)


def file_of(folder: Path, daemon: Daemon) -> str:
    """Write a configuration that names the database of a daemon."""
    file = folder / "named.toml"
    file.write_text(f"[database]\npath = '{daemon.database}'\n")
    return str(file)


def types(events: list[dict[str, Any]]) -> list[str]:
    """Return the types of events."""
    return [event["type"] for event in events]


async def test_list_test_and_the_metrics(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Position, how far behind, the last success and error; and no URL and no secret in any of it."""
    async with Receiver() as receiver:
        daemon = make_daemon(**QUICK, **setting(endpoints(tmp_path, backend=receiver.url)))
        assert "delivered: status 204 after 0." in await webhooks(daemon, "test", "backend")
        assert types(receiver.events) == ["webhook-test"]
        receiver.plan.append("500")
        said = await webhooks(daemon, "test", "backend", exits=REFUSED)
        assert said.startswith("roomd: not delivered: status 500 (after 0.")
        receiver.plan.append("500")
        await daemon.room()
        await receiver.until_type("room-created")
        found = await until(daemon, lambda one: bool(one["deliveredAt"]) and one["failures"] == 0)
        assert found["position"] == receiver.events[-1]["position"]
        assert (found["state"], found["behind"], found["age"]) == ("delivering", 0, 0)
        assert (found["error"], found["lost"]) == ("status 500", 0)
        text = await webhooks(daemon)
        assert found["position"] in text
        shown = await asyncio.to_thread(metrics, daemon)
        assert shown['roomd_webhook_deliveries_total{endpoint="backend",result="delivered"}'] == 1
        assert shown['roomd_webhook_deliveries_total{endpoint="backend",result="refused"}'] == 1
        there = {"ROOMD_CONFIG": file_of(tmp_path, daemon)}
        elsewhere = await asyncio.to_thread(roomd, "webhooks", "test", "backend", environ=there)
        assert (elsewhere.exit_code, elsewhere.stdout[:9]) == (OK, "delivered")
        misplaced = await asyncio.to_thread(roomd, "webhooks", "--json", "test", "backend")
        assert misplaced.exit_code == MISUSED
        assert "give options after the command: roomd webhooks test" in misplaced.stderr
        for output in (text, json.dumps(found), daemon.log.read_text()):
            assert not any(secret in output for secret in (SIGNING, "key=q", str(receiver.port)))


async def test_skip_and_replay(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """What is skipped never comes; what is replayed comes again with the same ids."""
    async with Receiver() as receiver:
        daemon = make_daemon(**QUICK, **setting(endpoints(tmp_path, backend=receiver.url)))
        await receiver.stop()
        rooms = [await daemon.room() for _ in range(4)]
        found = await until(daemon, lambda one: bool(one["failures"]))
        assert (found["state"], found["behind"], found["deliveredAt"]) == ("failing", 4, None)
        assert found["age"] >= 0
        await webhooks(daemon, "skip", "backend")
        assert (await listed(daemon))["behind"] == 0
        await receiver.start()
        last = await daemon.room()
        await receiver.until_type("room-created")
        assert [event["room"]["id"] for event in receiver.events] == [last["id"]]
        await webhooks(daemon, "replay", "backend", "--from", "oldest")
        await receiver.until(lambda: len(receiver.requests) == 6)
        assert [request.event["room"]["id"] for request in receiver.requests[1:]] == [
            *(room["id"] for room in rooms), last["id"],
        ]  # fmt: skip
        assert receiver.requests[0].headers["webhook-id"] == receiver.requests[-1].headers["webhook-id"]
        position = receiver.requests[3].event["position"]
        assert "use `roomd webhooks replay`" in await webhooks(
            daemon, "skip", "backend", "--to", position, exits=REFUSED
        )
        await webhooks(daemon, "replay", "backend", "--from", position)
        await receiver.until(lambda: len(receiver.requests) == 8)
        assert "no such endpoint; there are: backend" in await webhooks(daemon, "skip", "other", exits=REFUSED)
        assert "after must be the position" in await webhooks(daemon, "skip", "backend", "--to", "x", exits=REFUSED)
        said = await webhooks(daemon, "replay", "backend", "--from", f"000000000000{position[12:]}", exits=REFUSED)
        assert "position_expired" in said


async def test_gone(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """410 disables an endpoint, beyond a restart, until an operator enables it. Then it goes on where it was."""
    async with Receiver() as receiver:
        receiver.plan.extend(["ok", "410"])
        daemon = make_daemon(**QUICK, **setting(endpoints(tmp_path, backend=receiver.url)))
        rooms = [await daemon.room() for _ in range(3)]
        assert (await until(daemon, lambda one: one["state"] == "gone"))["error"] == "status 410"
        await asyncio.to_thread(daemon.stop)
        daemon.start()
        rooms.append(await daemon.room())
        assert (await listed(daemon))["state"] == "gone"
        assert len(receiver.requests) == 2
        await webhooks(daemon, "enable", "backend")
        await receiver.until_type("room-created", 4)
        assert [event["room"]["id"] for event in receiver.events] == [room["id"] for room in rooms]


async def test_events_that_were_deleted_are_told(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """An endpoint that was away for longer than `events.keep` goes on with the oldest; the gap is counted."""
    async with Receiver() as receiver:
        daemon = make_daemon(ROOMD_EVENTS_KEEP="1h", **QUICK, **setting(endpoints(tmp_path, backend=receiver.url)))
        await daemon.room()
        await receiver.until_type("room-created")
        await until(daemon, lambda one: one["behind"] == 0)
        await asyncio.to_thread(daemon.stop)
        with closing(sqlite3.connect(daemon.database)) as db:
            for _ in range(5):
                db.execute(
                    "INSERT INTO events SELECT max(position) + 1, room_id, '2020-01-01T00:00:00.000Z', type, "
                    "substr(body, 1, 57) || printf('%012x', max(position) + 1) || substr(body, 70) FROM events"
                )
            db.execute("DELETE FROM events WHERE position < 6")
            db.commit()
        daemon.start()
        found = await until(daemon, lambda one: one["lost"] >= 4)
        assert found["state"] == "delivering"
        await asyncio.to_thread(daemon.wait_for_log, '"event":"webhook events lost","endpoint":"backend","events":4')
        shown = await asyncio.to_thread(metrics, daemon)
        assert shown['roomd_webhook_lost_total{endpoint="backend"}'] == found["lost"]
        last = await daemon.room()
        await receiver.until(lambda: receiver.events[-1]["room"]["id"] == last["id"])


def test_an_endpoint_is_checked_before_the_start(tmp_path: Path) -> None:
    """`roomd check-config` reads the secrets, as the start does."""
    (tmp_path / "short").write_text("whsec_c2hvcnQ=")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "plain").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "plain").chmod(0o600)
    (tmp_path / "open").write_text(SIGNING)
    (tmp_path / "open").chmod(0o644)
    expected = {
        "short": "must have 24 to 64 bytes; make one with",
        "plain": "must be whsec_ and base64, on one line; make one with",
        "open": "others can read it (mode 0644)",
        "none": "cannot be read: No such file or directory",
    }
    for name, problem in expected.items():
        value = {"backend": {"url": "https://backend.example/", "secret_files": [str(tmp_path / name)]}}
        environ = {"ROOMD_DATABASE_PATH": str(tmp_path / "roomd.db"), **setting(value)}
        result = roomd("check-config", environ=environ)
        assert result.exit_code == MISUSED
        assert f"webhooks.endpoints.backend.secret_files: {tmp_path / name}: {problem}" in result.stderr
