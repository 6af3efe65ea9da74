"""Hostile clients in a room: floods of messages, presence and signals, joins and leaves of the queue, odd values.

No other client is closed or kept from joining, memory is bounded, and the daemon logs no error of its own.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from roomd.protocol import requests
from tests.support.daemon import PATIENT, Client, Daemon, faults, many_addresses, memory, serving
from tests.support.hostile import VALUES
from tests.support.processes import PATIENCE
from tests.support.replies import replies_to

pytestmark = pytest.mark.usefixtures("untraced")

JANE = {"guestName": "Jane"}
MIB = 1 << 20
MEETING: list[type[requests.Request]] = [
    requests.UpdateParticipant,
    requests.Signal,
    requests.SendMessage,
    requests.ListMessages,
    requests.GetIceServers,
    requests.RemoveParticipant,
    requests.MuteParticipant,
    requests.ListBans,
    requests.Unban,
    requests.AdmitParticipant,
    requests.AdmitAll,
    requests.DenyParticipant,
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose rate limits floods reach on any machine. Each client has an address of its own."""
    limits = {
        "ROOMD_LIMITS_REQUEST_RATE": "0.01",
        "ROOMD_LIMITS_REQUEST_BURST": "500",
        "ROOMD_LIMITS_ROOM_TOLD_RATE": "65536",
        "ROOMD_LIMITS_ROOM_TOLD_BURST": "1048576",
    }
    with serving(tmp_path_factory.mktemp("meeting"), **limits) as daemon:
        daemon.addresses = many_addresses()
        yield daemon
        assert faults(daemon) == []


def odd_values(code: str, me: str) -> list[str]:
    """Put every value into every field of every request of a meeting, with valid values in the other fields."""
    usual = {
        "code": code,
        "state": {"a": 1},
        "to": me,
        "data": 1,
        "text": "x",
        "participantId": me,
        "userId": "x",
        "hold": 1,
    }
    found = []
    for request in MEETING:
        fields = msgspec.structs.fields(request)
        good = {field.encode_name: json.dumps(usual[field.encode_name]) for field in fields if field.required}
        for field in fields:
            for value in VALUES:
                if (field.name, value) == ("id", "null") or (field.name == "data" and len(value) == 5_000):
                    continue  # an id of null comes back as none; `json` reads no number of 5000 digits
                keys = {"type": f'"{request.__struct_config__.tag}"', "id": "7", **good, field.encode_name: value}
                found.append("{" + ", ".join(f'"{key}": {text}' for key, text in keys.items()) + "}")
    return found


@pytest.mark.parametrize("user", [None, "alice"], ids=["guest", "host"])
async def test_odd_values_from_a_participant(make_daemon: Callable[..., Daemon], user: str | None) -> None:
    """Any value in any field of a participant's request gets exactly one valid reply; others can read the events."""
    daemon = make_daemon(**PATIENT)
    room = await daemon.room()
    async with daemon.client() as witness, daemon.client(user) as client:
        await witness.join(room["code"], **JANE)
        me = (await client.join(room["code"], **JANE))["participant"]["id"]
        replies = await replies_to(client, odd_values(room["code"], me))
        assert {reply["type"] for reply in replies} >= {"ok", "error", "messages", "ice-servers"}
        told = await witness.events()
        assert {event["type"] for event in told} == {"participants-changed", "message"}
        assert (await client.ask("list-participants", code=room["code"]))["participants"]
    assert faults(daemon) == []


async def flood(client: Client, frames: list[str]) -> list[dict[str, Any]]:
    """Send all frames, or as many as the server takes; return what it sent until the connection ended."""
    heard: list[dict[str, Any]] = []

    async def listen() -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(json.loads(await client.websocket.recv()))

    listening = asyncio.create_task(listen())
    with contextlib.suppress(ConnectionClosed):
        for frame in frames:
            await client.websocket.send(frame)
    await asyncio.wait_for(listening, 3 * PATIENCE)
    return heard


def send_message(text: str, **fields: Any) -> str:
    """Make a request to send a message."""
    return json.dumps({"type": "send-message", "text": text, **fields}, ensure_ascii=False)


FLOODS: dict[str, tuple[Callable[[int], str], bool]] = {
    "long messages": (lambda n: send_message("\U0001f600" * 2000), True),
    "short messages": (lambda n: send_message("x"), False),
    "private messages": (lambda n: send_message("\U0001f600" * 2000, to="{me}"), True),
    "states": (lambda n: json.dumps({"type": "update-participant", "state": {"x": f"{n:0980}"}}), False),
    "states that do not fit": (lambda n: json.dumps({"type": "update-participant", "state": {"x": "y" * 9000}}), True),
    "signals to oneself": (lambda n: json.dumps({"type": "signal", "to": "{me}", "data": "x" * 9000}), False),
    "signals to nobody": (lambda n: json.dumps({"type": "signal", "to": "nobody", "data": "x" * 9000}), False),
    "admissions": (lambda n: json.dumps({"type": "admit-all"}), False),
}


