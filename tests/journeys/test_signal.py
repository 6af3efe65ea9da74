"""Signalling between participants: docs/protocol.md, section 8, "Relays", from a client's side."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.daemon import Client, Daemon, error
from tests.support.processes import PATIENCE

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}
NOT_FOUND = error("participant_not_found")
MakeDaemon = Callable[..., Daemon]


async def seated(stack: contextlib.AsyncExitStack, daemon: Daemon, code: str, count: int) -> dict[str, Client]:
    """Let guests join one after another, with nothing left to read; by participant id."""
    clients: dict[str, Client] = {}
    for _ in range(count):
        client = await stack.enter_async_context(daemon.client())
        clients[(await client.join(code, **JANE))["participant"]["id"]] = client
    for client in clients.values():
        await client.events()
    return clients


async def test_to_one_alone(daemon: Daemon) -> None:
    """It arrives as it was sent, with the sender's id, at the one it is for; nobody else hears of it."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (one, a), (two, b), (_, c) = (await seated(stack, daemon, room["code"], 3)).items()
        data = {"description": {"type": "offer", "sdp": "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"}}
        assert await a.ask("signal", to=two, data=data) == OK
        assert await b.receive() == {"type": "signal", "from": one, "data": data}
        await a.nothing_more()
        await c.nothing_more()
        await a.send("signal", to=one, id="x", data="to myself")
        frames = [await a.receive(), await a.receive()]
        assert frames == [{"type": "signal", "from": one, "data": "to myself"}, {"type": "ok", "id": "x"}]


