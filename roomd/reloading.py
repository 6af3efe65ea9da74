"""Reload the configuration while the daemon runs.

A reload reads the same sources as the start, builds and checks everything, and only then replaces what is in use, in
one step of the event loop. So an error changes nothing, and no request sees a mixture. `Reload` in `config/sections.py`
says when each setting takes effect.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from roomd.auth.keys import KeySource, check_keys, fetched_keys, make_own_key, open_keys, policy
from roomd.auth.tokens import Key, Policy
from roomd.auth.webhook_secrets import webhook_secrets
from roomd.config import (
    AuthConfig,
    Config,
    ConfigError,
    WebhooksConfig,
    changed_settings,
    check_url_files,
    local_secret_file,
)
from roomd.engine.served import ServedRooms
from roomd.eventlog.webhooks.endpoints import Endpoint, load
from roomd.eventlog.webhooks.service import Webhooks
from roomd.gateway.listener import Listener
from roomd.gateway.services import Services
from roomd.ice import Ice, open_ice
from roomd.rooms.settings import Rules

log = logging.getLogger("roomd.reloading")


class Parts(msgspec.Struct, frozen=True):
    """A configuration, with what is built from it and from the files that it names."""

    config: Config
    """The configuration."""
    own_key: Key
    """The key that signs the tokens that are given for tickets."""
    keys: KeySource
    """The keys to verify tokens with."""
    policy: Policy
    """The conditions that a token must meet."""
    ice: Ice
    """The STUN and TURN servers, and their secret."""
    endpoints: list[Endpoint]
    """The endpoints of webhooks, and their secrets."""


def check_files(config: Config) -> None:
    """Check the files that the configuration names, and create none. Raises `ConfigError`."""
    database = Path(config.database.path)
    check_url_files(config.database)
    check_keys(config.auth, database)
    open_ice(config.ice, database)
    webhook_secrets(config.webhooks, database)


def make_parts(config: Config, before: Parts | None = None) -> Parts:
    """Read the files that the configuration names, and build what is needed of them. `before` is what is in use.

    A missing local secret is created last. Raises `ConfigError` that names the setting and what to do.
    """
    database = Path(config.database.path)
    check_keys(config.auth, database)
    ice = open_ice(config.ice, database)
    own = make_own_key(config.auth, database)
    keys = open_keys(config.auth, database, own, None if before is None else before.keys)
    return Parts(config, own, keys, policy(config.auth), ice, _endpoints(config.webhooks, database))


def _endpoints(webhooks: WebhooksConfig, database: Path) -> list[Endpoint]:
    secrets = webhook_secrets(webhooks, database)
    if secrets:
        load()
    return [
        Endpoint(
            name=name,
            url=one.url,
            secrets=secrets[name],
            types=one.types,
            is_private=one.private,
            timeout=webhooks.timeout,
            retry_first=webhooks.retry_first,
            retry_longest=webhooks.retry_longest,
        )
        for name, one in webhooks.endpoints.items()
    ]


def rules(config: Config) -> Rules:
    """Return what the configuration sets for every room."""
    return Rules(
        seat_hold=config.rooms.seat_hold,
        max_participants=config.limits.max_participants,
        grace=config.auth.grace,
        host_passes_lock=config.rooms.host_passes_lock,
        history_visible=config.rooms.history_for_newcomers,
        room_bytes=config.limits.room_bytes,
        address_ban=config.rooms.address_ban,
        show_user_ids=config.rooms.show_user_ids,
        log_events=config.events.enabled,
        log_messages=config.events.messages,
    )


def _nothing() -> None:
    """Do nothing."""


class Reloader:
    """Replace what the running daemon uses by what its sources of configuration say now.

    `read` reads the sources; it runs in a thread and raises `ConfigError`. `parts` are in use at first. `use` applies
    what concerns the process: the log level, the limit of open files. `began` and `ended` are called around each
    reload, so that the service manager can be told of it.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        parts: Parts,
        services: Services,
        hub: ServedRooms,
        listener: Listener,
        use: Callable[[Config], None],
        webhooks: Webhooks,
        *,
        began: Callable[[], None] = _nothing,
        ended: Callable[[], None] = _nothing,
    ) -> None:
        self._read = read
        self._parts = parts
        self._services = services
        self._hub = hub
        self._listener = listener
        self._use = use
        self._webhooks = webhooks
        self._began = began
        self._ended = ended
        self._lock = asyncio.Lock()
        self._replaced: list[KeySource] = []  # sources whose keys may still be fetched for clients that wait for them

    @property
    def config(self) -> Config:
        """The configuration that is in use."""
        return self._parts.config

    async def reload(self) -> list[str]:
        """Reload the configuration, log the result, and return the names of the settings that have changed.

        The name of a setting that names a file is among them when the file has another secret or key. A reload that is
        called during another one begins after it. Raises `ConfigError` with the reason; then nothing was changed.
        """
        async with self._lock:
            self._began()
            try:
                parts = await asyncio.to_thread(self._build)
                changed = list(_changes(self._parts, parts))
                self._replace(parts)
            except Exception as error:
                self._services.counters.reloaded(False, self._services.clock.wall())
                if isinstance(error, ConfigError):
                    log.error("not reloaded", {"reason": str(error)})
                raise
            finally:
                self._ended()
        self._services.counters.reloaded(True, self._services.clock.wall())
        log.info("reloaded", {"changed": changed})
        return changed

    async def reload_when(self, wanted: asyncio.Event) -> None:
        """Reload whenever `wanted` is set, until cancelled. It may be set again during a reload."""
        while True:
            await wanted.wait()
            wanted.clear()
            try:
                await self.reload()
            except ConfigError:
                pass  # it is in the log
            except Exception as exc:  # the edge of the signal: the daemon goes on with what it has
                log.exception("reload failed", {"error": type(exc).__name__})

    async def close(self) -> None:
        """Close the keys that are in use, and those that were. Closing twice is fine."""
        for keys in (*self._replaced, self._services.keys):
            await keys.close()

    def _build(self) -> Parts:
        config = self._read()
        fixed = [one.name for one in changed_settings(self._parts.config, config) if one.reload == "restart"]
        if fixed:
            raise ConfigError(
                f"{', '.join(fixed)}: cannot change while roomd runs; restart it, or undo the change and reload again"
            )
        return make_parts(config, self._parts)

    def _replace(self, parts: Parts) -> None:
        """Replace everything. Nothing here may fail or await."""
        before, self._parts = self._parts, parts
        services, config = self._services, parts.config
        if (fetched := fetched_keys(before.keys)) is not None and fetched is not fetched_keys(parts.keys):
            self._replaced.append(fetched)
        services.keys, services.own_key, services.policy = parts.keys, parts.own_key, parts.policy
        services.ice, services.limits = parts.ice, config.limits
        services.ids.code_groups = config.rooms.code_groups
        self._hub.use(rules(config))
        self._listener.use(config)
        self._webhooks.use(parts.endpoints)
        self._use(config)


