"""A backend that follows the event log of a real daemon knows who was in the rooms, whatever happened to them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roomd.verify.replay import Replay
from tests.support.daemon import PATIENT, Client, Daemon, error
from tests.support.databases import change
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.both_stores

ADMIN = {"admin": True}


class Backend:
    """A program that keeps the attendance, and the position up to which it has read."""

    def __init__(self) -> None:
        self.replay = Replay()
        self.next: str | None = None
        self.types: list[str] = []

    async def watch(self, client: Client, **fields: Any) -> None:
        """Read on from where it was."""
        reply = await client.ask("watch", **({"after": self.next} if self.next else {}), **fields)
        assert reply["type"] == "watching", reply
        self.next = reply["next"]

    async def read(self, client: Client) -> None:
        """Take the next frame with events."""
        frame = await client.receive()
        assert frame["type"] == "events", frame
        self.replay.read(frame["events"])
        self.types += [event["type"] for event in frame["events"]]
        if frame["events"]:
            assert frame["events"][-1]["position"] <= frame["next"]
        self.next = frame["next"]

    async def read_until(self, client: Client, last: str, count: int = 1) -> None:
        """Take frames until an event of this type came so many times in all."""
        async with asyncio.timeout(PATIENCE):
            while self.types.count(last) < count:
                await self.read(client)


def admin(daemon: Daemon, **options: Any) -> Any:
    """Connect as an admin."""
    return daemon.client(token=daemon.token("root", ttl=1e6, roomd=ADMIN), **options)


async def history(daemon: Daemon, code: str) -> dict[str, dict[str, Any]]:
    """Return everyone who was ever in a room, by id."""
    async with daemon.client(token=daemon.token("alice", ttl=1e6)) as host:
        listed = await host.ask("list-participants", code=code, history=True, limit=200)
    return {one["id"]: one for one in listed["participants"]}


def as_attended(people: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str | None, bool]]:
    """Return what a table of attendance has."""
    return {key: (one["joinedAt"], one["leftAt"], one["isActive"]) for key, one in people.items()}


async def test_the_log_replayed_is_the_history(make_daemon: Callable[..., Daemon]) -> None:
    """Section 10: join, drop, resume, takeover, leave, removal, expiry, kill -9, end: all of it, once, in order."""
    daemon = make_daemon(steered=True)
    backend = Backend()
    room = await daemon.room(waitingRoom=False)
    code = room["code"]
    async with admin(daemon) as watcher, daemon.client("alice") as host:
        await backend.watch(watcher)
        await host.join(code)
        async with daemon.client("bob") as bob:
            seat = await bob.join(code)
        await backend.read_until(watcher, "participant-dropped")
        async with daemon.client() as again:
            await again.ask("resume", resumeToken=seat["resumeToken"])
            await again.receive()
            async with daemon.client("bob") as other:
                await other.join(code)
                assert await again.closed() == 4409
                await other.ask("leave-room")
        async with daemon.client("carol") as carol, daemon.client("dave") as dave:
            kicked = await carol.join(code)
            await dave.join(code)
            await host.events()
            await host.ask("remove-participant", participantId=kicked["participant"]["id"], reason="noise")
            await backend.read_until(watcher, "participant-left", 2)
        await backend.read_until(watcher, "participant-dropped", 2)  # dave; carol was removed
    await asyncio.to_thread(daemon.kill)
    daemon.start()
    async with admin(daemon) as watcher:
        await backend.watch(watcher)
        async with daemon.client("alice") as host, daemon.client("erin") as erin:
            await host.join(code)
            await erin.join(code)
            await asyncio.to_thread(daemon.advance, 4000.0)
            await backend.read_until(watcher, "participant-left", 3)  # dave, whose hold is over
            await host.send("end-room", code=code)
            await backend.read_until(watcher, "room-ended")
        await watcher.nothing_more()
    people = await history(daemon, code)
    assert as_attended(backend.replay.stays) == as_attended(people)
    names = {one["userId"]: backend.replay.reasons[key] for key, one in people.items()}
    expected = {"bob": "left", "carol": "removed", "dave": "expired", "alice": "room-ended", "erin": "room-ended"}
    assert names == expected


async def test_a_reader_that_is_cut_off_reads_on(make_daemon: Callable[..., Daemon]) -> None:
    """Nothing is missed and nothing comes twice when people come and go while the reader comes and goes."""
    daemon = make_daemon()
    codes = [(await daemon.room())["code"] for _ in range(2)]
    backend, visits = Backend(), 60

    async def visit(number: int) -> None:
        async with daemon.client(f"user{number}") as client:
            await client.join(codes[number % 2])
            await client.send("leave-room")
            await client.events()

    async def come_and_go() -> None:
        for start in range(0, visits, 10):
            await asyncio.gather(*(visit(number) for number in range(start, start + 10)))

    coming = asyncio.create_task(come_and_go())
    async with asyncio.timeout(PATIENCE):
        while backend.types.count("participant-left") < visits:
            async with admin(daemon) as watcher:
                await backend.watch(watcher)
                for _ in range(3):
                    if backend.types.count("participant-left") < visits:
                        await backend.read(watcher)
    await coming
    people = {**await history(daemon, codes[0]), **await history(daemon, codes[1])}
    assert as_attended(backend.replay.stays) == as_attended(people)
    assert len(people) == visits


async def _told(client: Client, count: int) -> list[dict[str, Any]]:
    """The next events that a client is told; a frame has none after many events of other rooms."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while len(events) < count:
            events += (await client.receive())["events"]
    return events


