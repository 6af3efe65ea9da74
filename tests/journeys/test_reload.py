"""SIGHUP reloads the configuration: what is new from then on, what stays, and what is refused."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets import Origin
from websockets.exceptions import InvalidStatus

from tests.support.daemon import SECRET, Daemon, error, faults
from tests.support.metrics import metrics
from tests.support.processes import PATIENCE

OTHER_SECRET = "another secret for tests only, 32 bytes and more"


class Configured:
    """A daemon with a configuration file that a test changes."""

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        self.file = folder / "roomd.toml"
        self.daemon = Daemon(folder, ROOMD_CONFIG=str(self.file))
        del self.daemon.environ["ROOMD_AUTH_SECRET"], self.daemon.environ["ROOMD_SERVER_PORT"]
        self.write(**sections)
        self.daemon.start()

    def write(self, **sections: dict[str, Any]) -> None:
        """Write the file: TOML has these values as JSON has them."""
        sections = {"auth": {"secret": SECRET}, **sections}
        sections["server"] = {"port": self.daemon.port, **sections.get("server", {})}
        lines = [
            line
            for section, values in sections.items()
            for line in (f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
        ]
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text("\n".join(lines))
        unfinished.chmod(0o600)
        unfinished.rename(self.file)

    def results(self) -> list[dict[str, Any]]:
        """Return the lines of the log about reloads."""
        lines = [json.loads(line) for line in self.daemon.log.read_text().splitlines()]
        return [line for line in lines if line["logger"] == "roomd.reloading"]

    async def reloads(self) -> tuple[float, float, float]:
        """Return how many reloads the metrics count: good ones, bad ones, and whether the last one was good."""
        found = await asyncio.to_thread(metrics, self.daemon)
        counted = [found[f'roomd_config_reloads_total{{result="{result}"}}'] for result in ("success", "failure")]
        return counted[0], counted[1], found["roomd_config_last_reload_successful"]

    async def reload(self, **sections: dict[str, Any]) -> dict[str, Any]:
        """Write the file, send SIGHUP, and return the line of the log about it."""
        if sections:
            self.write(**sections)
        before = len(self.results())
        self.daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while len(self.results()) == before:
            assert time.monotonic() < deadline, self.daemon.log.read_text()
            await asyncio.sleep(0.02)
        return self.results()[-1]

    async def changed(self, **sections: dict[str, Any]) -> list[str]:
        """Reload, which must succeed, and return the settings that it says have changed."""
        line = await self.reload(**sections)
        assert (line["level"], line["event"]) == ("info", "reloaded"), line
        found: list[str] = line["changed"]
        return found


Configure = Callable[..., Configured]


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    """Start a daemon with these sections in its file."""
    with contextlib.ExitStack() as stack:

        def start(**sections: dict[str, Any]) -> Configured:
            configured = Configured(tmp_path, **sections)
            stack.callback(configured.daemon.close)
            return configured

        yield start


async def test_another_secret(configure: Configure) -> None:
    """Tokens of the new secret are taken and those of the old one refused. Who has a seat keeps it."""
    configured = configure()
    daemon = configured.daemon
    room = await daemon.room()
    old = daemon.token("bob")
    async with daemon.client("alice") as alice:
        await alice.join(room["code"])
        assert await configured.changed(auth={"secret": OTHER_SECRET}) == ["auth.secret"]
        daemon.secret = OTHER_SECRET
        async with daemon.client("carol") as carol:
            state = (await carol.join(room["code"]))["state"]
            assert [one["displayName"] for one in state["participants"]] == ["alice", "carol"]
        async with daemon.client(token=old) as bob:
            assert await bob.ask("ping") == error("invalid_token")
            assert await bob.closed() == 4401
        await alice.send("update-room", id="mine", code=room["code"], name="Still here")
        while (reply := await alice.receive()).get("id") != "mine":
            pass  # of Carol, who has left at some time
        assert reply["type"] == "room"


async def test_another_secret_in_the_same_file(configure: Configure, tmp_path: Path) -> None:
    """A file under the same name is read again, and the line names its setting."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    configured = configure(auth={"secret_file": str(file)})
    daemon = configured.daemon
    old = daemon.token("alice")
    assert await configured.changed() == []
    file.write_text(OTHER_SECRET)
    assert await configured.changed() == ["auth.secret_file"]
    async with daemon.client(token=old) as alice:
        assert await alice.ask("ping") == error("invalid_token")
    daemon.secret = OTHER_SECRET
    await daemon.room()


