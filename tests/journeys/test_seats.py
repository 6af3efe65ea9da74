"""Leaving, dropping, coming back, and what the others see of it: docs/protocol.md, sections 5 and 6."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from roomd.daemon import STOP_TIMEOUT
from tests.support.daemon import UNHURRIED, Client, Daemon, error

JANE = {"guestName": "Jane"}
HOLD = float(UNHURRIED["ROOMD_ROOMS_SEAT_HOLD"])
MakeDaemon = Callable[..., Daemon]


@pytest.fixture
def hasty(make_daemon: MakeDaemon) -> Daemon:
    """A daemon whose clock can be moved to where a hold runs out."""
    return make_daemon(steered=True)


def now() -> str:
    """The present as the wire writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def changed(seq: int, **lists: list[dict[str, Any]]) -> dict[str, Any]:
    """Word a whole `participants-changed`."""
    return {"type": "participants-changed", "seq": seq, "joined": [], "updated": [], "left": [], **lists}


def follow(view: dict[str, dict[str, Any]], event: dict[str, Any]) -> None:
    """Apply a `participants-changed` to a member's view, as a client does."""
    assert event["type"] == "participants-changed"
    lists = [[who["id"] for who in event[key]] for key in ("joined", "updated", "left")]
    assert len({key for keys in lists for key in keys}) == sum(map(len, lists)), "in more than one list"
    assert not view.keys() & set(lists[0]), "joined twice"
    assert view.keys() >= set(lists[1] + lists[2]), "changed without having joined"
    view.update({who["id"]: who for who in event["joined"] + event["updated"]})
    for key in lists[2]:
        del view[key]


async def hang_up(client: Client) -> None:
    """Cut a client's connection without a word."""
    client.websocket.transport.abort()


DROPS: dict[str, Callable[[Client], Coroutine[Any, Any, None]]] = {
    "close 1000": lambda client: client.websocket.close(1000),
    "close 1001": lambda client: client.websocket.close(1001),
    "abort": hang_up,
}


async def test_leave(daemon: Daemon) -> None:
    """`leave-room` gives the seat up at once: `participant` with `leftAt` for the one, `left` for the others."""
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("alice") as host, daemon.client() as guest, daemon.client() as next_one:
        state = (await host.join(room["code"]))["state"]
        before = await guest.join(room["code"], **JANE)
        assert await host.receive() == changed(state["seq"] + 1, joined=[before["participant"]])
        earliest = now()
        reply = await guest.ask("leave-room")
        left = {**before["participant"], "isActive": False, "leftAt": reply["participant"]["leftAt"]}
        assert reply == {"type": "participant", "participant": left}
        assert earliest <= left["leftAt"] <= now()
        assert await host.receive() == changed(state["seq"] + 2, left=[left])
        assert (await next_one.join(room["code"], **JANE))["state"]["room"]["participantCount"] == 2
        assert await guest.ask("leave-room") == error("not_in_room")
        assert await guest.ask("resume", resumeToken=before["resumeToken"]) == error("seat_expired")


