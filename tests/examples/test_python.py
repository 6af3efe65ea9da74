"""The Python programs of docs/how-to do what their pages say."""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from roomd.client import Joined, Left, Meeting, MuteRequested, Refused, Said, join
from roomd.testing import Daemon, Settings
from tests.support.processes import PATIENCE, free_port
from tests.support.programs import PAGES, code_of_room, program


async def until(meeting: Meeting, kind: type) -> Any:
    """Read events until one of a kind comes."""
    async with asyncio.timeout(PATIENCE):
        async for event in meeting:
            if isinstance(event, kind):
                return event
    raise AssertionError("the meeting is over")


# backend.md: RS256 and JWKS


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Any]:
    """The backend of the page, on a port of its own, and the keys that it signs with."""
    module = program("backend")
    module.Backend.keys = module.Keys(tmp_path / "keys")
    module.Backend.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), module.Backend) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield module.Backend.keys, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetch_token(url: str, room: str, user: str | None = None) -> str:
    """Ask the backend for the token of a page."""
    headers = {"X-User": user} if user else {}
    with urlopen(Request(f"{url}/token?room={room}", b"", headers), timeout=PATIENCE) as response:
        return str(json.load(response)["token"])


async def test_a_backend_with_its_own_keys(backend: Any) -> None:
    """roomd fetches the public keys; tokens are good for their room; a new key signs when roomd can know it."""
    keys, url = backend
    module = program("backend")
    auth = {"jwks_url": f"{url}/jwks.json", "issuer": module.ISSUER, "audience": module.AUDIENCE}
    async with Daemon(auth=auth) as daemon:
        roomd = program("service_account").Roomd(daemon.http_url, lambda: keys.sign("service", ttl=300, admin=True))
        code, other = [
            (await asyncio.to_thread(roomd.ask, "create-room", hostId="alice"))["room"]["code"] for _ in range(2)
        ]
        token = await asyncio.to_thread(fetch_token, url, code, "alice")
        async with join(daemon.url, code, token=token) as alice:
            assert alice.me is not None
            assert (alice.me.is_host, alice.me.display_name) == (True, "Alice")
        with pytest.raises(Refused, match="wrong_room"):
            async with join(daemon.url, other, token=token):
                pass
        keys.rotate()
        token = await asyncio.to_thread(fetch_token, url, code, "alice")
        async with join(daemon.url, code, token=token):
            pass  # signed with the old key, since roomd may not have fetched the new one
        keys.files()[0].unlink()
        token = await asyncio.to_thread(fetch_token, url, code, "alice")
        with pytest.raises(Refused, match="unavailable"):  # keys are fetched at most every 30 seconds
            async with join(daemon.url, code, token=token):
                pass
    async with Daemon(auth=auth) as daemon:
        roomd = program("service_account").Roomd(daemon.http_url, lambda: keys.sign("service", ttl=300, admin=True))
        assert await asyncio.to_thread(roomd.ask, "list-rooms") == {"type": "rooms", "rooms": [], "nextCursor": None}
    with pytest.raises(HTTPError, match="401"):
        await asyncio.to_thread(fetch_token, url, code)


# service-account.md


def test_a_service_account(daemon: Daemon) -> None:
    """It signs a token when it needs one, renews it before it is over, and raises what roomd refuses."""
    module = program("service_account")
    signed: list[str] = []

    def sign() -> str:
        signed.append(daemon.token("service", admin=True))
        return signed[-1]

    roomd = module.Roomd(daemon.http_url, sign)
    code = roomd.ask("create-room", hostId="alice")["room"]["code"]
    assert roomd.ask("get-room", code=code)["room"]["hostId"] == "alice"
    assert len(signed) == 1
    roomd._signed_at -= module.RENEW_AFTER
    roomd.ask("end-room", code=code)
    assert len(signed) == 2
    with pytest.raises(module.Refused, match="room_inactive"):
        roomd.ask("send-message", code=code, text="Hello")


