"""A backend that takes webhooks knows who was in the rooms, however badly it, the network and the daemon do."""

import asyncio
import base64
import contextlib
import http.client
import json
import re
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roomd.config import WebhookEndpoint
from roomd.eventlog.webhooks.signing import sign
from roomd.verify.replay import Replay
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE, end, free_port, spawn
from tests.support.receiver import HERE, OTHER_SIGNING, SIGNING, Receiver, endpoints, secret_file, setting

pytestmark = pytest.mark.both_stores

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"
QUICK = {"ROOMD_WEBHOOKS_RETRY_FIRST": "0.01", "ROOMD_WEBHOOKS_RETRY_LONGEST": "0.05", "ROOMD_WEBHOOKS_TIMEOUT": "1"}


async def history(daemon: Daemon, code: str) -> dict[str, tuple[str, str | None]]:
    """Return everyone who was ever in a room: from when, to when."""
    async with daemon.client("alice") as host:
        listed = await host.ask("list-participants", code=code, history=True, limit=200)
    return {one["id"]: (one["joinedAt"], one["leftAt"]) for one in listed["participants"]}


def attended(events: list[dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    """Replay a record, which checks its order, and return who was there."""
    replay = Replay()
    replay.read(events)
    return {key: (one["joinedAt"], one["leftAt"]) for key, one in replay.stays.items()}


async def visits(daemon: Daemon, code: str, numbers: range) -> None:
    """Have users come and go."""
    for number in numbers:
        async with daemon.client(f"user{number}") as client:
            await client.join(code)
            await client.send("leave-room")
            await client.events()


TROUBLES: dict[str, list[str]] = {
    "answers 500": ["ok", "500", "500", "500", "ok", "500"],
    "asks to wait": ["503", "503"],
    "hangs": ["ok", "ok", "hang", "ok"],
    "answers late": ["ok", "late", "late"],
    "redirects": ["redirect", "redirect", "ok", "redirect"],
    "sends a body without end": ["endless", "ok", "endless"],
    "closes early": ["close", "close", "ok", "close"],
    "speaks no HTTP": ["nonsense", "ok", "nonsense"],
}


@pytest.mark.parametrize("plan", TROUBLES.values(), ids=TROUBLES)
async def test_the_record_is_the_history(make_daemon: Callable[..., Daemon], tmp_path: Path, plan: list[str]) -> None:
    """Whatever the endpoint does, in the end its record has everything, in order, and by id nothing twice."""
    async with Receiver() as receiver, Receiver() as elsewhere:
        receiver.plan.extend(plan)
        receiver.there = elsewhere.url
        daemon = make_daemon(**QUICK, **setting(endpoints(tmp_path, backend=receiver.url)))
        room = await daemon.room()
        await visits(daemon, room["code"], range(6))
        await receiver.until_type("participant-left", 6)
        assert attended(receiver.events) == await history(daemon, room["code"])
        assert len(receiver.events) == 13
        assert receiver.forged == 0
        assert receiver.most_at_once == 1
        assert not receiver.plan
        assert elsewhere.requests == [], "a redirect was followed"


async def test_the_daemon_is_killed_and_the_endpoint_is_away(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    """kill -9 in the middle, the endpoint down for a while: what was told twice has the same id."""
    async with Receiver() as receiver:
        receiver.plan.extend(["ok"] + ["500"] * 50)  # so the second event waits from here on
        daemon = make_daemon(**QUICK, **setting(endpoints(tmp_path, backend=receiver.url)))
        room = await daemon.room()
        async with daemon.client("carol") as carol:
            await carol.join(room["code"])
            await visits(daemon, room["code"], range(4))
            await asyncio.to_thread(daemon.kill)
        await receiver.stop()
        daemon.start()
        await visits(daemon, room["code"], range(4, 8))
        await asyncio.to_thread(daemon.kill)
        daemon.start()
        receiver.plan.clear()
        receiver.plan.extend(["close", "hang"])
        await receiver.start()
        async with daemon.client("alice") as host:
            await host.ask("end-room", code=room["code"])
        await receiver.until_type("room-ended")
        assert attended(receiver.events) == await history(daemon, room["code"])
        assert receiver.forged == 0
        assert receiver.most_at_once == 1


async def test_one_endpoint_does_not_hold_another(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """One hangs for ever; the other has everything. Each gets the types that it asks for."""
    async with Receiver() as stuck, Receiver() as well, Receiver() as some:
        stuck.plan.extend(["hang"] * 1000)
        wanted = endpoints(tmp_path, stuck=stuck.url, well=well.url, some=some.url)
        wanted["some"]["types"] = ["participant-joined"]
        daemon = make_daemon(ROOMD_WEBHOOKS_TIMEOUT="60", **setting(wanted))
        room = await daemon.room()
        await visits(daemon, room["code"], range(5))
        await well.until_type("participant-left", 5)
        await some.until_type("participant-joined", 5)
        assert len(stuck.requests) == 1
        assert {event["type"] for event in some.events} == {"participant-joined"}
        assert some.connections == 1, "the connection is kept"


async def test_a_reload_rotates_the_secret(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Old, both, new: at each step a receiver that knows either of the two takes everything. Nothing is restarted."""
    config = tmp_path / "roomd.toml"
    old, new = secret_file(tmp_path), secret_file(tmp_path, OTHER_SIGNING, "new.secret")

    def write(*files: str, url: str) -> None:
        config.write_text(
            f"[webhooks.endpoints.backend]\nurl = '{url}'\nsecret_files = {list(files)}\nprivate = true\n"
        )

    async with Receiver(SIGNING) as first, Receiver(OTHER_SIGNING) as second:
        write(old, url=first.url)
        daemon = make_daemon(ROOMD_CONFIG=str(config), **QUICK)
        await daemon.room()
        await first.until_type("room-created")
        write(old, new, url=second.url)
        daemon.process.send_signal(1)
        await asyncio.to_thread(daemon.wait_for_log, '"changed":["webhooks.endpoints"]')
        await daemon.room()
        await second.until_type("room-created")
        assert len(second.requests[0].headers["webhook-signature"].split(" ")) == 2
        secret_file(tmp_path, "whsec_c2hvcnQ=", "new.secret")
        daemon.process.send_signal(1)
        await asyncio.to_thread(daemon.wait_for_log, "must have 24 to 64 bytes")
        config.write_text("[events]\nkeep = '6d'\n")
        daemon.process.send_signal(1)
        await asyncio.to_thread(daemon.wait_for_log, '"changed":["events.keep","webhooks.endpoints"]')
        await daemon.room()
        assert (first.forged, second.forged, len(first.events), len(second.events)) == (0, 0, 1, 1)
        for secret in (SIGNING.removeprefix("whsec_"), OTHER_SIGNING.removeprefix("whsec_"), "key=q"):
            assert secret not in daemon.log.read_text()


async def test_a_private_address_is_refused(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Without `private` nothing is ever sent to this machine, by whatever name."""
    async with Receiver() as receiver:
        urls = {f"name{number}": f"https://{host}:{receiver.port}/" for number, host in enumerate(HERE)}
        wanted = endpoints(tmp_path, **urls)
        for endpoint in wanted.values():
            endpoint["private"] = False
        daemon = make_daemon(**QUICK, **setting(wanted))
        await daemon.room()
        for name in wanted:
            await asyncio.to_thread(daemon.wait_for_log, f'"endpoint":"{name}"')
        assert daemon.log.read_text().count("the address is not public") >= len(wanted)
        assert receiver.connections == 0


async def test_the_receiver_of_the_how_to(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """The commands, the configuration and the program of docs/how-to/webhooks.md: its table is who was there."""
    page = HOW_TO.read_text(encoding="utf-8")
    (commands,), (table,), (program,) = (
        re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("sh", "toml", "python")
    )
    await asyncio.to_thread(subprocess.run, ["bash", "-euc", commands], cwd=tmp_path, check=True)
    shown = tomllib.loads(table.replace("# types", "types").replace("# private", "private"))
    (endpoint,) = shown["webhooks"]["endpoints"].values()
    assert endpoint.keys() == set(WebhookEndpoint.__struct_fields__)
    (tmp_path / "webhooks.py").write_text(program)
    port, secret, kept = free_port(), tmp_path / "webhook.secret", tmp_path / "attendance.db"
    receiving = [sys.executable, "webhooks.py", str(port), str(secret)]
    process = spawn(receiving, cwd=tmp_path)
    try:
        wanted = {"backend": {**endpoint, "url": f"http://127.0.0.1:{port}/", "secret_files": [str(secret)]}}
        daemon = make_daemon(**QUICK, **setting(wanted))
        room = await daemon.room()
        await visits(daemon, room["code"], range(3))
        process.kill()
        await visits(daemon, room["code"], range(3, 6))
        end(process)
        process = spawn(receiving, cwd=tmp_path)
        left = "SELECT participant_id, joined_at, left_at FROM attendance WHERE left_at IS NOT NULL"
        deadline = time.monotonic() + PATIENCE
        while len(rows := await asyncio.to_thread(stored, kept, left)) < 6:
            assert time.monotonic() < deadline, daemon.log.read_text()
            await asyncio.sleep(0.05)
        assert {key: (came, went) for key, came, went in rows} == await history(daemon, room["code"])
        await asyncio.to_thread(forge, port, secret, kept)
    finally:
        end(process)


def forge(port: int, secret: Path, kept: Path) -> None:
    """Send the receiver of the how-to what it must refuse, and a webhook twice: it is kept once."""
    key = base64.b64decode(secret.read_text().strip().removeprefix("whsec_"))
    person = {"id": "01985c3f8a2b4c5d6e7f8091", "userId": None, "displayName": "Zoë", "leftAt": None}
    person["joinedAt"] = "2026-03-03T10:36:00.000Z"
    event = {"id": "e1", "type": "participant-joined", "room": {"code": "abc-def-ghi"}, "participant": person}
    body = json.dumps(event).encode()

    def send(headers: dict[str, str], body: bytes = body) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("POST", "/", body, headers)
            return connection.getresponse().status

    def count() -> int:
        return len(stored(kept, "SELECT participant_id FROM attendance"))

    before, now = count(), int(time.time())
    genuine = sign("e1", now, body, [key])
    assert send(genuine, body.replace(b"abc", b"xyz")) == 400, "altered"
    assert send({**genuine, "webhook-id": "e2"}) == 400, "with another id"
    assert send({**genuine, "webhook-timestamp": str(now + 1)}) == 400, "with another time"
    assert send(sign("e1", now, body, [key[:-1]])) == 400, "with another secret"
    assert send({}) == 400, "not signed"
    assert send(sign("e1", now - 301, body, [key])) == 400, "replayed later"
    assert count() == before
    assert [send(genuine), send(genuine), count()] == [204, 204, before + 1], "replayed at once"


def stored(file: Path, sql: str) -> list[tuple[str, ...]]:
    """Read rows of the receiver's database."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        return db.execute(sql).fetchall()