@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS.keys())
async def test_drop_and_expiry(hasty: Daemon, drop: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """However a connection ends, its seat is held: others see `updated`, then `left` as of the drop."""
    room = await hasty.room(maxParticipants=2)
    async with hasty.client("alice") as host, hasty.client() as guest, hasty.client() as other:
        seq = (await host.join(room["code"]))["state"]["seq"]
        before = await guest.join(room["code"], **JANE)
        participant = before["participant"]
        await host.receive()
        earliest = now()
        await drop(guest)
        held = {**participant, "isActive": False}
        assert await host.receive() == changed(seq + 2, updated=[held])
        latest = now()
        full = await other.ask("join-room", code=room["code"], **JANE)
        assert full == error("room_full")
        assert (await host.ask("list-participants", code=room["code"]))["participants"][1] == held
        hasty.advance(HOLD)
        told = await host.receive()
        assert told == changed(seq + 3, left=[{**held, "leftAt": told["left"][0]["leftAt"]}])
        assert earliest <= told["left"][0]["leftAt"] <= latest
        assert await other.ask("resume", resumeToken=before["resumeToken"]) == error("seat_expired")
        assert (await other.join(room["code"], **JANE))["participant"]["id"] != participant["id"]


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_resume(daemon: Daemon, user: str | None) -> None:
    """A resume token takes the held seat back, under the same id, without saying who one is; it serves once."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as client:
        seq = (await host.join(room["code"]))["state"]["seq"]
        async with daemon.client(user) as dropping:
            before = await dropping.join(room["code"], **JANE)
        participant = before["participant"]
        assert await host.receive() == changed(seq + 1, joined=[participant])
        assert await host.receive() == changed(seq + 2, updated=[{**participant, "isActive": False}])
        reply = await client.ask("resume", resumeToken=before["resumeToken"])
        assert reply == {"type": "participant", "participant": participant, "resumeToken": reply["resumeToken"]}
        assert reply["resumeToken"] != before["resumeToken"]
        state = await client.receive()
        people = [*before["state"]["participants"]]
        assert state == {**before["state"], "seq": seq + 3, "participants": people}
        assert await host.receive() == changed(seq + 3, updated=[participant])
        assert await client.ask("resume", resumeToken=before["resumeToken"]) == error("seat_expired")
        assert (await client.ask("resume", resumeToken=reply["resumeToken"]))["participant"] == participant


BAD_RESUME_TOKENS = {
    "empty": "",
    "garbage": "no token at all",
    "dots": "..",
    "of no room": "abc-def-ghi.0123456789abcdef01234567.secret",
    "hostile": "abc-def-ghi.' OR 1=1 --.\x00",
    "long": "x." * 20_000,
}


@pytest.mark.parametrize("token", BAD_RESUME_TOKENS.values(), ids=BAD_RESUME_TOKENS.keys())
async def test_unknown_resume_token(daemon: Daemon, token: str) -> None:
    """An unknown token is answered with 410."""
    async with daemon.client() as client:
        assert await client.ask("resume", resumeToken=token) == error("seat_expired")


@pytest.mark.parametrize("keep", [str.upper, lambda token: token[:-1], lambda token: f"{token}x"], ids=["a", "b", "c"])
async def test_resume_token_almost_right(daemon: Daemon, keep: Callable[[str], str]) -> None:
    """Only the very token takes a seat."""
    room = await daemon.room()
    async with daemon.client() as holder, daemon.client() as thief:
        token = (await holder.join(room["code"], **JANE))["resumeToken"]
        assert await thief.ask("resume", resumeToken=keep(token)) == error("seat_expired")
        await holder.nothing_more()


async def test_resume_takes_over_a_live_connection(daemon: Daemon) -> None:
    """A live connection that still has the seat is closed with 4409, and the others see nothing of it."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as first, daemon.client() as second:
        await host.join(room["code"])
        before = await first.join(room["code"], **JANE)
        await host.receive()
        reply = await second.ask("resume", resumeToken=before["resumeToken"])
        assert reply["participant"] == before["participant"]
        assert await first.closed() == 4409
        await host.nothing_more()
        assert (await second.receive())["participants"] == before["state"]["participants"]
        await second.nothing_more()


async def test_resume_while_in_another_room(daemon: Daemon) -> None:
    """A connection that resumes a seat in another room moves there; a refused resume leaves it where it is."""
    first, second = await daemon.room(), await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest:
        await host.join(second["code"])
        async with daemon.client() as dropping:
            held = await dropping.join(first["code"], **JANE)
        elsewhere = (await guest.join(second["code"], guestName="Joan"))["participant"]
        assert (await host.receive())["joined"] == [elsewhere]
        assert await guest.ask("resume", resumeToken=f"{held['resumeToken']}x") == error("seat_expired")
        await host.nothing_more()
        assert (await guest.ask("resume", resumeToken=held["resumeToken"]))["participant"] == held["participant"]
        assert [who["id"] for who in (await host.receive())["left"]] == [elsewhere["id"]]


async def test_resume_of_somebody_else(daemon: Daemon) -> None:
    """A user does not take a seat that belongs to somebody else, token or not; the token stays good."""
    room = await daemon.room()
    async with daemon.client("bob") as bob, daemon.client("carol") as carol, daemon.client("bob") as again:
        before = await bob.join(room["code"])
        assert await carol.ask("resume", resumeToken=before["resumeToken"]) == error("wrong_user")
        await bob.nothing_more()
        assert (await again.ask("resume", resumeToken=before["resumeToken"]))["participant"] == before["participant"]


async def test_resume_in_a_locked_and_full_room(daemon: Daemon) -> None:
    """A held seat is its owner's: neither a lock nor a full room nor a ban on guests keeps them from it."""
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("alice") as host, daemon.client() as guest:
        await host.join(room["code"])
        async with daemon.client() as dropping:
            held = await dropping.join(room["code"], **JANE)
        await host.receive()
        await host.receive()
        await host.ask("update-room", code=room["code"], isLocked=True, allowGuestAccess=False)
        assert (await guest.ask("resume", resumeToken=held["resumeToken"]))["participant"] == held["participant"]


async def test_room_state_and_events_meet(daemon: Daemon) -> None:
    """Every member's view, rebuilt from `room-state` and the events after it, in sequence, is what the server lists."""
    room = await daemon.room()
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(daemon.client()) for _ in range(24)]
        host = await stack.enter_async_context(daemon.client("alice"))

        async def come(number: int) -> Client:
            client = clients[number]
            await client.send("join-room", id="join", code=code, guestName=f"guest {number}")
            return client

        await asyncio.gather(*map(come, range(12)))
        for number in range(12, 24):  # each comes while another goes
            await (hang_up(clients[number - 12]) if number % 2 else clients[number - 12].send("leave-room"))
            await come(number)
            if number % 3 == 0:
                await host.ask("get-room", code=code)  # what was sent before has had its turn
        epochs: set[str] = set()
        for client in clients[12:]:
            await client.send("ping", id="reached")
        lists = [await self_view(client, epochs) for client in clients[12:]]
        assert len(epochs) == 1
        listed = {
            who["id"]: who for who in (await host.ask("list-participants", code=code, history=True))["participants"]
        }
        seats = {key: who for key, who in listed.items() if who["leftAt"] is None}
        for client, (view, seq) in zip(clients[12:], lists, strict=True):
            await catch_up(client, view, seq)
            assert view == seats