async def test_who_may_watch(daemon: Daemon) -> None:
    """Admins all rooms, hosts their own, nobody else; a position that is none; a later watch replaces the first."""
    own, other = await daemon.room("alice"), await daemon.room("bob")
    async with daemon.client() as guest:
        assert await guest.ask("watch") == error("unauthenticated")
    async with daemon.client("alice") as host:
        refused = await host.ask("watch")
        assert (refused["code"], refused["statusCode"]) == ("not_host", 403)
        assert await host.ask("watch", rooms=[own["code"], other["code"]]) == error("not_host")
        assert await host.ask("watch", rooms=["abc-xyz-abc"]) == error("room_not_found")
        assert (await host.ask("watch", rooms=[]))["code"] == "bad_frame"
        bad = await host.ask("watch", rooms=[own["code"]], after="42")
        assert bad["message"] == "Malformed frame: after must be the position of an event, or a next, or latest"
        assert (await host.ask("watch", rooms=[own["code"]]))["type"] == "watching"
        created = await _told(host, 1)
        assert [(one["type"], one["room"]["id"]) for one in created] == [("room-created", own["id"])]
        assert (await host.ask("watch", rooms=[own["code"]], after="latest"))["type"] == "watching"
        await host.nothing_more()
        async with daemon.client("bob") as bob:
            await bob.join(other["code"])
            await bob.join(own["code"])
        events = await _told(host, 2)
        assert [one["type"] for one in events] == ["participant-joined", "participant-dropped"]
    restricted = daemon.token("root", roomd={"admin": True, "room": own["code"]})
    async with daemon.client(token=restricted) as limited:
        assert await limited.ask("watch") == error("wrong_room")
        assert await limited.ask("watch", rooms=[other["code"]]) == error("wrong_room")
        assert (await limited.ask("watch", rooms=[own["code"]], after="latest"))["type"] == "watching"


async def test_a_watch_ends_with_its_token(make_daemon: Callable[..., Daemon]) -> None:
    """With `error` and the `id` of the request; the connection stays, and a new token before the end goes on."""
    daemon = make_daemon(ROOMD_AUTH_LEEWAY="0")
    async with daemon.client(token=daemon.token("root", ttl=3, roomd=ADMIN)) as watcher:
        await watcher.send("watch", id="w", after="latest")
        assert (await watcher.receive())["type"] == "watching"
        ended = await watcher.receive()
        assert (ended["id"], ended["code"]) == ("w", "token_expired")
        assert await watcher.ask("ping") == {"type": "pong"}
        await watcher.ask("authenticate", token=daemon.token("root", roomd=ADMIN))
        await watcher.send("watch", id="w", after="latest")
        assert (await watcher.receive())["type"] == "watching"
        await watcher.ask("authenticate", token=daemon.token("root"))
        await daemon.room()
        ended = await watcher.receive()
        assert (ended["id"], ended["code"]) == ("w", "not_host")


