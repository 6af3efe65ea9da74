"""PostgreSQL and NATS over TLS, with credentials: real servers, and what a start says where something is wrong."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.cluster.daemons import wait_ready
from tests.support.daemon import SECRET, serving
from tests.support.forking import completed
from tests.support.nats import NatsServer
from tests.support.nats import running as nats_running
from tests.support.nats_accounts import Accounts
from tests.support.postgresql import FAST, Server, running
from tests.support.processes import free_port

PASSWORD = "a password that nobody may read"


class Secured:
    """A PostgreSQL that takes TLS and a password only, on an address of its own, and files of its clients."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        self.ca, self.other_ca = Authority(folder), Authority(folder, "other")
        self.address, self.elsewhere = _address(), _address()
        server.run_sql(f"CREATE ROLE roomd LOGIN PASSWORD '{PASSWORD}'")
        server.run_sql("CREATE DATABASE roomd OWNER roomd TEMPLATE template0 ENCODING 'UTF8'")
        server.stop()
        certificate, key = (self._place(file, server.folder) for file in self.ca.issue(self.address))
        old, old_key = (self._place(file, server.folder) for file in self.ca.issue(self.address, days=-1))
        hba = server.folder / "hba.conf"
        hba.write_text("local all all trust\nhostssl all roomd 127.0.0.0/8 scram-sha-256\n")
        self.settings = {
            **FAST, "ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "hba_file": str(hba),
            "listen_addresses": f"{self.address},{self.elsewhere}",
        }  # fmt: skip
        self._old = {"ssl_cert_file": old, "ssl_key_file": old_key}
        self.server = Server(server.folder, self.settings)
        self.expired = Server(server.folder, {**self.settings, **self._old})
        self.passfile = self.password(PASSWORD)
        self.server.start()

    def password(self, text: str) -> Path:
        """Write a password file, as libpq reads it."""
        file = self.folder / f"pgpass-{len(text)}"
        file.write_text(f"{self.address}:*:*:roomd:{text}\n")
        file.chmod(0o600)
        return file

    def url(self, ca: Path | None = None, passfile: Path | None = None, address: str = "") -> str:
        """Return the URL of the database."""
        files = f"sslrootcert={ca or self.ca.file}&passfile={passfile or self.passfile}"
        return f"postgresql://roomd@{address or self.address}/roomd?sslmode=verify-full&{files}"

    @staticmethod
    def _place(file: Path, folder: Path) -> str:
        placed = folder / file.name
        shutil.copy(file, placed)
        placed.chmod(0o600)
        owner = folder.stat()
        os.chown(placed, owner.st_uid, owner.st_gid)
        return str(placed)


def _address() -> str:
    """Return an address of this machine that no other process of tests uses: the port is always the same."""
    return f"127.{os.getpid() % 256}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The server, which runs."""
    with running() as server:
        made = Secured(server, tmp_path_factory.mktemp("tls"))
        yield made
        made.server.stop()
        made.expired.stop()


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """An account of NATS."""
    return Accounts(tmp_path_factory.mktemp("accounts"))