async def self_view(client: Client, epochs: set[str]) -> tuple[dict[str, dict[str, Any]], list[int]]:
    """Read a client's frames up to the answer of its ping; return its view of the room and the last `seq`."""
    reply, state = await client.receive(), await client.receive()
    assert (reply["type"], reply["id"], state["type"]) == ("participant", "join", "room-state")
    epochs.add(state["epoch"])
    view = {who["id"]: who for who in state["participants"]}
    assert view[reply["participant"]["id"]] == reply["participant"]
    seq = [state["seq"]]
    while (frame := await client.receive()).get("id") != "reached":
        advance(view, seq, frame)
    return view, seq


def advance(view: dict[str, dict[str, Any]], seq: list[int], event: dict[str, Any]) -> None:
    """Apply the next event, which must carry the next number."""
    assert event["seq"] == seq[0] + 1
    seq[0] += 1
    follow(view, event)


async def catch_up(client: Client, view: dict[str, dict[str, Any]], seq: list[int]) -> None:
    """Apply everything that was told by now."""
    for event in await client.events():
        advance(view, seq, event)


async def test_many_joins_in_few_events(daemon: Daemon) -> None:
    """Changes that fall together travel together: one `participants-changed` may carry many."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon.client("alice"))
        seq = (await host.join(room["code"]))["state"]["seq"]
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(60)]
        replies = await asyncio.gather(*(guest.ask("join-room", code=room["code"], **JANE) for guest in guests))
        events = await host.events()
        assert [event["seq"] for event in events] == list(range(seq + 1, seq + 1 + len(events)))
        joined = [who["id"] for event in events for who in event["joined"]]
        assert sorted(joined) == sorted(reply["participant"]["id"] for reply in replies)
        assert len(events) < 60


async def test_not_told_of_oneself(daemon: Daemon) -> None:
    """A client is not told of its own join, nor of its own leaving."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client("bob") as bob:
        await bob.join(room["code"])
        await guest.join(room["code"], **JANE)
        await guest.nothing_more()
        await guest.ask("leave-room")
        await guest.nothing_more()


async def test_gone_before_the_reply(daemon: Daemon) -> None:
    """A client that goes while its join is under way has a held seat, not one that looks connected for ever."""
    room = await daemon.room()
    view: dict[str, dict[str, Any]] = {}
    async with daemon.client("alice") as host:
        await host.join(room["code"])
        async with daemon.client("bob") as bob:
            await bob.send("join-room", code=room["code"])
            await hang_up(bob)
        while not view or any(who["isActive"] for who in view.values()):
            follow(view, await host.receive())
        assert [who["userId"] for who in view.values()] == ["bob"]


