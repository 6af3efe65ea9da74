"""What must stay secret is in nothing that the daemon writes or shows: log, status, metrics, exports, the database."""

import asyncio
import json
import re
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jwt
import pytest

from tests.support.commands import OK, roomd
from tests.support.daemon import SECRET, Client, Daemon
from tests.support.metrics import get
from tests.support.raw_sockets import answer_to
from tests.support.receiver import SIGNING, Receiver, secret_file

TURN_SECRET = "a secret that coturn has, too, of some length"
TEXT = "a text that is for one person alone"
SAID = "a text for everybody in the room"


class Secrets:
    """The secrets that somebody has used, by what they are."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.found = {
            "the secret of tokens": SECRET,
            "the secret of TURN": TURN_SECRET,
            "the secret of webhooks": SIGNING.removeprefix("whsec_"),
            "a key in the URL of an endpoint": "key=q",
        }

    def keep(self, what: str, secret: str) -> str:
        """Keep a secret and return it. Of a token the signature is secret: the rest is what it says."""
        self.found[what] = secret.rpartition(".")[2]
        return secret

    def token(self, what: str, user: str, ttl: float = 3600, **claims: Any) -> str:
        """Sign a token."""
        return self.keep(what, self.daemon.token(user, ttl=ttl, **claims))

    async def seat(self, client: Client, type_: str, who: str, **fields: Any) -> str:
        """Take a seat, or take it back; return its resume token."""
        reply = await client.ask(type_, **fields)
        resume_token = self.keep(f"the resume token of {who}", reply["resumeToken"])
        await client.receive()
        servers = (await client.ask("get-ice-servers"))["iceServers"]
        self.keep(f"the password for TURN of {who}", servers[-1]["credential"])
        return resume_token


async def use_everything(daemon: Daemon, secrets: Secrets) -> str:
    """Have users, guests and strangers use what is secret, also where it is wrong; return the room's code."""
    room = await daemon.room()
    code: str = room["code"]
    good = secrets.token("a good token", "alice", name="Alice")
    wrong = secrets.keep("a wrong token", jwt.encode({"sub": "eve"}, "that of somebody else, 32 bytes long", "HS256"))
    old = secrets.token("an old token", "bob", -60)
    ticket = secrets.token("a ticket", "carol", 300, jti=str(uuid.uuid4()), roomd={"ticket": 60})
    async with daemon.client(token=good) as alice, daemon.client() as guest:
        await secrets.seat(alice, "join-room", "Alice", code=code)
        resume = await secrets.seat(guest, "join-room", "a guest", code=code, guestName="Jane")
        (joined,) = await alice.events()
        participant = joined["joined"][0]
        await alice.send("send-message", text=SAID)
        await alice.send("send-message", text=TEXT, to=participant["id"])
        await guest.send("resume", resumeToken=f"{resume[:-3]}AAA")
        await guest.events()
    async with daemon.client() as again:
        await secrets.seat(again, "resume", "the guest who came back", resumeToken=resume)
    for text in (wrong, old):
        async with daemon.client(token=text) as client:
            await client.ask("ping")
        async with daemon.client() as client:
            await client.ask("authenticate", token=text)
        request = f"POST /api/v1/list-rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}\r\n\r\n"
        assert await answer_to(daemon, request.encode()) == 401
        await answer_to(daemon, f"GET /?token={text} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    async with daemon.client() as client:
        reply = await client.ask("authenticate", ticket=ticket)
        secrets.keep("the token for a ticket", reply["token"])
    async with daemon.client() as client:
        assert (await client.ask("authenticate", ticket=ticket))["code"] == "invalid_token"
    return code


async def shown(daemon: Daemon, code: str, file: Path) -> dict[str, str]:
    """Return all that an operator or a stranger is shown, by how."""
    commands = [
        *(("status", *more) for more in ((), ("--json",))),
        *(("webhooks", *more) for more in ((), ("--json",), ("test", "backend"), ("test", "away"))),
        *(("connections", *more) for more in ((), ("--json",))),
        ("top", "--interval", "0.1"),
        ("export", "--user", "alice"),
        ("export", "--room", code),
        ("export", "--room", code, "--json"),
        ("check-config",),
    ]
    found = {}
    for command in commands:
        result = await asyncio.to_thread(roomd, *command, "--config", file)
        assert result.exit_code == OK or command[0] == "webhooks", result.output
        found[" ".join(command)] = result.output
    found["the metrics"] = await asyncio.to_thread(get, daemon)
    for path in ("/", "/healthz", "/readyz", "/openapi.json", "/asyncapi.json"):
        found[path] = await asyncio.to_thread(fetch, daemon, path)
    return found


def fetch(daemon: Daemon, path: str) -> str:
    """Fetch a page."""
    with urlopen(f"http://127.0.0.1:{daemon.port}{path}", timeout=60) as response:
        return str(response.read().decode())


@pytest.mark.sqlite  # it reads the file of the database
async def test_no_secret_is_told(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Whatever is done with it, at the most verbose level of the log, also by a reload that fails.

    The database has hashes of resume tokens. An export has the messages of its user; everything else shows none.
    """
    file, secret = tmp_path / "roomd.toml", secret_file(tmp_path)
    turn = tmp_path / "turn.secret"
    turn.write_text(TURN_SECRET)
    turn.chmod(0o600)
    async with Receiver() as receiver:
        away = f"http://name.invalid:{receiver.port}/hooks?key=q"
        file.write_text(
            f"[database]\npath = '{tmp_path / 'roomd.db'}'\n"
            "[server]\nlog_level = 'debug'\n"
            f"[ice]\nturn = ['turn:turn.example:3478']\nturn_secret_file = '{turn}'\n"
            f"[webhooks.endpoints.backend]\nurl = '{receiver.url}'\nsecret_files = ['{secret}']\nprivate = true\n"
            f"[webhooks.endpoints.away]\nurl = '{away}'\nsecret_files = ['{secret}']\nprivate = true\n"
        )
        daemon = make_daemon(ROOMD_CONFIG=str(file))
        secrets = Secrets(daemon)
        receiver.plan.extend(["redirect", "nonsense", "500"])
        code = await use_everything(daemon, secrets)
        found = await shown(daemon, code, file)
        good = file.read_text()
        for text in (
            good.replace("whsec", "x").replace(secret, "/nowhere/key"),
            good + "[limits]\nmemory = 99999999\n",
        ):
            file.write_text(text)
            daemon.process.send_signal(signal.SIGHUP)
            line = "not reloaded" if "nowhere" in text else '"changed":["limits.memory"]'
            await asyncio.to_thread(daemon.wait_for_log, line)
        await receiver.until_type("participant-left", 0)
        await asyncio.to_thread(daemon.stop)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("roomd.db*") if path.is_file())
    found |= {"the log": daemon.log.read_text(), "the database": kept.decode("latin-1")}
    assert len(secrets.found) == 15
    for what, value in secrets.found.items():
        assert len(value) > 4, what
        assert [where for where, text in found.items() if value in text] == [], what
    for text in (SAID, TEXT):
        assert {where for where, shown in found.items() if text in shown} == {"export --user alice", "the database"}
    assert re.search('"level":"debug"', found["the log"])
    assert json.loads(found["webhooks --json"])["webhooks"]
