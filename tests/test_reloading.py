"""A reload, setting by setting: each one is taken, or needs a restart, as its declaration says."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from roomd.auth.jwks import FetchedKeys
from roomd.auth.keys import fetched_keys
from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import Key, mint
from roomd.config import Config, ConfigError, Setting, WebhookEndpoint, settings
from roomd.counters import Counters
from roomd.engine.duties import AllDuties
from roomd.engine.hub import Hub
from roomd.eventlog.feed import Feed
from roomd.eventlog.webhooks.service import Webhooks
from roomd.gateway.addresses import address_keys
from roomd.gateway.client import Client
from roomd.gateway.connection_log import ConnectionLog
from roomd.gateway.listener import Listener
from roomd.gateway.outbox import Outbox, encode_frame
from roomd.gateway.services import Services
from roomd.limits.usage import Usage
from roomd.protocol.errors import Refused
from roomd.reloading import Reloader, make_parts, rules
from roomd.system.ids import Ids
from tests.support.fake_progress import FakeProgress
from tests.support.fakes import FakeClock, FakeStore
from tests.support.processes import PATIENCE
from tests.support.receiver import SIGNING

SECRET, OTHER_SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

Values = dict[str, Any]


class Running:
    """What the daemon builds at its start of this configuration, on a fake store; `wanted` is what a reload reads."""

    def __init__(self, config: Config) -> None:
        self.wanted = config
        self.process: list[object] = []
        self.calls: list[str] = []
        self.ended = asyncio.Event()
        parts = make_parts(config)
        store, clock, ids = FakeStore(), FakeClock(), Ids(config.rooms.code_groups)
        self.hub = Hub(store, rules(config), clock, ids, encode_frame)
        self.services = Services(
            self.hub, store, parts.keys, parts.policy, clock, ids, config.limits, parts.ice, parts.own_key, store,
            address_keys(b"k"),
        )  # fmt: skip
        self.listener = Listener(config, self.services, self.hub)
        self.webhooks = Webhooks(
            Feed(store.log), FakeProgress(), clock, Counters(), ids.new_id, random.random, AllDuties()
        )
        self.webhooks.use(parts.endpoints)
        self.reloader = Reloader(
            lambda: self.wanted,
            parts,
            self.services,
            self.hub,
            self.listener,
            self._use,
            self.webhooks,
            began=lambda: self.calls.append("began"),
            ended=self._end,
        )
        self._use(config)

    def _end(self) -> None:
        self.calls.append("ended")
        self.ended.set()

    def _use(self, config: Config) -> None:
        self.process = [config.server.log_level, config.limits.connections]

    def in_use(self) -> list[object]:
        """Return all that follows from the configuration, as it is in use now."""
        services, listener = self.services, self.listener
        ledgers, proxies = listener._ledgers, listener._proxies
        allowances = [one._allowances for one in (ledgers.members, ledgers.rooms, ledgers.addresses)]
        return [
            services.keys, services.own_key, services.policy, services.ice, services.limits, services.ids.code_groups,
            self.hub._services.rules, listener._routes._handshake._origins, proxies._networks, proxies._trusts_unix,
            [list(one.of) + list(one.most) for one in (*allowances, ledgers._pool)], ledgers._connections.limit,
            listener._settings.ping_interval, listener._settings.log_addresses, self.process,
            self.reloader.config.events.keep, self.reloader.config.retention,
            [one.endpoint for one in self.webhooks._pushers.values()],
        ]  # fmt: skip


def configuration(folder: Path, values: Values) -> Config:
    """Build a configuration of values by the names of the settings."""
    config = Config()
    for name, value in {"database.path": str(folder / "roomd.db"), **values}.items():
        section, _, key = name.partition(".")
        changed = msgspec.structs.replace(getattr(config, section), **{key: value})
        config = msgspec.structs.replace(config, **{section: changed})
    return config


def file(folder: Path, name: str, content: str) -> str:
    """Write a file that only its owner can read."""
    path = folder / name
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


def public_key(folder: Path, name: str) -> str:
    """Write the public key of a new pair."""
    key = generate_private_key(SECP256R1()).public_key()
    return file(folder, name, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def endpoint(folder: Path, url: str) -> WebhookEndpoint:
    """Return an endpoint with a secret."""
    return WebhookEndpoint(url, (file(folder, "webhook.secret", SIGNING),))


def webhook(folder: Path) -> Values:
    """Return an endpoint to which other settings of webhooks apply."""
    return {"webhooks.endpoints": {"a": endpoint(folder, "https://a.example/")}}


TURN = {"ice.turn": ("turn:a.example",), "ice.turn_secret": SECRET}
CHANGES: dict[str, Callable[[Path], tuple[Values, Values]]] = {
    "server.host": lambda _: ({}, {"server.host": "::1"}),
    "server.path": lambda _: ({}, {"server.path": "/other"}),
    "server.allowed_origins": lambda _: ({}, {"server.allowed_origins": ("https://a.example",)}),
    "server.trusted_proxies": lambda _: ({}, {"server.trusted_proxies": ("10.0.0.0/8",)}),
    "server.listen": lambda _: ({}, {"server.listen": ("127.0.0.1:9465",)}),
    "server.socket_mode": lambda _: ({}, {"server.socket_mode": "660"}),
    "admin.socket": lambda _: ({}, {"admin.socket": "/run/roomd/admin.sock"}),
    "metrics.listen": lambda _: ({}, {"metrics.listen": "9464"}),
    "retention.messages": lambda _: ({}, {"retention.messages": "30d"}),
    "retention.stays": lambda _: ({}, {"retention.stays": 3600.0}),
    "retention.rooms": lambda _: ({"retention.rooms": "1d"}, {"retention.rooms": None}),
    "auth.secret": lambda _: ({"auth.secret": SECRET}, {"auth.secret": OTHER_SECRET}),
    "auth.secret_file": lambda folder: ({}, {"auth.secret_file": file(folder, "secret", SECRET)}),
    "auth.public_key_file": lambda folder: ({}, {"auth.public_key_file": public_key(folder, "a.pem")}),
    "auth.jwks_url": lambda _: (
        {"auth.jwks_url": "https://a.example/keys"},
        {"auth.jwks_url": "https://b.example/keys"},
    ),
    "auth.algorithms": lambda folder: (
        {"auth.public_key_file": public_key(folder, "a.pem")},
        {"auth.algorithms": ("ES256",)},
    ),
    "webhooks.endpoints": lambda folder: (
        {
            "webhooks.endpoints": {
                "a": endpoint(folder, "https://a.example/"),
                "b": endpoint(folder, "https://b.example/"),
            }
        },
        {
            "webhooks.endpoints": {
                "b": endpoint(folder, "https://c.example/"),
                "d": endpoint(folder, "https://d.example/"),
            }
        },
    ),
    "webhooks.timeout": lambda folder: (webhook(folder), {"webhooks.timeout": 20.0}),
    "webhooks.retry_first": lambda folder: (webhook(folder), {"webhooks.retry_first": 2.0}),
    "webhooks.retry_longest": lambda folder: (webhook(folder), {"webhooks.retry_longest": 600.0}),
    "auth.issuer": lambda _: ({}, {"auth.issuer": "https://a.example"}),
    "auth.audience": lambda _: ({}, {"auth.audience": "roomd"}),
    "auth.ticket_secret_file": lambda folder: (
        {
            "auth.public_key_file": public_key(folder, "a.pem"),
            "auth.ticket_secret_file": file(folder, "a", SECRET),
        },
        {"auth.ticket_secret_file": file(folder, "b", OTHER_SECRET)},
    ),
    "cluster.nats": lambda _: ({}, {"cluster.nats": ("nats://a.example",)}),
    "cluster.node": lambda _: ({}, {"cluster.node": "b"}),
    "cluster.advertise": lambda _: ({}, {"cluster.advertise": "http://a.example"}),
    "cluster.subject": lambda _: ({}, {"cluster.subject": "other"}),
    "cluster.credentials_file": lambda _: ({}, {"cluster.credentials_file": "roomd.creds"}),
    "cluster.ca_file": lambda _: ({}, {"cluster.ca_file": "ca.pem"}),
    "cluster.certificate_file": lambda _: ({}, {"cluster.certificate_file": "node.pem"}),
    "cluster.key_file": lambda _: ({}, {"cluster.key_file": "node.key"}),
    "database.url": lambda _: ({"auth.secret": SECRET}, {"database.url": "postgresql://db.example/roomd"}),
    "database.path": lambda folder: ({}, {"database.path": str(folder / "other.db")}),
    "ice.stun": lambda _: ({}, {"ice.stun": ("stun:a.example",)}),
    "ice.turn": lambda _: (TURN, {"ice.turn": ("turn:b.example",)}),
    "ice.turn_secret": lambda _: (TURN, {"ice.turn_secret": OTHER_SECRET}),
    "ice.turn_secret_file": lambda folder: (
        {"ice.turn": TURN["ice.turn"], "ice.turn_secret_file": file(folder, "a", SECRET)},
        {"ice.turn_secret_file": file(folder, "b", OTHER_SECRET)},
    ),
}
"""What a test changes, and in what: by the folder for files, the values before and the new ones."""


def change(setting: Setting, folder: Path) -> tuple[Values, Values]:
    """Return the values before, and new ones: of the table, or another choice, or one more than the default."""
    if setting.name in CHANGES:
        return CHANGES[setting.name](folder)
    default = setting.default
    if isinstance(default, str):
        choices = get_args(get_args(setting.type)[0])
        return {}, {setting.name: next(choice for choice in choices if choice != default)}
    return {}, {setting.name: not default if isinstance(default, bool) else default + 1}


@pytest.mark.parametrize("setting", [*settings()], ids=lambda setting: setting.name)
async def test_every_setting(tmp_path: Path, setting: Setting) -> None:
    """After a reload all in use is what a start would build; what needs a restart is refused, and nothing changes."""
    values, changes = change(setting, tmp_path)
    before, after = (configuration(tmp_path, one) for one in (values, {**values, **changes}))
    running, fresh = Running(before), Running(after)
    in_use = running.in_use()
    running.wanted = after
    if setting.reload == "restart":
        with pytest.raises(ConfigError, match=f"^{setting.name}: cannot change while roomd runs; restart it"):
            await running.reloader.reload()
        assert running.in_use() == in_use
    else:
        assert await running.reloader.reload() == [setting.name]
        assert running.in_use() != in_use
        if setting.name != "auth.jwks_url":  # each start fetches keys of its own
            assert running.in_use() == fresh.in_use()
    assert running.calls == ["began", "ended"]
    await running.reloader.close()


async def test_another_key_in_the_same_file(tmp_path: Path) -> None:
    """A file is read again, and its setting counts as changed; the local secret is named by its file."""
    secret = file(tmp_path, "turn", SECRET)
    ice = {"ice.turn": TURN["ice.turn"], "ice.turn_secret_file": secret}
    running = Running(configuration(tmp_path, {"auth.public_key_file": public_key(tmp_path, "a.pem"), **ice}))
    assert await running.reloader.reload() == []
    public_key(tmp_path, "a.pem")
    assert await running.reloader.reload() == ["auth.public_key_file"]
    file(tmp_path, "turn", OTHER_SECRET)
    assert await running.reloader.reload() == ["ice.turn_secret_file"]
    local = file(tmp_path, "roomd.secret", OTHER_SECRET)
    assert await running.reloader.reload() == [local]


async def test_reloads_come_one_after_another(tmp_path: Path) -> None:
    """The second of two begins after the first has ended, and finds what the first one has left."""
    running = Running(configuration(tmp_path, {}))
    running.wanted = configuration(tmp_path, {"limits.frame": 2048})
    changed = await asyncio.gather(running.reloader.reload(), running.reloader.reload())
    assert [*changed] == [["limits.frame"], []]
    assert running.calls == ["began", "ended"] * 2


async def test_fetched_keys_stay_for_the_same_url(tmp_path: Path) -> None:
    """A reload that changes nothing of it keeps the issuer's keys; another URL has others."""
    running = Running(configuration(tmp_path, {"auth.jwks_url": "https://a.example/keys"}))
    fetched = fetched_keys(running.services.keys)
    assert await running.reloader.reload() == []
    assert isinstance(fetched, FetchedKeys)
    assert fetched_keys(running.services.keys) is fetched
    running.wanted = configuration(tmp_path, {"auth.secret": SECRET})
    assert await running.reloader.reload() == ["auth.secret", "auth.jwks_url"]
    assert fetched_keys(running.services.keys) is None
    await running.reloader.close()


