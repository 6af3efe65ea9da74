"""`roomd.testing.Daemon`, as somebody uses it who tests a program of their own: docs/how-to/testing.md."""

import asyncio
import gc
import io
import json
import logging
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import uvloop
from websockets.asyncio.client import connect

import roomd.client
from roomd.config import ConfigError
from roomd.gateway.sockets import AddressUnavailable
from roomd.testing import Clock, Daemon
from tests.support.processes import PATIENCE

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def post(daemon: Daemon, kind: str, token: str, **fields: Any) -> dict[str, Any]:
    """Send a request of the server API, and return the reply, be it an error."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = Request(f"{daemon.http_url}/api/v1/{kind}", json.dumps(fields).encode(), headers)
    try:
        with urlopen(request, timeout=PATIENCE) as response:
            reply: dict[str, Any] = json.load(response)
    except HTTPError as error:
        with error:
            reply = json.load(error)
    return reply


@pytest.fixture(autouse=True)
def tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check after each test that it left no file, no thread, no handler of the log, and nothing that is open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads, log = set(threading.enumerate()), logging.getLogger("roomd")
    before = (log.level, list(log.handlers))
    yield
    gc.collect()  # what was left open warns, and a warning is an error
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= threads
    assert (log.level, log.handlers) == before


async def meet(daemon: Daemon) -> None:
    """Let a host and a guest meet; the guest is still connected at the end."""
    token = daemon.token("alice", name="Alice")
    code = (await asyncio.to_thread(post, daemon, "create-room", token))["room"]["code"]
    async with (
        asyncio.timeout(PATIENCE),
        roomd.client.join(daemon.url, code, token=token) as alice,
        roomd.client.join(daemon.url, code, "Jane") as jane,
    ):
        await jane.say("Hello")
        async for event in alice:
            if isinstance(event, roomd.client.Said):
                assert (event.message.display_name, event.message.text) == ("Jane", "Hello")
                break


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_in_the_loop_of_a_test(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """It serves in the running loop, of asyncio and of uvloop, and leaves no task in it; clients are told."""

    async def main() -> None:
        before = asyncio.all_tasks()
        async with Daemon() as daemon:
            await meet(daemon)
            websocket = await connect(daemon.url)
        await websocket.wait_closed()
        assert websocket.close_code == 1012
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    with asyncio.Runner(loop_factory=loop, debug=True) as runner:
        runner.run(main())


def test_without_a_loop() -> None:
    """`with` serves in a thread, for programs that know no event loop."""
    with Daemon() as daemon:
        token = daemon.token("alice")
        code = post(daemon, "create-room", token)["room"]["code"]
        assert post(daemon, "list-rooms", token)["rooms"][0]["code"] == code
        asyncio.run(meet(daemon))


def test_several_at_once() -> None:
    """Each has its own port, database, clock and secret: no token of one is good for another."""
    with Daemon() as one, Daemon() as two:
        post(one, "create-room", one.token("alice"))
        assert post(two, "list-rooms", two.token("alice"))["rooms"] == []
        assert one.database != two.database
        one.clock.advance(3600)
        assert 3500 < one.clock.wall() - two.clock.wall() < 3700
        assert post(two, "list-rooms", one.token("alice"))["code"] == "invalid_token"


@pytest.mark.parametrize("is_thread", [False, True], ids=["async with", "with"])
async def test_a_hold_runs_out(is_thread: bool) -> None:
    """Who has dropped keeps the seat until the clock is moved past the end of the hold, and not a second longer."""

    async def check(daemon: Daemon) -> None:
        token = daemon.token("alice")
        code = (await asyncio.to_thread(post, daemon, "create-room", token))["room"]["code"]
        async with roomd.client.join(daemon.url, code, token=token) as alice, asyncio.timeout(PATIENCE):
            headers = {"Authorization": f"Bearer {daemon.token('bob')}"}
            async with connect(daemon.url, additional_headers=headers) as bob:
                await bob.send(json.dumps({"type": "join-room", "code": code}))
                await bob.recv()
            seen: list[str] = []
            async for event in alice:
                seen.append(type(event).__name__)
                if isinstance(event, roomd.client.Updated):
                    break
            daemon.clock.advance(55)
            assert len(alice.participants) == 2
            daemon.clock.advance(10)
            async for event in alice:
                if isinstance(event, roomd.client.Left):
                    assert event.participant.user_id == "bob"
                    break
            people = await asyncio.to_thread(post, daemon, "list-participants", token, code=code)
            assert [one["userId"] for one in people["participants"]] == ["alice"]

    if is_thread:
        with Daemon(rooms={"seat_hold": 60}) as daemon:
            await check(daemon)
    else:
        async with Daemon(rooms={"seat_hold": 60}) as daemon:
            await check(daemon)


def test_tokens_expire() -> None:
    """A token is refused when the clock was moved past its end, and a new one is good."""
    with Daemon(auth={"leeway": 0}) as daemon:
        token = daemon.token("alice", ttl=3600)
        assert post(daemon, "list-rooms", token)["type"] == "rooms"
        daemon.clock.advance(3601)
        assert post(daemon, "list-rooms", token)["code"] == "token_expired"
        assert post(daemon, "list-rooms", daemon.token("alice"))["type"] == "rooms"


def test_the_wall_clock_is_set() -> None:
    """The times that clients see are those of the clock, whatever the machine's says."""
    with Daemon() as daemon:
        daemon.clock.set(datetime(2031, 3, 3, 10, 35, tzinfo=UTC))
        room = post(daemon, "create-room", daemon.token("alice"))["room"]
        assert room["createdAt"].startswith("2031-03-03T10:35:")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda clock: clock.advance(-1), "time does not go back"),
        (lambda clock: clock.advance(float("nan")), "time does not go back"),
        (lambda clock: clock.set(datetime(2026, 3, 3)), "needs a time zone"),  # noqa: DTZ001 - what is refused
    ],
)
def test_times_that_are_refused(wrong: Callable[[Clock], None], says: str) -> None:
    """A mistake in a test is named, and moves nothing."""
    with pytest.raises(ValueError, match=says):
        wrong(Clock())


