"""Own presence, told to everyone: docs/protocol.md, section 8, "Presence", from a client's side."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, error

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}
MakeDaemon = Callable[..., Daemon]


def states(*frames: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the states out of events that update one participant each."""
    return [who["state"] for frame in frames for who in frame["updated"]]


async def present(client: Client, **state: Any) -> dict[str, Any]:
    """Change the presence; the reply."""
    return await client.ask("update-participant", state=state)


async def test_seen_by_all(daemon: Daemon) -> None:
    """Everyone is told `updated`, the one it is about too, after the `ok`; it shows wherever participants do."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest, daemon.client("bob") as later:
        seq = (await host.join(room["code"]))["state"]["seq"]
        jane = (await guest.join(room["code"], **JANE))["participant"]
        await host.receive()
        assert await present(guest, muted=True, handRaised=False, volume=0.5, note="", step=-3) == OK
        shown = {**jane, "state": {"muted": True, "handRaised": False, "volume": 0.5, "note": "", "step": -3}}
        event = {"type": "participants-changed", "seq": seq + 2, "joined": [], "updated": [shown], "left": []}
        assert await host.receive() == event
        assert await guest.receive() == event
        assert (await later.join(room["code"]))["state"]["participants"][1] == shown
        await host.receive()
        assert shown in (await host.ask("list-participants", code=room["code"]))["participants"]
        assert shown in (await host.ask("list-participants", code=room["code"], history=True))["participants"]


async def test_merged_key_by_key(daemon: Daemon) -> None:
    """RFC 7396: an absent key stays, `null` takes one away; what changes nothing is told to nobody."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client() as other:
        await guest.join(room["code"], **JANE)
        await other.join(room["code"], **JANE)
        await guest.receive()
        for change in ({"a": 1, "b": "x"}, {"b": None, "c": True}, {}, {"d": None}, {"a": 1}, {"a": None, "c": None}):
            assert await present(guest, **change) == OK
            await guest.events()
        assert states(*await other.events()) == [{"a": 1, "b": "x"}, {"a": 1, "c": True}, {}]


async def test_fire_and_forget(daemon: Daemon) -> None:
    """Without `id` there is no `ok`, the event all the same; an error is always answered."""
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.send("update-participant", state={"muted": True})
        assert await guest.receive() == error("not_in_room")
        await guest.join(room["code"], **JANE)
        await guest.send("update-participant", state={"muted": True})
        assert states(*await guest.events()) == [{"muted": True}]
        await guest.send("update-participant", id="a", state={"muted": False})
        assert await guest.receive() == {"type": "ok", "id": "a"}


async def test_many_changes_in_few_events(daemon: Daemon) -> None:
    """Changes that fall together travel together, and the last one is what everybody sees."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(daemon.client()) for _ in range(20)]
        for client in clients:
            await client.join(room["code"], **JANE)
        await clients[0].events()
        for step in range(10):
            await asyncio.gather(*(client.send("update-participant", state={"step": step}) for client in clients))
        for client in clients:
            await client.send("ping", id="reached")
        for client in clients[1:]:
            while (await client.receive()).get("id") != "reached":
                pass
        events = await clients[0].events()
        events = [frame for frame in (events + await clients[0].events()) if "seq" in frame]
        assert len(events) < 200
        last: dict[str, Any] = {}
        for event in events:
            last |= {who["id"]: who["state"] for who in event["updated"]}
        assert list(last.values()) == [{"step": 9}] * 20


BIG = {"x": "y" * 1016}
"""1,024 bytes of JSON."""
LIMITS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "16 keys": ({}, {str(n): n for n in range(16)}, True),
    "17 keys": ({}, {str(n): n for n in range(17)}, False),
    "a 17th key": ({str(n): n for n in range(16)}, {"x": 1}, False),
    "another 16th key": ({str(n): n for n in range(16)}, {"x": 1, "0": None}, True),
    "1 KiB": ({}, BIG, True),
    "1 KiB and a byte": ({}, {"x": "y" * 1017}, False),
    "a byte more": (BIG, {"x": "y" * 1017}, False),
    "more by one key": (BIG, {"y": 1}, False),
    "1 KiB in another key": (BIG, {"y": "z" * 1016, "x": None}, True),
    "bytes, not characters": ({}, {"x": "\U0001f600" * 255}, False),
    "nulls count for nothing": ({}, {str(n): None for n in range(1000)}, True),
    "the largest integer": ({}, {"x": 2**53 - 1, "y": -(2**53) + 1}, True),
}


@pytest.mark.parametrize(("before", "change", "fits"), LIMITS.values(), ids=LIMITS.keys())
async def test_limits(daemon: Daemon, before: dict[str, Any], change: dict[str, Any], fits: bool) -> None:
    """At most 16 keys and 1 KiB of JSON once merged; a change that does not fit changes nothing."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client() as other:
        await other.join(room["code"], **JANE)
        await guest.join(room["code"], **JANE)
        assert await present(guest, **before) == OK
        await guest.events()
        await other.events()
        reply = await present(guest, **change)
        if not fits:
            assert reply == error("bad_frame", "Malformed frame: state may have 16 keys, 1024 bytes")
            await other.nothing_more()
            return
        assert reply == OK
        merged = {key: value for key, value in {**before, **change}.items() if value is not None}
        assert states(*await other.events()) == ([merged] if merged != before else [])