async def test_a_lower_rate_holds_for_a_connected_client(configure: Configure) -> None:
    """Everybody has the new limits, also who is connected; a higher rate lets them go on."""
    configured = configure()
    async with configured.daemon.client("alice") as alice:
        await alice.nothing_more()
        limits = {"request_rate": 0.001, "request_burst": 5}
        assert await configured.changed(limits=limits) == ["limits.request_rate", "limits.request_burst"]
        replies = [await alice.ask("ping") for _ in range(6)]
        refused = replies[-1]
        assert replies == [{"type": "pong"}] * 5 + [error("rate_limited", retryAfter=refused["retryAfter"])]
        assert await configured.changed(limits={"request_rate": 500}) == ["limits.request_rate", "limits.request_burst"]
        for _ in range(20):
            await alice.nothing_more()


async def test_another_turn_secret(configure: Configure, tmp_path: Path) -> None:
    """Credentials that are asked for after the reload are of the new secret, and for the new servers."""
    file = tmp_path / "turn.secret"
    file.write_text("the first static-auth-secret")
    file.chmod(0o600)
    ice = {"turn": ["turn:a.example"], "turn_secret_file": str(file)}
    configured = configure(ice=ice)
    room = await configured.daemon.room()
    async with configured.daemon.client("alice") as alice:
        await alice.join(room["code"])
        first = await alice.ask("get-ice-servers")
        file.write_text("the second static-auth-secret")
        assert await configured.changed() == ["ice.turn_secret_file"]
        second = await alice.ask("get-ice-servers")
        assert first["iceServers"][0]["username"] == second["iceServers"][0]["username"]
        assert first["iceServers"][0]["credential"] != second["iceServers"][0]["credential"]
        assert await configured.changed(ice={**ice, "turn": ["turn:b.example"]}) == ["ice.turn"]
        assert (await alice.ask("get-ice-servers"))["iceServers"][0]["urls"] == ["turn:b.example"]


async def test_log_level(configure: Configure) -> None:
    """Lines of the new level are written from then on."""
    configured = configure()
    daemon = configured.daemon
    async with daemon.client("alice"):
        pass
    assert await configured.changed(server={"log_level": "debug"}) == ["server.log_level"]
    assert '"level":"debug"' not in daemon.log.read_text()
    async with daemon.client("alice"):
        pass
    await asyncio.to_thread(daemon.wait_for_log, '"level":"debug"')


async def test_origins_and_addresses(configure: Configure) -> None:
    """Pages of the new origins may connect and the others not; addresses are logged, and proxies believed, as set."""
    configured = configure(server={"allowed_origins": ["https://a.example"]})
    daemon = configured.daemon
    server = {"allowed_origins": ["b.example"], "log_addresses": "masked", "trusted_proxies": ["198.51.100.0/24"]}
    names = ["server.allowed_origins", "server.log_addresses", "server.trusted_proxies"]
    assert await configured.reload(server=server) == {**configured.results()[-1], "event": "not reloaded"}
    server["allowed_origins"] = ["https://b.example"]
    async with daemon.client(origin=Origin("https://a.example"), address="203.0.113.7"):
        pass
    assert await configured.changed(server=server) == names
    async with daemon.client(origin=Origin("https://b.example"), address="203.0.113.7"):
        pass
    with pytest.raises(InvalidStatus) as caught:
        async with daemon.client(origin=Origin("https://a.example")):
            pass
    assert caught.value.response.status_code == 403
    await asyncio.to_thread(daemon.wait_for_log, "127.0.0.0/24")
    lines = map(json.loads, daemon.log.read_text().splitlines())
    addresses = [line["address"] for line in lines if line["event"] == "connected"]
    assert addresses == ["203.0.113.7", "127.0.0.0/24"]


async def test_rules_hold_for_rooms_in_use(configure: Configure) -> None:
    """A room in which somebody has a seat gets the new rules, too."""
    configured = configure()
    room = await configured.daemon.room()
    async with configured.daemon.client("alice") as alice, configured.daemon.client() as guest:
        await alice.join(room["code"])
        assert (await guest.join(room["code"], guestName="Jane"))["state"]["room"]["hostId"] == "alice"
        changed = await configured.changed(rooms={"show_user_ids": "users"}, limits={"max_participants": 10})
        assert changed == ["rooms.show_user_ids", "limits.max_participants"]
        seen = (await guest.ask("get-room", code=room["code"]))["room"]
        assert seen["hostId"] == ""
        await alice.events()
        refused = await alice.ask("update-room", code=room["code"], maxParticipants=11)
        assert refused == error("invalid_settings", "maxParticipants must be 2 to 10")