def _changes(before: Parts, after: Parts) -> Iterator[str]:
    """Yield the names of the settings that have changed, and of those whose file has another secret or key."""
    changed = [setting.name for setting in changed_settings(before.config, after.config)]
    yield from changed
    auth = after.config.auth
    if before.keys != after.keys and _sources(before.config.auth) == _sources(auth):
        if auth.public_key_file is not None and before.own_key == after.own_key:
            yield "auth.public_key_file"
        elif auth.secret_file is not None:
            yield "auth.secret_file"
        elif auth.ticket_secret_file is not None:
            yield "auth.ticket_secret_file"
        else:
            yield str(local_secret_file(Path(after.config.database.path)))
    if before.ice.secret != after.ice.secret and not {"ice.turn_secret", "ice.turn_secret_file"}.intersection(changed):
        yield "ice.turn_secret_file"
    if "webhooks.endpoints" not in changed and _signing(before) != _signing(after):
        yield "webhooks.endpoints"


def _signing(parts: Parts) -> dict[str, tuple[bytes, ...]]:
    return {endpoint.name: endpoint.secrets for endpoint in parts.endpoints}


def _sources(auth: AuthConfig) -> tuple[str | None, ...]:
    return auth.secret, auth.secret_file, auth.public_key_file, auth.jwks_url, auth.ticket_secret_file
