"""The check of every file that roomd opens: what it is, whose it is, and what others may do with it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from roomd.auth.keys import open_keys
from roomd.auth.secret_files import local_secret
from roomd.config import (
    AuthConfig,
    ConfigError,
    DatabaseConfig,
    FileMissing,
    IceConfig,
    check_file,
    load,
    read_file,
    trusted_owners,
)
from roomd.ice import open_ice
from roomd.storage.errors import StoreError
from roomd.storage.opening import open_store

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = os.geteuid() + 1
"""The user id of somebody else."""

Open = Callable[[Path], object]


def open_config(file: Path) -> object:
    """Read a configuration file."""
    return load(file)


def open_secret(file: Path) -> object:
    """Read a secret for tokens."""
    return open_keys(AuthConfig(secret_file=str(file)), file.with_name("roomd.db"))


def open_turn_secret(file: Path) -> object:
    """Read the secret of the TURN servers."""
    return open_ice(IceConfig(turn=("turn:turn.example",), turn_secret_file=str(file)))


def open_public_key(file: Path) -> object:
    """Read an issuer's key."""
    return open_keys(AuthConfig(public_key_file=str(file)), file.with_name("roomd.db"))


READERS: dict[str, Open] = {
    "the configuration": open_config,
    "auth.secret_file": open_secret,
    "ice.turn_secret_file": open_turn_secret,
    "auth.public_key_file": open_public_key,
}


def written(file: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_pipe_is_refused_at_once(tmp_path: Path, reader: Open) -> None:
    """The start does not wait for the other end of a pipe."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="pipe: is a pipe, not a file; name a regular file"):
        reader(tmp_path / "pipe")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_file_that_others_can_change_is_refused(tmp_path: Path, reader: Open) -> None:
    """Who can write to the file could put in what they like."""
    text = "" if reader is open_config else SECRET
    with pytest.raises(ConfigError, match=r"others can (read|write to) it \(mode 0622\); .*`chmod (600|go-w) "):
        reader(written(tmp_path / "file", text, 0o622))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_file_of_another_user_is_refused(tmp_path: Path, reader: Open) -> None:
    """Its owner could change it."""
    file = written(tmp_path / "file", "" if reader is open_config else SECRET)
    os.chown(file, OTHER, -1)
    with pytest.raises(ConfigError, match=rf"file: belongs to another user \(uid {OTHER}\), who can change it; run "):
        reader(file)


def test_the_owner_of_the_database_is_trusted(tmp_path: Path) -> None:
    """So root can make tokens for a daemon that runs as another user."""
    file = written(tmp_path / "file")
    status = file.stat()
    given = os.stat_result((*status[:4], OTHER, *status[5:]))
    with pytest.raises(ConfigError, match="belongs to another user"):
        check_file(file, given, "auth", is_secret=True)
    check_file(file, given, "auth", is_secret=True, owners={OTHER})
    assert trusted_owners() == trusted_owners(tmp_path / "none") == trusted_owners(file) == {os.geteuid(), 0}


def test_only_root_trusts_the_owner_of_the_database(tmp_path: Path) -> None:
    """The configuration names the database. So for another user anybody could name a database of their own."""
    database = written(tmp_path / "roomd.db")
    if os.geteuid() == 0:
        os.chown(database, OTHER, -1)
    owner = database.stat().st_uid
    assert trusted_owners(database, user=0) == {0, owner}
    assert trusted_owners(database, user=owner + 1) == {0, owner + 1}
    assert trusted_owners(tmp_path / "none", user=0) == {0}
    assert trusted_owners(tmp_path / "none", user=7) == {0, 7}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_uses_the_files_of_the_databases_owner(tmp_path: Path) -> None:
    """A command of root reads the secret and the configuration of the daemon's user."""
    database, secret = written(tmp_path / "roomd.db"), written(tmp_path / "roomd.secret")
    config = written(tmp_path / "roomd.toml", f"[database]\npath = '{database}'")
    for file in (database, secret, config):
        os.chown(file, OTHER, -1)
    assert local_secret(load(config).auth, database) == SECRET.encode()


def test_a_configuration_with_a_secret_is_one(tmp_path: Path) -> None:
    """A file that everyone can read may not have a secret in it."""
    text = f"[auth]\nsecret = '{SECRET}'"
    assert load(written(tmp_path / "roomd.toml", text)).auth.secret == SECRET
    with pytest.raises(ConfigError, match=r"roomd.toml: auth.secret: others can read it \(mode 0644\); run `chmod 600"):
        load(written(tmp_path / "roomd.toml", text, 0o644))
    assert load(written(tmp_path / "roomd.toml", "[auth]\nleeway = 1", 0o644)).auth.leeway == 1


def test_what_is_no_file(tmp_path: Path) -> None:
    """A device, and a file that is missing."""
    with pytest.raises(ConfigError, match=r"^auth: /dev/null: is a device, not a file"):
        read_file(Path("/dev/null"), "auth", is_secret=True)
    with pytest.raises(FileMissing, match="cannot be read: No such file or directory"):
        read_file(tmp_path / "none", "auth", is_secret=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(ConfigError, match="cannot be read: No such device or address"):
            read_file(tmp_path / "s", "auth", is_secret=True)


# The database and the files that SQLite keeps beside it


async def refused(database: Path) -> str:
    """Return why a database is not opened."""
    with pytest.raises(StoreError) as caught:
        await open_store(DatabaseConfig(path=str(database)))
    return str(caught.value)


@pytest.mark.parametrize("name", ["roomd.db", "roomd.db-wal", "roomd.db-shm", "roomd.db-journal"])
async def test_a_database_that_others_can_use(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What others can write to is refused; what they can read is closed to them, with a line in the log."""
    file, database = tmp_path / name, tmp_path / "roomd.db"
    await (await open_store(DatabaseConfig(path=str(database)))).close()
    for mode in (0o666, 0o620):
        file.touch()
        file.chmod(mode)
        assert (await refused(database)).startswith(f"{file}: others can write to it (mode {mode:04o}); ")
    file.chmod(0o644)
    with caplog.at_level("WARNING"):
        await (await open_store(DatabaseConfig(path=str(database)))).close()
    assert database.stat().st_mode & 0o777 == 0o600
    assert not file.exists() or file.stat().st_mode & 0o777 == 0o600
    assert caplog.messages == ["others could read the database"]


@pytest.mark.parametrize("name", ["roomd.db", "roomd.db-wal"])
async def test_a_pipe_is_no_database(tmp_path: Path, name: str) -> None:
    """Opening it does not wait for the other end."""
    os.mkfifo(tmp_path / name, 0o600)
    assert "is a pipe, not a file" in await refused(tmp_path / "roomd.db")


async def test_a_link_beside_the_database_is_refused(tmp_path: Path) -> None:
    """SQLite's files stand beside the file itself; the database may be named by a link."""
    (tmp_path / "data").mkdir()
    (tmp_path / "roomd.db").symlink_to(tmp_path / "data" / "roomd.db")
    await (await open_store(DatabaseConfig(path=str(tmp_path / "roomd.db")))).close()
    (tmp_path / "data" / "roomd.db-wal").symlink_to("elsewhere")
    assert "data/roomd.db-wal: is a link, not a file" in await refused(tmp_path / "roomd.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_database_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could change it while it is served."""
    os.chown(written(tmp_path / "roomd.db", ""), OTHER, -1)
    assert f"belongs to another user (uid {OTHER})" in await refused(tmp_path / "roomd.db")
