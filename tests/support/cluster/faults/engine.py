"""PostgreSQL as a cluster has it: a primary, and a standby to which each commit is copied before it is answered."""

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.postgresql import FAST, SOCKET, Server, prepare
from tests.support.processes import PATIENCE

SETTINGS = {**FAST, "synchronous_commit": "on", "wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "64MB"}
DATABASE = "roomd"
_STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_OTHERS = "FROM pg_stat_activity WHERE datname = 'roomd' AND pid <> pg_backend_pid()"


class Engine:
    """Two servers, of which one is the primary. Every method waits until it is done."""

    def __init__(self, folders: list[Path]) -> None:
        self.servers = [Server(folder, SETTINGS) for folder in folders]
        self.primary, self.standby = self.servers

    @property
    def sockets(self) -> list[Path]:
        """The sockets of both servers."""
        return [server.folder / SOCKET for server in self.servers]

    def start(self) -> None:
        """Start both with an empty database."""
        self.primary.start()
        self.primary.run_sql(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
        self.add_standby()

    def add_standby(self) -> None:
        """Make the standby a copy of the primary, whose commits wait for it from now on."""
        self.standby.copy(self.primary)
        self.start_standby()
        self.wait_for_standby(is_required=True)

    def start_standby(self) -> None:
        """Start the standby, and wait until commits are copied to it, if they are to be."""
        self.standby.start()

    def wait_for_standby(self, *, is_required: bool) -> None:
        """Say whether commits wait for the standby. If so, wait until it has all of them."""
        self.primary.run_sql(f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if is_required else ''}'")
        self.primary.run_sql("SELECT pg_reload_conf()")
        if is_required:
            wait_until(lambda: self.primary.run_sql(_STREAMING) == "1")

    def stop_standby(self) -> None:
        """Stop the standby: commits wait."""
        self.standby.stop()

    def waiting(self) -> int:
        """Return how many commits wait for the standby."""
        return int(self.primary.run_sql(_WAITING))

    def crash(self) -> None:
        """Let the primary crash."""
        self.primary.stop(signal.SIGQUIT)

    def promote(self) -> None:
        """Make the standby the primary. Its commits wait for nobody."""
        self.primary, self.standby = self.standby, self.primary
        assert self.primary.run_sql("SELECT pg_promote(true, 60)") == "t"
        self.wait_for_standby(is_required=False)

    def end_connections(self, share: float) -> int:
        """End a share of the connections at random, and return how many."""
        return int(
            self.primary.run_sql(
                f"SELECT count(pg_terminate_backend(pid)) {_OTHERS} AND backend_type = 'client backend' "
                f"AND random() < {share}"
            )
        )

    def run_sql(self, sql: str) -> str:
        """Run a statement in the database of the daemons, and return what psql prints."""
        return self.primary.run_sql(sql, DATABASE)

    def close(self) -> None:
        """Stop both."""
        for server in (self.standby, self.primary):
            server.stop(signal.SIGQUIT)


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """Run both servers in folders that are removed in the end. Their names are short, as paths of sockets must be."""
    folders = [Path(tempfile.mkdtemp(prefix="roomd-pg-")) for _ in range(2)]
    try:
        for folder in folders:
            prepare(folder)
        engine = Engine(folders)
        try:
            engine.start()
            yield engine
        finally:
            engine.close()
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)
