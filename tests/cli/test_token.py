"""`roomd token` as users and scripts see it."""

from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.commands import MISUSED, OK, roomd
from tests.support.daemon import SECRET


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


def test_token_without_a_secret(nowhere: dict[str, str], tmp_path: Path) -> None:
    """Without a secret, `roomd token` prints how to get one, and creates none."""
    result = roomd("token", "--user", "alice", environ=nowhere)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert "start `roomd serve` once" in result.stderr
    assert list(tmp_path.iterdir()) == []
    issuer = roomd("token", "--user", "alice", environ=nowhere | {"ROOMD_AUTH_JWKS_URL": "https://issuer.example/jwks"})
    assert issuer.exit_code == MISUSED
    assert "roomd cannot make them" in issuer.stderr
