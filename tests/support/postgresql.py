"""A PostgreSQL server of the tests: Debian's programs, a folder of its own, and a socket in it.

The programs refuse to run as root, so root starts them as the user `postgres`. `python -m tests.support.postgresql
FOLDER COMMAND` starts a server whose data stay in FOLDER, and then COMMAND with its URL as `ROOMD_DATABASE_URL`.
"""

import atexit
import contextlib
import itertools
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from roomd.storage.postgresql.connection import Connection
from tests.support.processes import PATIENCE, spawn

STORE = "TEST_ROOMD_STORE"
"""The variable that says where the daemons of tests store: `postgresql`, or else in a file."""
USER = "postgres"
VERSIONS = Path("/usr/lib/postgresql")
SOCKET, LONGEST_SOCKET = ".s.PGSQL.5432", 107

FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "autovacuum": "off",
    "max_parallel_workers": "0",
}
"""Settings of a server whose data nobody needs after a power cut."""

EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC
"""
"""Makes a database as it was when it was created, if only the schema `public` was used."""


class Missing(Exception):  # noqa: N818 - a state, not a mistake
    """PostgreSQL cannot run here. The text says what to do."""


def is_store() -> bool:
    """Return whether daemons that tests start now store in PostgreSQL."""
    return os.environ.get(STORE) == "postgresql"


def programs() -> Path:
    """Return the folder of the newest PostgreSQL. Raises `Missing`."""
    found = sorted(VERSIONS.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise Missing("these tests need PostgreSQL: sudo apt-get install postgresql, or `make system`")
    return found[-1].parent


class Server:
    """A server. Its data are in a folder that exists, and that its user owns."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self._settings = settings
        self._programs = programs()
        self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"] if os.geteuid() == 0 else []
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._returned: list[str] = []

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{self.user}@/{database}?host={self.folder}"

    @property
    def user(self) -> str:
        """The name of the superuser."""
        return USER if self._as_user else pwd.getpwuid(os.geteuid()).pw_name

    def start(self) -> None:
        """Make the data, unless they are there, and start the server."""
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._run("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "--pgdata", str(data))
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        place = ["-k", str(self.folder), "-c", "listen_addresses="]
        command = [str(self._programs / "postgres"), "-D", str(data), *place, *options]
        log = (self.folder / "log").open("ab")
        with log:
            # With the death of this process it stops, too (prctl(2)).
            with_parent = ["setpriv", "--pdeathsig=INT"] if not self._as_user else [*self._as_user, "--pdeathsig=INT"]
            self._process = spawn([*with_parent, *command], stdout=log, stderr=log, cwd="/", start_new_session=True)
        self._wait()

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop the server: at once, in order, or with SIGQUIT as by a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)

    def copy(self, source: "Server") -> None:
        """Become a standby of a server that runs: its data replace those of this one, which does not run."""
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        options = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        self._run("pg_basebackup", *options, f"--pgdata={data}", f"--dbname=host={source.folder} user={source.user}")

    def create(self) -> str:
        """Return the URL of an empty database: one that was given back, or else a new one.

        To empty one takes 24 ms of a processor, to create one 60 ms or more.
        """
        if self._returned:
            url = self._returned.pop()
            self.run_sql(EMPTY, url)
            return url
        name = f"roomd_{next(self._numbers)}"
        self.run_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Let another test have a database, in which only the schema `public` was used."""
        self._returned.append(url)

    def run_sql(self, sql: str, database: str = "postgres") -> str:
        """Run a statement with psql in a database, named or by its URL, and return what it prints: the rows alone."""
        url = database if ":" in database else self.url(database)
        done = subprocess.run(
            [str(self._programs / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql],
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=PATIENCE)
        if done.returncode:
            raise Missing(f"{program} failed in {self.folder}: {done.stderr.strip()}")

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder), "-U", self.user]
        while subprocess.run(ready, check=False, timeout=PATIENCE).returncode:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)


def prepare(folder: Path) -> None:
    """Make a folder that belongs to the server's user, and check that this user reaches it. Raises `Missing`."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(os.fsencode(folder.absolute() / SOCKET)) > LONGEST_SOCKET:
        raise Missing(f"{folder.absolute()}: this path is too long for the socket of PostgreSQL")
    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        raise Missing(f"there is no user {USER}, whom root needs to run PostgreSQL") from None
    os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o700)
    reach = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "test", "-w", str(folder.absolute())]
    if subprocess.run(reach, check=False, cwd="/").returncode:
        raise Missing(f"{folder}: the user {USER} cannot reach it; let others pass its parents (chmod o+x)")


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Server]:
    """Run a server of a test in a folder that is removed in the end. Its name is short, as paths of sockets must be.

    Raises `Missing`.
    """
    folder = Path(tempfile.mkdtemp(prefix="roomd-pg-"))
    try:
        prepare(folder)
        server = Server(folder, {**FAST, **settings})
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def shared() -> Server:
    """Return the server of this process, which runs until its end. Raises `Missing`."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running())


@cache
def database_of(folder: Path) -> str | None:
    """Return the URL of the database that belongs to the folder of a daemon, if tests are to run on PostgreSQL.

    `TEST_ROOMD_STORE=postgresql` says so.
    """
    return shared().create() if is_store() else None


@pytest.fixture(scope="session", autouse=True)
def store_of_daemons(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where the daemons of a test store: what `TEST_ROOMD_STORE` says, or each with the marker `both_stores`.

    A fixture that lasts longer than a test and has a daemon needs this one.
    """
    with pytest.MonkeyPatch.context() as patch:
        if (name := getattr(request, "param", None)) is not None:
            patch.setenv(STORE, name)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Server:
    """The server of this process. Where PostgreSQL is missing its tests fail, and say what to install."""
    try:
        return shared()
    except Missing as exc:
        pytest.fail(str(exc), pytrace=False)


def made_secret(folder: Path) -> Path:
    """Return the file of the secret that signs tokens, beside the folder of a server. It is made once."""
    secret = folder.with_suffix(".secret")
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
    return secret


def settings(url: str, secret: Path) -> str:
    """Return the configuration of a daemon with a database and a secret."""
    return f"[database]\nurl = {json.dumps(url)}\n\n[auth]\nsecret_file = {json.dumps(str(secret))}\n"


def main(folder: Path, command: Sequence[str]) -> int:
    """Run a server and a command with its URL, until the command ends. Return its exit code.

    The secret that signs tokens is beside the folder, and so is the configuration for the command and others.
    """
    folder = folder.absolute()
    try:
        prepare(folder)
        server = Server(folder, {})
        server.start()
    except Missing as exc:
        print(f"roomd: {exc}", file=sys.stderr)
        return 2
    try:
        if server.run_sql("SELECT count(*) FROM pg_database WHERE datname = 'roomd'") == "0":
            server.run_sql("CREATE DATABASE roomd TEMPLATE template0 ENCODING 'UTF8'")
        url = server.url("roomd")
        print(f"PostgreSQL answers at {url}", flush=True)
        config = folder.with_suffix(".toml")
        config.write_text(settings(url, made_secret(folder)))
        environ = {**os.environ, "ROOMD_CONFIG": str(config), "ROOMD_DATABASE_URL": url}
        with subprocess.Popen(command, env=environ) as process:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda got, _: process.send_signal(got))
            return process.wait()
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))


@contextlib.asynccontextmanager
async def holding(other: Connection, sql: str) -> AsyncIterator[None]:
    """Run a statement in a transaction that stays open for the block."""
    with contextlib.suppress(ZeroDivisionError):
        async with other.transaction():
            await other.execute(sql)
            yield
            raise ZeroDivisionError  # roll back