async def test_a_watcher_may_be_silent(make_daemon: Callable[..., Daemon]) -> None:
    """It never joins, and is not closed for that; who neither joins nor watches is."""
    daemon = make_daemon(ROOMD_LIMITS_JOIN_TIMEOUT="2")
    async with admin(daemon) as watcher:
        assert (await watcher.ask("watch", after="latest"))["type"] == "watching"
        async with admin(daemon) as silent:
            assert await silent.closed() == 4408
        await daemon.room()
        assert [one["type"] for one in (await watcher.receive())["events"]] == ["room-created"]


async def test_old_events_are_deleted(make_daemon: Callable[..., Daemon]) -> None:
    """`events.keep`: a reader that was away for longer is told, with where to read on."""
    daemon = make_daemon(steered=True, ROOMD_EVENTS_KEEP="1h", ROOMD_SERVER_LOG_LEVEL="info")
    await daemon.room()
    backend = Backend()
    async with admin(daemon) as watcher:
        await backend.watch(watcher)
        first = backend.next
        await backend.read_until(watcher, "room-created")
    await asyncio.to_thread(daemon.stop)
    change(daemon, "UPDATE events SET at = '2020-01-01T00:00:00.000Z'")
    daemon.start()
    async with asyncio.timeout(PATIENCE), admin(daemon) as watcher:
        while (reply := await watcher.ask("watch", after=first))["type"] == "watching":
            await watcher.receive()
            await asyncio.sleep(0.05)
        assert (reply["code"], reply["statusCode"]) == ("position_expired", 410)
        assert (await watcher.ask("watch", after=reply["oldest"]))["type"] == "watching"
        await watcher.nothing_more()


async def test_without_the_log(make_daemon: Callable[..., Daemon]) -> None:
    """404 `events_off`; and when it is on again, positions of before are refused: what happened is not in it."""
    daemon = make_daemon()
    await daemon.room()
    backend = Backend()
    async with admin(daemon) as watcher:
        await backend.watch(watcher)
        await backend.read_until(watcher, "room-created")
    await asyncio.to_thread(daemon.stop)
    daemon.environ["ROOMD_EVENTS_ENABLED"] = "false"
    daemon.start()
    async with admin(daemon) as watcher:
        assert (await watcher.ask("watch"))["code"] == "events_off"
    await asyncio.to_thread(daemon.stop)
    del daemon.environ["ROOMD_EVENTS_ENABLED"]
    daemon.start()
    async with admin(daemon) as watcher:
        assert (await watcher.ask("watch", after=backend.next))["code"] == "position_expired"


async def test_a_stop_ends_a_watch(make_daemon: Callable[..., Daemon]) -> None:
    """Who follows the log does not hold up a stop: the daemon ends in order, and not by its time limit."""
    daemon = make_daemon()
    async with admin(daemon) as watcher:
        backend = Backend()
        await backend.watch(watcher)
        await daemon.room()
        await backend.read_until(watcher, "room-created")
        assert await asyncio.to_thread(daemon.stop) == 0
        assert (await watcher.receive())["type"] == "server-restarting"
    assert '"event":"stopped"' in daemon.log.read_text()


@pytest.fixture
async def slow(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon with little room for what waits for a client, and many events."""
    daemon = make_daemon(ROOMD_LIMITS_OUTBOX="65536", **PATIENT)
    async with daemon.client("alice") as host:
        room = (await host.ask("create-room"))["room"]
        for number in range(2000):
            await host.send("update-room", code=room["code"], name=f"{number} {'x' * 80}")
        assert [frame for frame in await host.events() if frame["type"] == "error"] == []
    return daemon


async def test_a_slow_reader_gets_everything(slow: Daemon) -> None:
    """It is sent no more than its outbox takes, and reads on when it has read that; others are not held up."""
    async with admin(slow, max_queue=1) as watcher, admin(slow) as fast:
        names, first = Backend(), Backend()
        await names.watch(watcher)
        await first.watch(fast)
        await first.read_until(fast, "room-updated", 2000)
        await names.read_until(watcher, "room-updated", 2000)
    assert names.types == first.types == ["room-created"] + ["room-updated"] * 2000
