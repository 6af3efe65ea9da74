"""`roomd token` as users and scripts see it."""

import contextlib
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.commands import MISUSED, OK, REFUSED, roomd
from tests.support.daemon import SECRET
from tests.support.processes import free_port


def claims(*arguments: str) -> dict[str, Any]:
    """Return the claims of the token that `roomd token` prints."""
    result = roomd("token", *arguments, environ={"ROOMD_AUTH_SECRET": SECRET})
    assert (result.exit_code, result.stderr) == (OK, "")
    found: dict[str, Any] = jwt.decode(result.stdout.removesuffix("\n"), SECRET, algorithms=["HS256"])
    return found


def test_token() -> None:
    """The output is a token with the user, their name and their rights, and nothing else."""
    found = claims("--user", "alice", "--name", "Alice", "--admin", "--room", "ABC DEF GHI")
    assert (found["sub"], found["name"], found["roomd"]) == ("alice", "Alice", {"admin": True, "room": "abc-def-ghi"})
    assert "roomd" not in claims("--user", "alice")


def test_grants() -> None:
    """A token has the grants that are asked for, also in a link; what the daemon would refuse is not made."""
    options = ("--user", "dora", "--room", "abc-def-ghi", "--cohost", "--no-create", "--metadata", '{"team": "red"}')
    grants = {"room": "abc-def-ghi", "host": True, "create": False, "metadata": {"team": "red"}}
    assert claims(*options)["roomd"] == grants
    assert claims("--user", "root", "--admin", "--hidden")["roomd"] == {"admin": True, "hidden": True}
    for wrong, why in (
        (("--cohost",), "host in the claim roomd needs room"),
        (("--hidden",), "hidden in the claim roomd needs admin"),
        (("--metadata", "[1]"), "must be a JSON object"),
        (("--metadata", "{"), "must be a JSON object"),
        (("--metadata", json.dumps({"k": "x" * 2048})), "more than 2048 bytes"),
    ):
        result = roomd("token", "--user", "dora", *wrong, environ={"ROOMD_AUTH_SECRET": SECRET})
        assert (result.exit_code, why in " ".join(result.stderr.split())) == (MISUSED, True), wrong


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ((), "http://127.0.0.1:8765/#ticket="),
        (("--room", "ABC DEF GHI"), "http://127.0.0.1:8765/#code=abc-def-ghi&ticket="),
        (("--page", "https://meet.example/x/"), "https://meet.example/x/#ticket="),
    ],
)
def test_link(options: tuple[str, ...], start: str) -> None:
    """A link has a ticket of ten minutes for a token of the time that was asked for; the ticket is no token."""
    environ = {"ROOMD_AUTH_SECRET": SECRET}
    result = roomd("token", "--user", "alice", "--link", "--ttl", "7d", *options, environ=environ)
    assert (result.exit_code, result.stderr) == (OK, "")
    assert result.stdout.startswith(start)
    ticket = result.stdout.removesuffix("\n").removeprefix(start)
    found = jwt.decode(ticket, SECRET, algorithms=["HS256"])
    assert found["exp"] - found["iat"] == pytest.approx(600, abs=1)
    assert found["roomd"]["ticket"] == 604_800
    assert len(found["jti"]) == 36
    assert roomd("token", "--check", ticket, environ=environ).exit_code == REFUSED


@pytest.mark.parametrize("options", [("--link",), ("--check", "a.b.c", "--link"), ("--user", "a", "--page", "x")])
def test_link_needs_a_user(options: tuple[str, ...]) -> None:
    """Options that do not go together are refused."""
    assert roomd("token", *options, environ={"ROOMD_AUTH_SECRET": SECRET}).exit_code == MISUSED


@pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800)])
def test_time_to_live(ttl: str, seconds: int) -> None:
    """A time to live has a number and a unit."""
    found = claims("--user", "alice", "--ttl", ttl)
    assert found["exp"] - found["iat"] == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("ttl", ["", "5", "1w", "-1h", "0s", "1.5h"])
def test_invalid_time_to_live(ttl: str) -> None:
    """An invalid time to live is refused, with examples of what is allowed."""
    result = roomd("token", "--user", "alice", f"--ttl={ttl}", environ={"ROOMD_AUTH_SECRET": SECRET})
    assert result.exit_code == MISUSED
    assert "90s, 15m, 1h or 7d" in result.stderr


@pytest.mark.parametrize(
    ("options", "rights"),
    [
        ((), ["all", "no", "no", "yes", "no", "{}"]),
        (("--room", "https://meet.example/#ABC-DEF-GHI", "--admin"), ["abc-def-ghi", "yes", "no", "no", "no", "{}"]),
        (("--admin", "--hidden", "--no-create"), ["all", "yes", "no", "no", "yes", "{}"]),
        (
            ("--room", "abc-def-ghi", "--cohost", "--metadata", '{"team": "red"}'),
            ["abc-def-ghi", "no", "yes", "no", "no", '{"team":"red"}'],
        ),
    ],
)
def test_check(options: tuple[str, ...], rights: list[str]) -> None:
    """A good token is read out: who, until when, and what it allows."""
    environ = {"ROOMD_AUTH_SECRET": SECRET}
    made = roomd("token", "--user", "alice", "--name", "Alice", *options, environ=environ).stdout.strip()
    result = roomd("token", "--check", made, environ=environ)
    assert (result.exit_code, result.stderr) == (OK, "")
    user, name, expires, *found = result.stdout.splitlines()
    assert (user, name) == ("user: alice", "name: Alice")
    facts = ("rooms", "admin", "co-host", "may create rooms", "hidden", "metadata")
    assert found == [f"{fact}: {value}" for fact, value in zip(facts, rights, strict=True)]
    assert expires.startswith("expires: 2")
    assert roomd("token", "--check", "-", environ=environ, typed=f"{made}\n").stdout == result.stdout


