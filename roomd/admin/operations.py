"""What the admin interface can do."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import get_args

import msgspec

from roomd import __version__
from roomd.admin.server import AdminError, Operation, takes
from roomd.config import Config, ConfigError, LogLevel, absolute_name
from roomd.counters import Counters
from roomd.engine.forgetting import Forgetter, IsThere, Person
from roomd.engine.ports import Clock, Rooms, StorageFailed
from roomd.gateway.listener import Listener
from roomd.protocol import admin
from roomd.protocol.errors import Close, Refused
from roomd.protocol.timestamps import stamp
from roomd.system.logging import set_level
from roomd.system.memory import resident

log = logging.getLogger("roomd.admin.operations")

KICKED = "an operator closed the connection"
"""The close reason of a connection that an operator has closed."""


def operations(
    config: Config,
    rooms: Rooms,
    listener: Listener,
    reload: Callable[[], Awaitable[list[str]]],
    counters: Counters,
    clock: Clock,
    forgetter: Forgetter,
) -> Mapping[str, Operation]:
    """Return every operation, by "METHOD /path".

    `reload` reads the configuration again; it returns the settings that have changed, and raises `ConfigError`.
    """

    def status() -> admin.Status:
        counted = rooms.statistics()
        return admin.Status(
            version=__version__,
            pid=os.getpid(),
            started_at=stamp(counters.started_at),
            is_draining=rooms.is_draining,
            rooms=counted["rooms"],
            members=counted["listeners"],
            connections=len(listener.connections),
            strangers=listener.strangers,
            limit=listener.limit,
            memory=resident(),
            database=absolute_name(config.database),
            addresses=[str(address) for address in listener.addresses],
            log_level=logging.getLevelName(logging.getLogger().level).lower(),
        )

    def connections() -> admin.Connections:
        now = clock.monotonic()
        found = sorted(listener.connections, key=lambda connection: connection.number)
        return admin.Connections(connections=[connection.status(now) for connection in found])

    def kick(order: admin.Kick) -> admin.Done:
        for connection in listener.connections:
            if connection.number == order.number:
                log.info("kicked", {"connection": order.number})
                connection.outbox.close(Close.RESTARTING, KICKED)
                return admin.Done()
        raise AdminError(f"there is no connection {order.number}; `roomd connections` lists those there are")

    def drain(order: admin.Drain) -> admin.Done:
        if rooms.is_stopping:
            raise AdminError("the daemon stops; it takes newcomers when it has started again")
        rooms.is_draining = order.is_draining
        log.info("draining" if order.is_draining else "draining no more")
        return admin.Done()

    def log_level(order: admin.LogLevel) -> admin.Done:
        if order.level not in get_args(LogLevel):
            raise AdminError(f"{order.level}: is no level; allowed: {', '.join(get_args(LogLevel))}")
        set_level(order.level)
        log.warning("log level set", {"level": order.level})
        return admin.Done()

    async def reload_configuration() -> admin.Reloaded:
        try:
            return admin.Reloaded(changed=await reload())
        except ConfigError as error:
            raise AdminError(str(error)) from None

    async def forget(order: admin.Forget) -> admin.Forgotten:
        user, guest = order.user_id, order.participant_id
        if (user is None) == (guest is None):
            raise AdminError("give the id of a user or of a guest, one of them")
        person = Person("user", user) if user is not None else Person("guest", guest or "")
        try:
            done = await forgetter.forget(person, is_try=order.is_dry_run)
        except IsThere as there:
            raise AdminError(f"{person.id} {there}") from None
        except (StorageFailed, Refused):
            raise AdminError(
                "storage failed, and the log says why; what was begun is finished by trying again"
            ) from None
        return admin.Forgotten(**msgspec.structs.asdict(done))

    return {
        "GET /status": asks(status),
        "GET /connections": asks(connections),
        "POST /forget": takes(admin.Forget, forget),
        "POST /kick": takes(admin.Kick, kick),
        "POST /drain": takes(admin.Drain, drain),
        "POST /reload": asks(reload_configuration),
        "POST /log-level": takes(admin.LogLevel, log_level),
    }


def asks(answer: Callable[[], object]) -> Operation:
    """Return an operation that takes nothing."""
    return lambda _: answer()
