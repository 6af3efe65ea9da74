"""Three daemons on one PostgreSQL and one NATS, as their users start them."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.support.daemon import Client, Daemon
from tests.support.nats import NatsServer, running
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE

_OWNER = """
    SELECT nodes.name FROM rooms JOIN owners ON owners.room_id = rooms.id
    JOIN nodes ON nodes.generation = owners.generation AND nodes.lease_until > clock_timestamp() WHERE rooms.code = '{}'
"""
_LOGGED = """
    SELECT events.type FROM rooms JOIN events ON events.room_id = rooms.id WHERE rooms.code = '{}'
    ORDER BY events.position
"""
_DOER = """
    SELECT nodes.name FROM duties JOIN nodes USING (generation) WHERE duties.name = '{}'
    AND lease_until > clock_timestamp()
"""


class Trio:
    """The daemons a, b and c."""

    def __init__(self, folder: Path, server: Server, nats: NatsServer, **more: str) -> None:
        """`more` are settings of all three."""
        self.url = server.create()
        self._server = server
        self.nats = nats
        self.daemons = {}
        for name in "abc":
            (folder / name).mkdir()
            settings = {
                "ROOMD_DATABASE_URL": self.url,
                "ROOMD_CLUSTER_NATS": nats.url,
                "ROOMD_CLUSTER_NODE": name,
                **more,
            }
            self.daemons[name] = Daemon(folder / name, **settings)

    def start(self) -> None:
        """Start all of them, and wait until each is ready."""
        for daemon in self.daemons.values():
            daemon.start()
        for daemon in self.daemons.values():
            wait_ready(daemon)

    def owner(self, code: str) -> str:
        """Return the name of the node that has a room; empty for none."""
        return self.sql(_OWNER.format(code))

    def logged(self, code: str) -> list[str]:
        """Return the types of all log events of a room, in the order of the log."""
        return self.sql(_LOGGED.format(code)).split()

    def sql(self, statement: str) -> str:
        """Run a statement in the database, and return its output."""
        return self._server.run_sql(statement, self.url)

    def doer(self, duty: str) -> str:
        """Return the name of the node that has a duty; empty for none."""
        return self.sql(_DOER.format(duty))

    def close(self) -> None:
        """Stop whatever still runs."""
        for daemon in self.daemons.values():
            if daemon.is_started:
                daemon.process.send_signal(signal.SIGCONT)
            daemon.close()


def wait_ready(daemon: Daemon) -> None:
    """Wait until a daemon is ready for clients."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(HTTPError), urlopen(f"http://127.0.0.1:{daemon.port}/readyz", timeout=PATIENCE):
            return
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.05)


@contextlib.contextmanager
def trio(folder: Path, server: Server, **more: str) -> Iterator[Trio]:
    """Run three daemons with some more settings, and stop them in the end."""
    with running(folder) as nats:
        made = Trio(folder, server, nats, **more)
        try:
            made.start()
            yield made
        finally:
            made.close()


async def until(client: Client, type_: str) -> dict[str, Any]:
    """Read until a frame of this type comes, and return it."""
    async with asyncio.timeout(PATIENCE):
        while (frame := await client.receive())["type"] != type_:
            pass
    return frame