BURST = {"request_burst": 1}
"""Limits that a client notices at once."""
REFUSED: dict[str, tuple[str | dict[str, Any], list[str]]] = {
    "a wrong value": ({"limits": {**BURST, "frame": "large"}}, ["limits.frame", "int"]),
    "an unknown key": ({"limits": {**BURST, "request_rat": 1}}, ["limits", "request_rat", "allowed"]),
    "no TOML": ("[limits", ["not valid TOML"]),
    "a short secret": ({"auth": {"secret": "short"}, "limits": BURST}, ["auth.secret", "at least 32 bytes"]),
    "a missing file": ({"auth": {"secret_file": "/nowhere"}, "limits": BURST}, ["auth.secret_file", "/nowhere"]),
    "another port": ({"server": {"port": 1}, "limits": BURST}, ["server.port: cannot change", "restart"]),
    "another page": ({"server": {"demo": False}, "limits": BURST}, ["server.demo: cannot change"]),
    "two of them": (
        {"server": {"host": "::1"}, "database": {"reserve": 5}, "limits": BURST},
        ["server.host, database.reserve: cannot change"],
    ),
}


async def test_what_is_refused_changes_nothing(configure: Configure) -> None:
    """The line is an error, names the key and says what to do; secrets, limits and all else are as before."""
    configured = configure()
    daemon = configured.daemon
    for change, parts in REFUSED.values():
        if isinstance(change, str):
            configured.file.write_text(change)
            change = {}
        line = await configured.reload(**change)
        assert (line["level"], line["event"]) == ("error", "not reloaded")
        assert all(part in line["reason"] for part in parts), line
        async with daemon.client("alice") as alice:  # by the secret that is in use
            for _ in range(10):
                await alice.nothing_more()
    assert await configured.reloads() == (0, len(REFUSED), 0)
    configured.write()
    assert await configured.changed() == []
    assert await configured.reloads() == (1, len(REFUSED), 1)
    assert len(configured.results()) == len(REFUSED) + 1


async def test_many_reloads_while_clients_join(configure: Configure) -> None:
    """Twenty signals in a row, while clients join, harm nobody: each is served, and the last configuration holds."""
    configured = configure()
    daemon = configured.daemon
    room = await daemon.room()

    async def visit(number: int) -> None:
        async with daemon.client(f"user{number}") as client:
            await client.join(room["code"])

    async def hang_up() -> None:
        for number in range(20):
            configured.write(limits={"request_rate": 400 + number})
            daemon.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0)

    await asyncio.gather(*map(visit, range(40)), hang_up())
    await asyncio.gather(hang_up(), *map(visit, range(40, 60)))
    await configured.reload(limits={"request_rate": 0.001, "request_burst": 1})
    await asyncio.to_thread(daemon.wait_for_log, '"limits.request_burst"')
    async with daemon.client("alice") as alice:
        assert [(await alice.ask("ping"))["type"] for _ in range(2)] == ["pong", "error"]
    assert faults(daemon) == []


async def test_a_signal_while_the_daemon_stops(tmp_path: Path) -> None:
    """SIGHUP never ends the daemon, also not while it stops."""
    daemon = Daemon(tmp_path)
    daemon.start()
    daemon.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(daemon.wait_for_log, '"reloaded"')
    process = daemon.process
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.01)
    assert process.wait() == 0
    assert faults(daemon) == []


def waits_with_hangups(process: int) -> bool:
    """Return whether SIGHUP is blocked in a process, as `__main__` does it first of all (proc(5), status)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(blocked.split()[1], 16) & 1 << signal.SIGHUP - 1)


@pytest.mark.sqlite
async def test_a_signal_while_the_daemon_starts(tmp_path: Path) -> None:
    """A signal that comes before the daemon serves waits until then: what was changed meanwhile is not missed."""
    daemon = Daemon(tmp_path, ROOMD_DATABASE_BUSY_TIMEOUT="3600")
    daemon.start()
    assert daemon.stop() == 0
    daemon.log.unlink()
    others = sqlite3.connect(daemon.database, check_same_thread=False)
    others.execute("BEGIN EXCLUSIVE")  # the daemon waits for it, and serves nobody yet

    def hang_up() -> None:
        deadline = time.monotonic() + PATIENCE
        while not daemon.is_started or not waits_with_hangups(daemon.process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert "listening" not in daemon.log.read_text()
        daemon.process.send_signal(signal.SIGHUP)
        others.close()

    await asyncio.gather(asyncio.to_thread(daemon.start), asyncio.to_thread(hang_up))
    await asyncio.to_thread(daemon.wait_for_log, '"reloaded"')
    assert daemon.stop() == 0