NOT_SCALAR = {"list": [], "object": {}, "nested": {"a": 1}, "huge": 2**53, "far too huge": 10**400, "low": -(2**53)}


@pytest.mark.parametrize("value", NOT_SCALAR.values(), ids=NOT_SCALAR.keys())
async def test_no_scalars(daemon: Daemon, value: Any) -> None:
    """A value that is no scalar, or a number that JSON readers differ about, is refused."""
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.join(room["code"], **JANE)
        assert (await present(guest, good=1, bad=value))["code"] == "bad_frame"
        await guest.nothing_more()


@pytest.mark.parametrize("text", ["1e400", "-1e400", "NaN", "Infinity"])
async def test_no_numbers(daemon: Daemon, text: str) -> None:
    """What is no number in JSON, or none a double can hold, is refused."""
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.join(room["code"], **JANE)
        await guest.websocket.send(f'{{"type": "update-participant", "id": 1, "state": {{"x": {text}}}}}')
        assert (await guest.receive())["code"] == "bad_frame"
        await guest.nothing_more()


@pytest.mark.parametrize("state", ["absent", None, [], "x", 5], ids=str)
async def test_no_state(daemon: Daemon, state: Any) -> None:
    """`state` is required, and an object."""
    fields = {} if state == "absent" else {"state": state}
    async with daemon.client() as guest:
        assert (await guest.ask("update-participant", **fields))["code"] == "bad_frame"


async def test_through_a_drop(daemon: Daemon) -> None:
    """A held seat keeps its state, and who resumes or takes over has it; a new seat begins without."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as back, daemon.client("bob") as bob:
        await host.join(room["code"])
        async with daemon.client() as dropping:
            seat = await dropping.join(room["code"], **JANE)
            await present(dropping, handRaised=True)
        shown = {**seat["participant"], "state": {"handRaised": True}}
        frames = [await host.receive() for _ in range(3)]
        assert frames[2]["updated"] == [{**shown, "isActive": False}]
        reply = await back.ask("resume", resumeToken=seat["resumeToken"])
        assert reply["participant"] == shown
        await back.receive()
        await bob.join(room["code"])
        await present(bob, away=True)
        async with daemon.client("bob") as again:
            assert (await again.join(room["code"]))["participant"]["state"] == {"away": True}
            assert (await again.ask("leave-room"))["participant"]["state"] == {"away": True}
            assert (await again.join(room["code"]))["participant"]["state"] == {}


async def test_through_a_restart(make_daemon: MakeDaemon) -> None:
    """It was stored before it was told: a daemon that is killed after that has it."""
    daemon = make_daemon()
    room = await daemon.room()
    state = {"muted": True, "name": "\U0001f600 \u2028\0", "volume": 0.1, "step": 2**53 - 1}
    async with daemon.client() as guest:
        seat = await guest.join(room["code"], **JANE)
        await guest.send("update-participant", state={**state, "gone": 1})
        assert states(await guest.receive()) == [{**state, "gone": 1}]
        await present(guest, gone=None)
        await asyncio.to_thread(daemon.stop, signal.SIGKILL)
    daemon.start()
    async with daemon.client() as back:
        assert (await back.ask("resume", resumeToken=seat["resumeToken"]))["participant"] == {
            **seat["participant"],
            "state": state,
        }


async def test_told_rate(make_daemon: MakeDaemon) -> None:
    """What one client has told to others is limited in bytes: 429 with `retryAfter`, and it is not told."""
    daemon = make_daemon(ROOMD_LIMITS_TOLD_RATE="0.01", ROOMD_LIMITS_TOLD_BURST="2200")
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client() as other:
        await guest.join(room["code"], **JANE)
        await other.join(room["code"], **JANE)
        await guest.receive()
        assert await present(guest, x="y" * 992) == OK
        await guest.receive()
        refusal = await present(guest, x="z" * 1016)
        assert refusal == error("rate_limited", retryAfter=refusal["retryAfter"])
        assert refusal["retryAfter"] > 4000
        assert states(*await other.events()) == [{"x": "y" * 992}], "told once, and nothing of what was refused"
        assert await present(other, x="z" * 1016) == OK