async def test_expiry_takes_the_many_at_once(hasty: Daemon) -> None:
    """Every held seat runs out, and a room where all did is empty and can be joined."""
    room = await hasty.room(maxParticipants=10)
    async with hasty.client("alice") as host:
        await host.join(room["code"])
        view: dict[str, dict[str, Any]] = {}
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(9):
                await (await stack.enter_async_context(hasty.client())).join(room["code"], **JANE)
        while len(view) < 9 or any(who["isActive"] for who in view.values()):
            follow(view, await host.receive())
        hasty.advance(HOLD)
        gone = 0
        while gone < 9:
            event = await host.receive()
            follow(view, event)
            gone += len(event["left"])
        assert view == {}
        state = await host.ask("get-room", code=room["code"])
        assert state["room"]["participantCount"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
async def test_restart(make_daemon: MakeDaemon, number: signal.Signals) -> None:
    """After a restart or a crash every seat is held anew under its id, and none outlives the window."""
    daemon = make_daemon(steered=True)
    code = (await daemon.room())["code"]
    async with daemon.client("carol") as carol, daemon.client("bob") as bob, daemon.client() as guest:
        joined = [await carol.join(code), await bob.join(code), await guest.join(code, **JANE)]
        people = [reply["participant"] for reply in joined]
        async with daemon.client() as early:
            people.append((await early.join(code, guestName="Joan"))["participant"])
        while not (await bob.receive()).get("updated"):
            pass
        dropped = now()
        await asyncio.to_thread(daemon.stop, number)
    stopped = now()
    daemon.start()
    async with daemon.client("alice") as host, daemon.client() as back, daemon.client("bob") as bob:
        listed = (await host.ask("list-participants", code=code))["participants"]
        assert listed == [{**who, "isActive": False} for who in people]
        again = await bob.join(code)
        assert again["participant"] == people[1]
        assert again["state"]["epoch"] != joined[1]["state"]["epoch"]
        assert (await back.ask("resume", resumeToken=joined[2]["resumeToken"]))["participant"] == people[2]
        await bob.events()
        daemon.advance(HOLD)
        assert await wait_left(bob, 2) == {people[0]["id"], people[3]["id"]}
        seats = (await host.ask("list-participants", code=code))["participants"]
        assert seats == people[1:3]
        history = (await host.ask("list-participants", code=code, history=True))["participants"]
        assert history[3]["leftAt"] <= dropped <= history[0]["leftAt"]
        assert history[0]["leftAt"] <= stopped or number == signal.SIGKILL


async def wait_left(client: Client, count: int) -> set[str]:
    """Wait until so many have left; return who."""
    gone: set[str] = set()
    while len(gone) < count:
        gone |= {who["id"] for who in (await client.receive())["left"]}
    return gone


async def test_restart_is_announced(make_daemon: MakeDaemon) -> None:
    """Every client is told when to come back, each a different moment, then closed with 1012; the exit code is 0."""
    daemon = make_daemon()
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(daemon.client()) for _ in range(12)]
        await clients[0].join(room["code"], **JANE)
        stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
        events = [await client.receive() for client in clients]
        waits = [event["retryAfter"] for event in events]
        assert events == [{"type": "server-restarting", "retryAfter": wait} for wait in waits]
        assert all(0 < wait <= 10 for wait in waits)
        assert len(set(waits)) > 1
        assert [await client.closed() for client in clients] == [1012] * 12
        assert await stopping == 0


@contextlib.asynccontextmanager
async def deaf_client(daemon: Daemon) -> AsyncIterator[None]:
    """Connect a client that never answers a close."""
    async with daemon.client() as client:
        await client.nothing_more()
        client.websocket.transport.pause_reading()
        try:
            yield
        finally:
            client.websocket.transport.abort()


async def test_a_deaf_client_does_not_hold_up_the_end(make_daemon: MakeDaemon) -> None:
    """The daemon ends in order within 10 s, whoever does not answer its close."""
    assert STOP_TIMEOUT < 10
    daemon = make_daemon()
    async with deaf_client(daemon):
        assert await asyncio.to_thread(daemon.stop) == 0


async def test_a_second_signal_ends_at_once(make_daemon: MakeDaemon) -> None:
    """A second signal does not wait for anybody."""
    daemon = make_daemon()
    async with deaf_client(daemon), daemon.client() as client:
        daemon.process.send_signal(signal.SIGINT)
        assert await client.closed() == 1012  # the drain has begun, and waits for the other client
        assert await asyncio.to_thread(daemon.stop) == 1, "the exit code of an end that waits for nobody"