@pytest.fixture(scope="module")
def bus(secured: Secured, accounts: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server that takes TLS and credentials only."""
    certificate, key = secured.ca.issue("127.0.0.1")
    tls = ("--tls", "--tlscert", str(certificate), "--tlskey", str(key))
    with nats_running(tmp_path_factory.mktemp("nats"), *tls, *accounts.options) as server:
        yield server


def cluster(bus: NatsServer, ca: Path, credentials: Path) -> dict[str, str]:
    """Return the settings of a node."""
    return {
        "ROOMD_CLUSTER_NATS": bus.url.replace("nats:", "tls:"),
        "ROOMD_CLUSTER_NODE": "a",
        "ROOMD_CLUSTER_CA_FILE": str(ca),
        "ROOMD_CLUSTER_CREDENTIALS_FILE": str(credentials),
    }


def start(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Start a daemon that cannot start."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ROOMD_", "PG"))}
    own = {
        "ROOMD_AUTH_SECRET": SECRET,
        "ROOMD_DATABASE_PATH": str(folder / "roomd.db"),
        "ROOMD_SERVER_PORT": str(free_port()),
    }
    return completed(["serve"], {**clean, **own, **environ}, folder)


def check(
    done: subprocess.CompletedProcess[str], code: int, *texts: str, secrets: tuple[str, ...] = (PASSWORD,)
) -> None:
    """Check how a start has failed: with a code, in one line with these texts, and without a secret anywhere."""
    assert done.returncode == code, done.stderr
    (told,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    for text in texts:
        assert text in told
    for secret in secrets:
        assert secret not in done.stdout + done.stderr


async def test_a_node_over_tls(secured: Secured, bus: NatsServer, accounts: Accounts, tmp_path: Path) -> None:
    """PostgreSQL verifies the password of a file, roomd the certificates of both; a member joins."""
    settings = cluster(bus, secured.ca.file, accounts.credentials("good"))
    with serving(tmp_path, ROOMD_DATABASE_URL=secured.url(), **settings) as daemon:
        wait_ready(daemon)
        room = await daemon.room()
        async with daemon.client() as client:
            await client.join(room["code"], guestName="Jane")
        assert PASSWORD not in daemon.log.read_text()
    count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'roomd' AND NOT ssl"
    assert secured.server.run_sql(count) == "0"


Url = Callable[[Secured, Path], str]
REFUSED: dict[str, tuple[Url, tuple[str, ...]]] = {
    "another CA": (
        lambda secured, _: secured.url(ca=secured.other_ca.file),
        ("the certificate of the server is not accepted: unable to get local issuer certificate", "sslrootcert"),
    ),
    "no file of the CA": (
        lambda secured, folder: secured.url(ca=folder / "none.pem"),
        ("database.url: sslrootcert: ", "none.pem: cannot be read: No such file"),
    ),
    "a wrong password": (
        lambda secured, _: secured.url(passfile=secured.password("not it")),
        ("password authentication failed", "check the user and the password", "passfile"),
    ),
    "no file of the password": (
        lambda secured, folder: secured.url(passfile=folder / "none"),
        ("database.url: passfile: ", "none: cannot be read: No such file"),
    ),
    "a password for all to read": (
        lambda secured, folder: secured.url(passfile=readable(secured.passfile, folder)),
        ("database.url: passfile: ", "others can read it", "chmod 600"),
    ),
}


def readable(file: Path, folder: Path) -> Path:
    """Copy a file, for everybody to read."""
    copy = folder / "readable"
    shutil.copy(file, copy)
    copy.chmod(0o644)
    return copy


@pytest.mark.parametrize(("url", "texts"), REFUSED.values(), ids=REFUSED.keys())
def test_postgresql_refused(secured: Secured, tmp_path: Path, url: Url, texts: tuple[str, ...]) -> None:
    """The start ends with 2 and says what to do."""
    check(start(tmp_path, ROOMD_DATABASE_URL=url(secured, tmp_path)), 2, *texts)


def test_postgresql_with_an_old_certificate(secured: Secured, tmp_path: Path) -> None:
    """The start ends with 2 and says so."""
    secured.server.stop()
    secured.expired.start()
    try:
        check(start(tmp_path, ROOMD_DATABASE_URL=secured.url()), 2, "certificate has expired", "must be valid now")
    finally:
        secured.expired.stop()
        secured.server.start()


def test_postgresql_at_another_name(secured: Secured, tmp_path: Path) -> None:
    """The certificate has to be for the host of the URL."""
    url = secured.url(address=secured.elsewhere)
    check(start(tmp_path, ROOMD_DATABASE_URL=url), 2, "IP address mismatch", "for the host in the URL")


def test_nats_refused(secured: Secured, bus: NatsServer, accounts: Accounts, tmp_path: Path) -> None:
    """Another CA, credentials of another account, old ones, and none: the start ends with 2 and says what to do."""
    (tmp_path / "other").mkdir()
    good, other = accounts.credentials("good"), Accounts(tmp_path / "other").credentials("other")
    ca = secured.ca.file
    broken = tmp_path / "broken.creds"
    broken.write_text("nothing")
    broken.chmod(0o600)
    for settings, texts in (
        (cluster(bus, secured.other_ca.file, good), ("the certificate of a server is not accepted", "cluster.ca_file")),
        (cluster(bus, ca, other), ("a server refuses this node", "cluster.credentials_file")),
        (
            cluster(bus, ca, accounts.credentials("old", -60)),
            ("cluster.credentials_file expired at", "replace the file"),
        ),
        (cluster(bus, ca, tmp_path / "none.creds"), ("cluster.credentials_file: ", "cannot be read: No such file")),
        (cluster(bus, ca, broken), ("cluster.credentials_file: ", "nsc generate creds")),
    ):
        file = Path(settings["ROOMD_CLUSTER_CREDENTIALS_FILE"])
        words = file.read_text().split() if file.exists() else []
        hidden = tuple(word for word in words if word.startswith(("SU", "ey")))
        check(start(tmp_path, ROOMD_DATABASE_URL=secured.url(), **settings), 2, *texts, secrets=(PASSWORD, *hidden))