class Flooded(NamedTuple):
    """What came of a flood in one room."""

    code: int
    """The close code of the client that flooded."""
    heard: list[dict[str, Any]]
    """What that client was sent."""
    state: dict[str, Any]
    """The state of the room, as a newcomer got it."""
    told: list[tuple[int, float]]
    """For the host and a witness the bytes that they were sent, and the seconds since the flood began."""


async def flooded(target: Daemon, frame: Callable[[int], str]) -> Flooded:
    """Have a client flood a room with frames, beside a host and a witness."""
    room = await target.room()
    async with target.client("alice") as host, target.client() as flooder, target.client() as witness:
        me = (await flooder.join(room["code"], **JANE))["participant"]["id"]
        await host.join(room["code"])
        await witness.join(room["code"], **JANE)
        began = time.monotonic()
        heard = await flood(flooder, [frame(n).replace("{me}", me) for n in range(1200)])
        code = await flooder.closed()
        async with target.client() as newcomer:
            state = (await newcomer.join(room["code"], **JANE))["state"]
            told = []
            for client in (host, witness):
                size = sum(len(json.dumps(event, ensure_ascii=False).encode()) for event in await client.events())
                told.append((size, time.monotonic() - began))
    return Flooded(code, heard, state, told)


@pytest.fixture(scope="module")
def floods(target: Daemon) -> dict[str, Flooded]:
    """All floods at the same time, each in a room of its own: the daemon waits 4 s for the end of each flooder.

    The memory that they take together is less than what one may take.
    """

    async def run() -> list[Flooded]:
        return await asyncio.gather(*(flooded(target, frame) for frame, _ in FLOODS.values()))

    before = memory(target)
    results = asyncio.run(run())
    assert memory(target) - before < 32 * 1024
    return dict(zip(FLOODS, results, strict=True))


@pytest.mark.parametrize("name", FLOODS)
def test_floods(floods: dict[str, Flooded], name: str) -> None:
    """A client that floods gets 429 and then the close code 4429.

    The others get no more bytes than `room_told_burst` and the rate allow, and stay connected.
    """
    result, (_, heavy) = floods[name], FLOODS[name]
    assert result.code == 4429
    refused = [one for one in result.heard if one.get("code") == "rate_limited"]
    assert refused
    assert all(one["retryAfter"] > 0 for one in refused)
    assert len(result.state["messages"]) <= 50
    for size, seconds in result.told:
        assert size < (1.2 * MIB + 65_536 * seconds if heavy else 3 * MIB)


async def test_many_joins_and_leaves_of_the_queue(target: Daemon) -> None:
    """A guest joins a waiting room and leaves it 150 times; the host and those who wait stay connected."""
    room = await target.room(waitingRoom=True)
    async with contextlib.AsyncExitStack() as stack:
        names = ("alice", *(f"u{number}" for number in range(20)), None)
        host, *people, hopper = [await stack.enter_async_context(target.client(name)) for name in names]
        await host.join(room["code"])
        for client in people:
            assert (await client.ask("join-room", code=room["code"], **JANE))["type"] == "waiting"
        for _ in range(150):
            await hopper.send("join-room", code=room["code"], **JANE)
            await hopper.send("leave-room")
        replies = [frame["type"] for frame in await hopper.events()]
        assert replies == ["waiting", "participant"] * 150
        await host.events()
        await host.join(room["code"])
        [told] = await host.events()
        assert len(told["waiting"]) == 20
        for client in people:
            await client.nothing_more()
        assert await host.ask("admit-all") == {"type": "ok"}


async def test_room_with_the_largest_state(target: Daemon) -> None:
    """With fifty of the longest messages and the largest presence, each newcomer gets all of it and stays connected."""
    room = await target.room()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(target.client()) for _ in range(10)]
        for number, client in enumerate(clients):
            await client.join(room["code"], **JANE)
            await client.send("update-participant", state={str(key): "\U0001f600" * 13 for key in range(15)})
            for _ in range(5):
                await client.send("send-message", text=chr(0x1F600 + number) * 2000)
        for client in clients:
            await client.events()
        joiners = [await stack.enter_async_context(target.client()) for _ in range(10)]
        replies = await asyncio.gather(*(client.join(room["code"], **JANE) for client in joiners))
        for reply in replies:
            state = reply["state"]
            assert (len(state["messages"]), {len(message["text"]) for message in state["messages"]}) == (50, {2000})
            assert len(json.dumps(state, ensure_ascii=False).encode()) > 400_000
        for client in (*clients, *joiners):
            assert {event["type"] for event in await client.events()} <= {"participants-changed", "message"}