REFUSED_TOKENS = {
    "another secret": (jwt.encode({"sub": "a", "exp": 1}, SECRET[::-1]), "its signature is not by the key"),
    "expired": (jwt.encode({"sub": "a", "exp": 1}, SECRET), "the claim exp is in the past"),
    "no token": ("guest", "it is no JSON Web Token, or uses what roomd does not support"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED_TOKENS.values(), ids=REFUSED_TOKENS.keys())
def test_check_says_why(text: str, reason: str) -> None:
    """A token that the daemon would refuse is refused with the reason."""
    result = roomd("token", "--check", text, environ={"ROOMD_AUTH_SECRET": SECRET})
    assert (result.exit_code, result.stdout) == (REFUSED, "")
    assert result.stderr.splitlines()[0].partition(": ")[2].partition(": ")[2] == reason


def test_check_without_keys(nowhere: dict[str, str], tmp_path: Path) -> None:
    """Without a key nothing is checked, and no secret is created. Keys of an issuer are fetched."""
    result = roomd("token", "--check", "x", environ=nowhere)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert "start `roomd serve` once" in result.stderr
    assert list(tmp_path.iterdir()) == []
    issuer = f"http://127.0.0.1:{free_port()}/keys"
    text = jwt.encode({"sub": "a", "exp": 1}, SECRET)
    away = roomd("token", "--check", text, environ=nowhere | {"ROOMD_AUTH_JWKS_URL": issuer})
    assert away.exit_code == REFUSED
    assert away.stderr.startswith("unavailable: The keys to check tokens with are unavailable: ")


@pytest.mark.parametrize("options", [(), ("--user", "alice", "--check", "x")])
def test_user_or_check(options: tuple[str, ...]) -> None:
    """A token is made or checked, not both and not neither."""
    result = roomd("token", *options, environ={"ROOMD_AUTH_SECRET": SECRET})
    assert result.exit_code == MISUSED
    assert "give --user, or --check" in result.stderr


@contextlib.contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Act as a user who may not read what is in a folder."""
    importlib.import_module("roomd.auth.keys")  # commands import it when they need it, and somebody else could not
    folder.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


MINT = [("token", "--user", "alice"), ("room", "list"), ("join", "abc-def-ghi")]
CHECK = [("token", "--check", "x"), ("check-config",)]
READ = [
    *((command, "ROOMD_DATABASE_PATH", "auth") for command in MINT + CHECK),
    *((command, "ROOMD_AUTH_SECRET_FILE", "auth.secret_file") for command in MINT + CHECK),
    *((command, "ROOMD_AUTH_PUBLIC_KEY_FILE", "auth.public_key_file") for command in CHECK),
]


@pytest.mark.parametrize(("command", "variable", "setting"), READ)
def test_unreadable_files(command: tuple[str, ...], variable: str, setting: str, tmp_path: Path) -> None:
    """A command that may not read a secret or a key says so in one line, with what to do."""
    folder = tmp_path / "closed"
    folder.mkdir()
    secret = folder / "roomd.secret"
    secret.write_text(SECRET)
    given = secret.with_suffix(".db") if variable == "ROOMD_DATABASE_PATH" else secret
    with as_somebody_else(folder):
        result = roomd(*command, environ={"ROOMD_DATABASE_PATH": "/nowhere/roomd.db", variable: str(given)})
    problem = f"roomd: {setting}: {secret}: cannot be read: Permission denied; run this as the user of the daemon\n"
    assert (result.exit_code, result.stdout, result.stderr) == (MISUSED, "", problem)


@pytest.mark.parametrize("database", [".", "/", "var/..", f"{'x' * 300}.db"])
def test_impossible_database(database: str) -> None:
    """A database whose secret cannot have a name, or a name that is too long, is refused in one line."""
    result = roomd("token", "--user", "alice", "--database", database)
    assert result.exit_code == MISUSED
    assert len(result.stderr.splitlines()) == 1


def test_token_without_a_secret(nowhere: dict[str, str], tmp_path: Path) -> None:
    """Without a secret, `roomd token` prints how to get one, and creates none."""
    result = roomd("token", "--user", "alice", environ=nowhere)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert "start `roomd serve` once" in result.stderr
    assert list(tmp_path.iterdir()) == []
    issuer = roomd("token", "--user", "alice", environ=nowhere | {"ROOMD_AUTH_JWKS_URL": "https://issuer.example/jwks"})
    assert issuer.exit_code == MISUSED
    assert "roomd cannot make them" in issuer.stderr
