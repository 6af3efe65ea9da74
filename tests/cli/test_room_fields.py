"""What rides along with a room, its end, its host and its deletion, from the shell."""

import json
import time
from typing import Any

import pytest

from roomd.protocol.timestamps import seconds_of
from tests.support.commands import MISUSED, OK, REFUSED, as_json, roomd
from tests.support.daemon import Daemon


def room(daemon: Daemon, *arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = as_json(roomd("room", *arguments, "--json", environ=daemon.environ))["room"]
    return found


def test_create_show_update_and_delete(daemon: Daemon) -> None:
    """Everything is set at the creation, shown, changed, and removed."""
    made = room(
        daemon, "create", "--external-id", "shell 1", "--metadata", '{"course": 101}', "--host-id", "alice",
        "--expires-at", "2099-01-01T00:00:00Z", "--end-when-empty", "10m",
    )  # fmt: skip
    assert (made["externalId"], made["metadata"], made["hostId"]) == ("shell 1", {"course": 101}, "alice")
    assert (made["expiresAt"], made["endWhenEmpty"]) == ("2099-01-01T00:00:00.000Z", 600)
    assert room(daemon, "create", "--external-id", "shell 1", "--name", "other") == made
    assert room(daemon, "show", "--external-id", "shell 1") == made
    code = made["code"]
    lines = roomd("room", "show", code, environ=daemon.environ).stdout.splitlines()
    shown = {line[:14].strip(): line[14:] for line in lines}
    assert [shown[key] for key in ("ends", "when empty", "external id", "metadata")] == [
        made["expiresAt"],
        "ends after 600 s",
        "shell 1",
        '{"course":101}',
    ]
    listed = as_json(roomd("room", "list", "--external-id", "shell 1", "--json", environ=daemon.environ))
    assert listed["rooms"] == [made]
    changed = room(
        daemon, "update", code, "--metadata", "{}", "--expires-at", "never", "--end-when-empty", "never",
        "--host-id", "bob", "--as", "alice",
    )  # fmt: skip
    assert changed["hostId"] == "bob"
    assert not changed.keys() & {"metadata", "expiresAt", "endWhenEmpty"}
    assert roomd("room", "delete", code, "--as", "bob", environ=daemon.environ).stdout == f"{code} is deleted\n"
    gone = roomd("room", "show", code, environ=daemon.environ)
    assert (gone.exit_code, gone.stderr) == (REFUSED, "room_not_found: Room not found\n")


def test_an_end_in_some_time(daemon: Daemon) -> None:
    """A duration counts from now on."""
    made = room(daemon, "create", "--expires-at", "2h")
    assert abs(seconds_of(made["expiresAt"]) - time.time() - 7200) < 60
    assert roomd("room", "update", made["code"], "--expires-at", "3h", environ=daemon.environ).exit_code == OK
    deleted = roomd("room", "delete", made["code"], "--json", environ=daemon.environ)
    assert json.loads(deleted.stdout) == {"type": "ok"}


def test_keys_of_admins(daemon: Daemon) -> None:
    """Who is no admin is told which key it was."""
    result = roomd("room", "create", "--external-id", "x", "--as", "alice", environ=daemon.environ)
    assert (result.exit_code, result.stderr) == (REFUSED, "not_admin: Only an admin can set externalId\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "--metadata", "[1]"), "must be a JSON object"),
        (("create", "--metadata", "{"), "must be a JSON object"),
        (("create", "--expires-at", "tomorrow"), "must be like 2026-03-03T12:00:00Z, 2h or never"),
        (("create", "--end-when-empty", "600"), "must be like 90s, 15m, 1h or 7d"),
        (("show",), "give a code or --external-id"),
        (("show", "abc-def-ghi", "--external-id", "x"), "give a code or --external-id"),
        (("update", "abc-def-ghi"), "give a setting to change"),
    ],
)
def test_wrong_usage(daemon: Daemon, arguments: tuple[str, ...], text: str) -> None:
    """The daemon is not asked, and the text says what to give."""
    result = roomd("room", *arguments, environ=daemon.environ)
    assert result.exit_code == MISUSED
    assert text in " ".join(result.stderr.replace("│", " ").split())