def test_a_service_account_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """429 names the seconds to wait; the request is sent again after them, five times at most."""
    module = program("service_account")
    with Daemon(limits={"request_rate": 0.01, "request_burst": 2}) as daemon:
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            daemon.clock.advance(seconds)

        monkeypatch.setattr(module.time, "sleep", sleep)
        roomd = module.Roomd(daemon.http_url, lambda: daemon.token("service", ttl=10_000))
        for _ in range(4):
            roomd.ask("list-rooms")
        assert waited
        assert min(waited) > 10


def test_a_service_account_outlasts_a_restart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A request is sent again while roomd cannot be reached; in the end the program is told."""
    module, port = program("service_account"), free_port()
    settings: Settings = {
        "server": {"port": port},
        "auth": {"secret": "x" * 32},
        "database": {"path": str(tmp_path / "db")},
    }
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    with Daemon(settings) as daemon:
        token = daemon.token("service", admin=True)
    roomd = module.Roomd(f"http://127.0.0.1:{port}", lambda: token)
    with pytest.raises(URLError, match="refused"):
        roomd.ask("list-rooms")
    assert waited == [1, 2, 4, 8, 16]
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(module.time, "sleep", lambda _: stack.enter_context(Daemon(settings)))
        assert roomd.ask("list-rooms")["rooms"] == []


AGAIN: dict[str, tuple[dict[str, Any], str | None]] = {
    "create-room": ({"externalId": "appointment-4711"}, None),
    "update-room": ({"isLocked": True}, None),
    "send-message": ({"text": "Hello", "clientId": "1"}, None),
    "ban": ({"userId": "bob"}, None),
    "unban": ({"userId": "bob"}, "participant_not_found"),
    "end-room": ({}, "room_inactive"),
    "delete-room": ({}, "room_not_found"),
}


def test_what_a_second_request_does(daemon: Daemon) -> None:
    """The table of the page: what happens where the answer was lost and the request is sent again."""
    page = (PAGES / "service-account.md").read_text()
    module = program("service_account")
    roomd = module.Roomd(daemon.http_url, lambda: daemon.token("service", admin=True))
    fields: dict[str, Any] = {}
    for kind, (more, refusal) in AGAIN.items():
        first = roomd.ask(kind, **fields, **more)
        if refusal is None:
            assert roomd.ask(kind, **fields, **more) == first
        else:
            with pytest.raises(module.Refused, match=refusal):
                roomd.ask(kind, **fields, **more)
            assert re.search(rf"^  \| .*`{kind}`.* \| .*`{refusal}`", page, re.MULTILINE)
        if kind == "create-room":
            fields = {"code": first["room"]["code"]}


def test_a_service_account_behind_a_proxy() -> None:
    """An error that is no frame is raised, too."""
    module = program("service_account")

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(module.Refused, match="http_404: Not Found"):
            module.Roomd(f"http://127.0.0.1:{server.server_port}", lambda: "token").ask("list-rooms")
        server.shutdown()
        thread.join()


def test_the_lines_between_the_programs(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What service-account.md, co-hosts.md and moderation.md show beside their programs runs as it stands there."""
    _, url = backend
    monkeypatch.chdir(tmp_path)  # where the keys of the backend are
    with Daemon(auth={"jwks_url": f"{url}/jwks.json"}) as own:
        names: dict[str, Any] = {}
        for page in ("service-account.md", "co-hosts.md", "moderation.md"):
            text = (PAGES / page).read_text()
            if "co-hosts" in page or "moderation" in page:
                exec(f"from {page.removesuffix('.md').replace('-', '')} import *", names)
            for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1:]:
                if "check_output" not in block:  # the other way, with the local secret
                    code = names.get("code", "abc-def-ghi")
                    exec(block.replace("http://127.0.0.1:8765", own.http_url).replace("abc-def-ghi", code), names)
    assert re.match(r"\w{3}-\w{3}-\w{3}\n", capsys.readouterr().out)


# co-hosts.md