class GatedKeys:
    """Keys that come when the test opens the gate."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    def keys_at_hand(self, token: str) -> None:
        return None

    async def keys_for(self, token: str) -> list[Key]:
        self.asked.set()
        await self.gate.wait()
        return [self.key]

    async def close(self) -> None:
        pass


async def test_a_token_that_waits_for_keys_meets_the_new_ones(tmp_path: Path) -> None:
    """Whoever waits for keys during a reload gets those that are in use after it: the old secret is worth nothing."""
    running = Running(configuration(tmp_path, {"auth.secret": OTHER_SECRET}))
    services = running.services
    waited_for = GatedKeys(Key(SECRET.encode(), "HS256"))
    services.keys = waited_for
    usage = Usage(running.listener._ledgers, None)
    client = Client(ConnectionLog(1), cast("Outbox", None), usage, services, asyncio.ensure_future)
    old = mint(SECRET.encode(), TokenOrder(user="alice", ttl=60), services.clock.wall())
    identifying = asyncio.create_task(client.identify(old))
    await waited_for.asked.wait()
    assert await running.reloader.reload() == []
    waited_for.gate.set()
    with pytest.raises(Refused, match="invalid_token"):
        await identifying


async def test_a_fault_in_a_reload_does_not_end_the_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What no part expects is logged, and the next signal reloads."""
    caplog.set_level("INFO", "roomd.reloading")
    running = Running(configuration(tmp_path, {}))
    config, wanted = running.wanted, asyncio.Event()
    faults = iter([OSError("the disk"), None])

    def read() -> Config:
        if (fault := next(faults)) is not None:
            raise fault
        return config

    running.reloader._read = read
    reloading = asyncio.create_task(running.reloader.reload_when(wanted))
    for _ in range(2):
        wanted.set()
        await asyncio.wait_for(running.ended.wait(), PATIENCE)
        running.ended.clear()
    assert [record.message for record in caplog.records] == ["reload failed", "reloaded"]
    reloading.cancel()
    await asyncio.gather(reloading, return_exceptions=True)