def test_grants() -> None:
    """A token has the name and the rights that are asked for."""
    with Daemon() as daemon:
        room = post(daemon, "create-room", daemon.token("root", admin=True), hostId="alice")["room"]
        cohost = daemon.token("bob", room=room["code"], host=True, metadata={"team": "red"})
        assert post(daemon, "update-room", cohost, code=room["code"], isLocked=True)["room"]["isLocked"] is True
        assert post(daemon, "create-room", daemon.token("carol", create=False))["code"] == "not_allowed"
        with pytest.raises(ValueError, match="hidden"):
            daemon.token("root", hidden=True)


def test_settings() -> None:
    """They are given by section, as a mapping or as arguments, which win; the mapping is that of a TOML file."""
    with Daemon({"limits": {"max_participants": 7, "frame": 2048}}, limits={"max_participants": 5}) as daemon:
        assert (daemon.config.limits.max_participants, daemon.config.limits.frame) == (5, 2048)
        reply = post(daemon, "create-room", daemon.token("alice"), maxParticipants=6)
        assert reply["code"] == "invalid_settings"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rooms": {"seat_hold": -1}}, "the settings of the test: rooms.seat_hold"),
        ({"rooms": {"hold": 1}}, "rooms: .*allowed: seat_hold"),
        ({"room": {}}, "top level: .*allowed: server"),
    ],
)
async def test_settings_that_are_wrong(settings: dict[str, dict[str, Any]], says: str) -> None:
    """The error names the setting and what is allowed; nothing was started or written."""
    with pytest.raises(ConfigError, match=says):
        await Daemon(settings).__aenter__()
    with pytest.raises(ConfigError, match=says):
        Daemon(settings).__enter__()


async def test_a_port_that_is_taken() -> None:
    """A start that fails raises why, and leaves nothing behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"server": {"port": taken.getsockname()[1]}}
        with pytest.raises(AddressUnavailable, match="in use"):
            await Daemon(settings).__aenter__()
        with pytest.raises(AddressUnavailable, match="in use"):
            Daemon(settings).__enter__()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_it_is_used_where_it_runs() -> None:
    """Outside of its `with` a daemon has no address, and it is not started twice."""
    daemon = Daemon()
    with pytest.raises(RuntimeError, match="inside `with Daemon"):
        _ = daemon.url
    async with daemon:
        assert daemon.url.startswith("ws://127.0.0.1:")
    with pytest.raises(RuntimeError, match="make another one"):
        daemon.__enter__()


async def test_a_start_that_is_cancelled() -> None:
    """A test that is cancelled while its daemon starts leaves nothing behind."""
    task = asyncio.create_task(Daemon().__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_database_stays_where_it_was_named(tmp_path: Path) -> None:
    """With a path of its own the next daemon goes on where this one ended: a restart, as clients see it."""
    folder = tmp_path / "kept"
    settings = {"database": {"path": str(folder / "roomd.db")}}
    with Daemon(settings) as daemon:
        post(daemon, "create-room", daemon.token("alice"))
    with Daemon(settings) as daemon:
        assert len(post(daemon, "list-rooms", daemon.token("alice"))["rooms"]) == 1
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def test_tokens_of_an_issuer() -> None:
    """Where others sign the tokens, `token` says so."""
    issuer = {"jwks_url": "https://id.example/keys"}
    with Daemon(auth=issuer) as daemon, pytest.raises(ConfigError, match="sign them with its private key"):
        daemon.token("alice")


def test_the_log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """By default nothing is printed; a stream gets the lines that a terminal would; `logging` has them in any case."""
    with Daemon() as daemon:
        post(daemon, "list-rooms", "no token")
    assert capfd.readouterr() == ("", "")
    stream = io.StringIO()
    with Daemon(log=stream):
        assert "info    listening host=127.0.0.1" in stream.getvalue()
    with caplog.at_level("INFO", logger="roomd"), Daemon():
        pass
    assert "listening" in caplog.messages
    assert stream.getvalue().count("stopped") == 1