async def test_cohosts(daemon: Daemon, backend: Any) -> None:
    """A helper lets the students of the course in, and has no rights elsewhere; the room of a course is made once."""
    keys, url = backend
    module, service = program("cohosts"), program("service_account")
    async with Daemon(auth={"jwks_url": f"{url}/jwks.json"}) as own:
        admin = service.Roomd(own.http_url, lambda: keys.sign("service", ttl=300, admin=True))
        code = await asyncio.to_thread(module.course, admin, "algebra-101", "teacher")
        assert await asyncio.to_thread(module.course, admin, "algebra-101", "teacher") == code
        helper = service.Roomd(own.http_url, lambda: module.token(keys, "dora", "Dora", code, True))
        student = module.token(keys, "bob", "Bob", code, False)
        async with join(own.url, code, token=student) as bob, join(own.url, code, "Stranger") as stranger:
            assert bob.status == "waiting"
            others = await asyncio.to_thread(module.admit_students, helper, code, {"bob"})
            assert others == ["Stranger"]
            async with asyncio.timeout(PATIENCE):
                assert await bob.wait_present()
            assert stranger.status == "waiting"
            async with join(own.url, code, token=module.token(keys, "dora", "Dora", code, True)) as dora:
                assert dora.me is not None
                assert (dora.me.role, dora.me.metadata) == ("cohost", {"badge": "helper"})
        other = await asyncio.to_thread(module.course, admin, "algebra-102", "teacher")
        with pytest.raises(service.Refused, match="wrong_room"):
            await asyncio.to_thread(module.admit_students, helper, other, {"bob"})


# moderation.md


async def test_moderation(daemon: Daemon) -> None:
    """The desk sees a room, warns one, expels one, and closes the room, without being in it."""
    module, service = program("moderation"), program("service_account")
    desk = service.Roomd(daemon.http_url, lambda: daemon.token("desk", name="Support", admin=True))
    code = code_of_room(daemon)
    async with (
        join(daemon.url, code, token=daemon.token("alice", name="Alice")) as alice,
        join(daemon.url, code, token=daemon.token("bob", name="Bob")) as bob,
    ):
        assert bob.me is not None
        await bob.say("Buy my book")
        report = await asyncio.to_thread(module.report, desk, code)
        assert f"{bob.me.id} Bob" in report.splitlines()
        assert "> Buy my book" in report
        await asyncio.to_thread(module.warn, desk, code, bob.me.id, "No advertising, please")
        while (said := (await until(bob, Said)).message).text != "No advertising, please":
            pass
        assert (said.display_name, said.participant_id, said.to) == ("Support", None, bob.me.id)
        assert isinstance(await until(bob, MuteRequested), MuteRequested)
        await asyncio.to_thread(module.expel, desk, code, "bob", "advertising")
        assert (await until(alice, Left)).participant.user_id == "bob"
        with pytest.raises(Refused, match="banned"):
            async with join(daemon.url, code, token=daemon.token("bob")):
                pass
        await asyncio.to_thread(module.warn, desk, code, alice.me.id if alice.me else "", "The room closes")
        await asyncio.to_thread(module.close, desk, code)
    with pytest.raises(service.Refused, match="room_not_found"):
        desk.ask("get-room", code=code)


# bot.md


async def test_a_bot(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It welcomes who comes, answers in private what was asked in private, and ends with the room."""
    monkeypatch.chdir(tmp_path)
    code = code_of_room(daemon)
    async with join(daemon.url, code, token=daemon.token("alice", name="Alice")) as alice:
        running = asyncio.create_task(program("bot").main(daemon.url, code))
        bot = (await until(alice, Joined)).participant
        async with join(daemon.url, code, "Jane") as jane:
            assert (await until(jane, Said)).message.text.startswith("Welcome")
            await jane.say("!who")
            while (said := (await until(alice, Said)).message).participant_id != bot.id:
                pass
            assert (said.text, said.to) == ("Alice, Bot, Jane", None)
            await jane.say("!hands", to=bot.id)
            while (said := (await until(jane, Said)).message).text != "No hand is up":
                pass
            assert said.to is not None
        await alice.end_room()
        async with asyncio.timeout(PATIENCE):
            assert await running == "The room has ended"
