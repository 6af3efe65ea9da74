"""The server API as a backend uses it: with curl, on a kept connection, beside clients by WebSocket."""

import http.client
import json
import os
import re
import subprocess
from typing import Any

import pytest

from tests.support.daemon import Daemon, faults
from tests.support.schemas import PAGE, ROOT
from tests.support.schemas import faults as schema_faults

HOW_TO = ROOT / "docs" / "how-to" / "server-api.md"
SECTION = PAGE[PAGE.index("## 11.") :]


def post(connection: http.client.HTTPConnection, kind: str, token: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Send a request, and return the status and the frame."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", f"/api/v1/{kind}", json.dumps(fields), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_the_example_of_the_page(daemon: Daemon) -> None:
    """The command of docs/protocol.md creates a room, and the reply is of the shape that stands there."""
    command, example = re.findall(r"```(?:sh|json)\n(.*?)```", SECTION, re.DOTALL)[:2]
    url = daemon.url.replace("ws://", "http://").removesuffix("/ws")
    environ = {**os.environ, "ROOMD": url, "TOKEN": daemon.token("alice")}
    done = subprocess.run(["bash", "-c", f"curl -sS {command[5:]}"], env=environ, capture_output=True, check=True)
    frame = json.loads(done.stdout)
    assert schema_faults("RoomReply", frame) == []
    shown = json.loads(example)
    assert shown.keys() == frame.keys()
    assert shown["room"].keys() == frame["room"].keys()
    assert {key: frame["room"][key] for key in ("name", "hostId")} == {"name": "Weekly", "hostId": "alice"}


def test_the_commands_of_the_how_to(daemon: Daemon) -> None:
    """The commands of docs/how-to/server-api.md create a room, look into it, lock it and end it."""
    first, *blocks = re.findall(r"```sh\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert "roomd token --user alice" in first, "the one that the test replaces: the address and the token are its own"
    environ = {**os.environ, "ROOMD": daemon.url.replace("ws://", "http://").removesuffix("/ws")}
    environ["TOKEN"] = daemon.token("alice")
    command = ["bash", "-euc", "\n".join(blocks)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    people, locked, ended = (json.loads(frame) for frame in done.stdout.replace("}{", "}\n{").splitlines())
    assert people["participants"] == []
    assert (locked["room"]["name"], locked["room"]["isLocked"], locked["room"]["maxParticipants"]) == (
        "Weekly",
        True,
        20,
    )
    assert ended["room"]["isActive"] is False


async def test_a_backend_and_people(daemon: Daemon) -> None:
    """A backend creates, looks and ends on one connection, and those in the room are told."""
    backend = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    alice = daemon.token("alice")
    status, created = post(backend, "create-room", alice, name="Weekly")
    code = created["room"]["code"]
    socket = backend.sock
    assert status == 200
    async with daemon.client("bob") as bob:
        await bob.join(code)
        _, people = post(backend, "list-participants", alice, code=code)
        assert [person["userId"] for person in people["participants"]] == ["bob"]
        assert post(backend, "end-room", daemon.token("bob"), code=code)[1]["code"] == "not_host"
        _, ended = post(backend, "end-room", alice, code=code)
        assert ended["room"]["isActive"] is False
        assert (await bob.receive())["type"] == "room-ended"
    assert backend.sock is socket, "all went over one connection"
    backend.close()
    assert faults(daemon) == []


@pytest.mark.parametrize("lines", [["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"]])
def test_large_bodies_of_curl(daemon: Daemon, lines: list[str]) -> None:
    """curl asks before it sends a large body, or sends it in chunks; both are served up to the limit of frames."""
    url = daemon.url.replace("ws://", "http://").removesuffix("/ws")
    token = f"Authorization: Bearer {daemon.token('alice')}"
    for size, status in ((60_000, 200), (70_000, 413)):
        body = json.dumps({"unknown": "x" * size})
        command = ["curl", "-s", "-w", "%{http_code}", "-o", "/dev/null", "-H", token, *lines, "--data-binary", "@-"]
        command += ["-H", "Content-Type: application/json", f"{url}/api/v1/list-rooms"]
        done = subprocess.run(command, input=body.encode(), capture_output=True, timeout=60, check=False)
        assert done.stdout.decode() == str(status)