DATA = {
    "null": None,
    "false": False,
    "number": 1.5,
    "text": "\U0001f600\u2028\0",
    "list": [],
    "deep": json.loads("[" * 200 + "]" * 200),
    "like a frame": {"type": "room-ended", "seq": 99, "roomId": "x", "from": "somebody else"},
    "script": "</script><script>alert(1)</script>",
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
async def test_opaque(daemon: Daemon, data: Any) -> None:
    """roomd does not look inside: any JSON value goes through."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (one, a), (two, b) = (await seated(stack, daemon, room["code"], 2)).items()
        await a.send("signal", to=two, data=data)
        assert await b.receive() == {"type": "signal", "from": one, "data": data}
        await a.nothing_more()


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\x41"', "01", "[1,]", "NaN", '"\t"', "{}}", '"a" "b"', "\x00", ""])
async def test_only_json(daemon: Daemon, text: str) -> None:
    """What the receiver could not read is refused: the frame it would be in would be broken."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (_, a), (two, b) = (await seated(stack, daemon, room["code"], 2)).items()
        await a.websocket.send(f'{{"type": "signal", "id": 1, "to": "{two}", "data": {text}}}')
        assert (await a.receive())["code"] == "bad_frame"
        await b.nothing_more()


async def test_bounds(daemon: Daemon) -> None:
    """A frame of 64 KiB goes through; one more byte ends the sender's connection with 1009, and nobody else's."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (_, a), (two, b) = (await seated(stack, daemon, room["code"], 2)).items()
        frame = json.dumps({"type": "signal", "to": two, "data": ""})
        filled = frame.replace('""', f'"{"x" * (65_536 - len(frame))}"')
        await a.websocket.send(filled)
        assert len((await b.receive())["data"]) == 65_536 - len(frame)
        await a.nothing_more()
        with contextlib.suppress(ConnectionClosed):
            await a.websocket.send(filled + " ")
        assert await a.closed() == 1009
        assert [frame["type"] for frame in await b.events()] in ([], ["participants-changed"])


async def test_in_order(daemon: Daemon) -> None:
    """From one to another everything arrives in the order it was sent, however much is said in between."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (one, a), (two, b) = (await seated(stack, daemon, room["code"], 2)).items()
        for number in range(200):
            await a.send("signal", to=two, data=number)
            if number % 20 == 0:
                await a.send("send-message", text=f"{number}")
        told: list[tuple[str, int]] = []
        while len(told) < 200:
            frame = await b.receive()
            if frame["type"] == "signal":
                told.append((frame["from"], frame["data"]))
        assert told == [(one, number) for number in range(200)]


async def test_within_the_room(daemon: Daemon) -> None:
    """Only a participant can signal, and only one of the same room: 404 for all others, 400 for who is in none."""
    room, other = await daemon.room(), await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (one, a), (two, b) = (await seated(stack, daemon, room["code"], 2)).items()
        ((three, c),) = (await seated(stack, daemon, other["code"], 1)).items()
        waiting, host = [await stack.enter_async_context(daemon.client(user)) for user in (None, "alice")]
        await host.ask("update-room", code=room["code"], waitingRoom=True)
        place = await waiting.ask("join-room", code=room["code"], **JANE)
        await a.events()
        await b.events()
        for key in (three, "nobody", "", "\0", "x" * 10_000, place["participantId"]):
            assert await a.ask("signal", to=key, data=1) == NOT_FOUND
        assert await c.ask("signal", to=one, data=1) == NOT_FOUND
        for client in (waiting, host):
            assert await client.ask("signal", to=one, data=1) == error("not_in_room")
        await waiting.send("signal", to=one, data=1)
        assert await waiting.receive() == error("not_in_room"), "an error is always answered"
        assert (await a.ask("signal", to=two))["code"] == "bad_frame"
        assert (await a.ask("signal", data=1))["code"] == "bad_frame"
        await b.ask("leave-room")
        await a.events()
        assert await a.ask("signal", to=two, data=1) == NOT_FOUND
        await c.nothing_more()


async def test_a_held_seat(daemon: Daemon) -> None:
    """404 at once while the seat is held, so that the sender can start anew when it is back."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        ((_, a),) = (await seated(stack, daemon, room["code"], 1)).items()
        async with daemon.client() as dropping:
            seat = await dropping.join(room["code"], **JANE)
        while not (await a.receive()).get("updated"):
            pass
        key = seat["participant"]["id"]
        assert await a.ask("signal", to=key, data=1) == NOT_FOUND
        back = await stack.enter_async_context(daemon.client())
        await back.ask("resume", resumeToken=seat["resumeToken"])
        await back.receive()
        await a.events()
        await a.send("signal", to=key, data=2)
        assert (await back.receive())["data"] == 2


async def negotiate(me: str, client: Client, others: list[str]) -> dict[str, list[str]]:
    """Offer to those who came later, answer the others, and exchange ten candidates with each; what came from whom."""
    got: dict[str, list[str]] = {key: [] for key in others}
    for key in others:
        if me < key:
            await client.send("signal", to=key, data={"kind": "offer"})
    while any(len(kinds) < 11 for kinds in got.values()):
        frame = await client.receive()
        assert frame["type"] == "signal"
        got[frame["from"]].append(frame["data"]["kind"])
        if frame["data"]["kind"] == "offer":
            await client.send("signal", to=frame["from"], data={"kind": "answer"})
        if frame["data"]["kind"] in ("offer", "answer"):
            for _ in range(10):
                await client.send("signal", to=frame["from"], data={"kind": "candidate"})
    return got


async def test_a_mesh_of_eight(daemon: Daemon) -> None:
    """All 28 pairs exchange offer, answer and candidates at once, each in order."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        clients = await seated(stack, daemon, room["code"], 8)
        got = await asyncio.gather(
            *(negotiate(me, client, [key for key in clients if key != me]) for me, client in clients.items())
        )
        for me, kinds in zip(clients, got, strict=True):
            for key, received in kinds.items():
                assert received == ["offer" if key < me else "answer"] + ["candidate"] * 10
        for client in clients.values():
            await client.nothing_more()


@pytest.mark.long
async def test_a_flood_meets_who_makes_it(make_daemon: MakeDaemon) -> None:
    """One client sends without end to one that reads slowly: 429, then 4429; nobody else is closed, joins go on."""
    daemon = make_daemon(ROOMD_LIMITS_REQUEST_RATE="0.01", ROOMD_LIMITS_REQUEST_BURST="400")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        clients = await seated(stack, daemon, room["code"], 4)
        (_, flooder), (two, slow), (_, reader), (_, speaker) = clients.items()
        slow.websocket.transport.pause_reading()
        frame = json.dumps({"type": "signal", "to": two, "data": "x" * 60_000})

        async def flood() -> list[str]:
            codes = []
            with contextlib.suppress(ConnectionClosed):
                for _ in range(600):
                    await flooder.websocket.send(frame)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    codes.append((await flooder.receive()).get("code", ""))
            return codes

        flooding = asyncio.create_task(flood())
        for number in range(5):
            await speaker.send("send-message", text=f"{number}")
            guest = await stack.enter_async_context(daemon.client())
            await guest.join(room["code"], **JANE)
        codes = await asyncio.wait_for(flooding, 3 * PATIENCE)
        assert set(codes) <= {"rate_limited", ""}
        assert codes.count("rate_limited") > 40
        assert await flooder.closed() == 4429
        slow.websocket.transport.resume_reading()
        told = await asyncio.wait_for(slow.events(), 2 * PATIENCE)
        assert [frame["message"]["text"] for frame in told if frame["type"] == "message"] == list("01234")
        assert sum(frame["type"] == "signal" for frame in told) < 400
        heard = await reader.events()
        assert [frame["message"]["text"] for frame in heard if frame["type"] == "message"] == list("01234")
        assert not any(frame["type"] == "signal" for frame in heard)


async def test_told_rate(make_daemon: MakeDaemon) -> None:
    """Signals count among the bytes a client may have told to others: a flood meets who makes it, not its peers."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_TOLD_RATE="1", ROOMD_LIMITS_TOLD_BURST="3000")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (_, flooder), (two, target), (_, other) = (await seated(stack, daemon, room["code"], 3)).items()
        assert await flooder.ask("signal", to=two, data="x" * 2000) == OK
        assert (await flooder.ask("signal", to=two, data="x" * 2000))["code"] == "rate_limited"
        assert await other.ask("signal", to=two, data="y" * 2000) == OK
        assert [len(frame["data"]) for frame in await target.events()] == [2000, 2000]


async def test_a_reader_that_stops(make_daemon: MakeDaemon) -> None:
    """Signals to one who does not read are refused with 429 and `retryAfter` while half of what may wait does."""
    daemon = make_daemon(
        ROOMD_LIMITS_OUTBOX="400000", ROOMD_LIMITS_TOLD_RATE="1e9", ROOMD_LIMITS_TOLD_BURST="1000000000"
    )
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        (_, a), (two, slow), (_, other) = (await seated(stack, daemon, room["code"], 3)).items()
        slow.websocket.transport.pause_reading()
        for sent in itertools.count(1):
            reply = await a.ask("signal", to=two, data="x" * 60_000)
            if reply != OK:
                break
            assert sent < 500, "the system's buffers and half of the outbox hold less"
        assert reply == error("rate_limited", retryAfter=1.0)
        for _ in range(50):
            assert await a.ask("signal", to=two, data="x") == error("rate_limited", retryAfter=1.0)
        await other.send("send-message", text="hello")
        assert (await a.receive())["type"] == "message"
        slow.websocket.transport.resume_reading()
        told = await slow.events()
        assert [frame["type"] for frame in told] == ["signal"] * (sent - 1) + ["message"]
        assert await a.ask("signal", to=two, data="again") == OK
