"""A conversation on a fake socket, where every await can be cut and every outage staged."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import mint
from roomd.gateway.connection import BAD_TOKEN_GRACE
from roomd.limits.ledgers import arrive
from roomd.rooms.settings import Settings
from tests.support.conversations import ADDRESS, HOLD, Stage
from tests.support.fakes import SECRET
from tests.support.sockets import client_frame


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    await stage.close()


async def test_what_was_read_is_served_before_what_comes_later(stage: Stage) -> None:
    """A frame that waits for the one before it is not overtaken by one that comes just when that is done."""
    jane = stage.connect()
    await jane.ask("join-room", code=stage.code, guestName="Jane")
    stage.store.hold()
    jane.send("update-participant", id=1, state={"muted": True})
    first, heard = jane.connection._running, []
    assert first is not None

    def come_between(_: object) -> None:
        jane.send("ping", id=3)
        heard.extend(jane.heard())

    first.add_done_callback(come_between)
    jane.send("ping", id=2)
    for _ in range(5):
        await asyncio.sleep(0)
    stage.store.let_go()
    await stage.idle()
    assert [frame["id"] for frame in heard if "id" in frame] == [1], "the ping that came just then waits"
    assert [frame["id"] for frame in jane.heard() if "id" in frame] == [2, 3]
    jane.send("ping", id=4)
    assert [frame["id"] for frame in jane.heard()] == [4], "served where it was read"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [({"type": "create-room"}, "unauthenticated"), ({"type": "authenticate", "token": "x"}, "invalid_token")],
)
async def test_an_error_comes_before_what_was_asked_later(stage: Stage, request_: dict[str, Any], answer: str) -> None:
    """A request that fails is answered before the next is served, and after a bad token none is."""
    jane = stage.connect()
    jane.send(type_=request_["type"], id=1, token=request_.get("token"))
    heard = jane.heard()
    later = 1
    while not heard:
        later += 1
        jane.send("ping", id=later)  # something is under way, or about to be
        heard = jane.heard()
        await asyncio.sleep(0)
    assert [(frame["id"], frame["code"]) for frame in heard] == [(1, answer)]
    assert later > 1
    await stage.idle()
    jane.send("ping", id="last")
    pongs = [*range(2, later + 1), "last"] if answer == "unauthenticated" else []
    assert [frame["id"] for frame in jane.heard()] == pongs


async def test_a_client_that_goes_while_its_join_commits(stage: Stage) -> None:
    """The seat it is given is dropped at once: held for the window, then left."""
    stage.store.hold()
    client = stage.connect()
    client.send("join-room", code=stage.code, guestName="Jane")
    await asyncio.wait_for(stage.store.reached.wait(), 5)
    client.transport.lose()
    stage.store.let_go()
    await stage.idle()
    ((person,),) = [(await stage.people()).values()]
    assert (person.is_active, person.left_at) == (False, None)
    stage.clock.advance(HOLD)
    await stage.idle()
    assert await stage.people() == {}


@pytest.mark.parametrize("end", ["goodbye", "eof", "lost"])
async def test_a_message_just_before_the_end(stage: Stage, end: str) -> None:
    """The others see what a client sent before it went: first the message, then that its seat is held."""
    host, client = stage.connect(stage.token("alice")), stage.connect()
    await host.ask("join-room", code=stage.code)
    await client.ask("join-room", code=stage.code, guestName="Jane")
    host.heard()
    client.send("send-message", text="bye")
    match end:
        case "goodbye":
            client.transport.receive(client_frame(b"\x03\xe8", 0x8))
        case "eof":
            client.transport.hang_up()
        case _:
            client.transport.lose()
    await stage.idle()
    message, dropped = host.heard()
    assert (message["type"], message["message"]["text"]) == ("message", "bye")
    assert [person["isActive"] for person in dropped["updated"]] == [False]


async def test_requests_during_a_restart(stage: Stage) -> None:
    """Section 9: 503 `restarting` with `retryAfter`, and nothing is begun."""
    client = stage.connect()
    await client.ask("ping")
    await stage.hub.drain()
    assert await client.ask("join-room", id=1, code=stage.code, guestName="Jane") == [
        {"type": "error", "id": 1, "statusCode": 503, "code": "restarting", "message": "The server is restarting",
         "retryAfter": 2.0}
    ]  # fmt: skip
    assert await stage.people() == {}


async def test_a_bug_costs_one_reply(stage: Stage) -> None:
    """Section 9: 500 `internal_error`, never the text of the exception, and the conversation goes on."""
    client = stage.connect(stage.token("alice"))

    stage.store.broken = RuntimeError("secret text")
    assert await client.ask("list-rooms", id=1) == [
        {"type": "error", "id": 1, "statusCode": 500, "code": "internal_error", "message": "Internal error"}
    ]
    stage.store.broken = None
    assert await client.ask("ping") == [{"type": "pong"}]


async def test_pages_need_storage(stage: Stage) -> None:
    """Section 9: 503 `unavailable` when a page cannot be read; the next one can."""
    client = stage.connect(stage.token("alice"))
    stage.store.failing = True
    assert await client.ask("list-rooms", id=1) == [
        {"type": "error", "id": 1, "statusCode": 503, "code": "unavailable",
         "message": "Storage is unavailable, nothing was changed", "retryAfter": 1.0}
    ]  # fmt: skip
    stage.store.failing = False
    assert (await client.ask("list-rooms", id=1))[0]["type"] == "rooms"


async def test_keys_that_cannot_be_had(stage: Stage) -> None:
    """While the issuer's keys cannot be had a token is neither good nor bad: 503 and 1013, come back later."""
    stage.keys.unavailable = True
    client = stage.connect(stage.token("alice"))
    assert await client.ask("ping", id=1) == [
        {"type": "error", "id": 1, "statusCode": 503, "code": "unavailable",
         "message": "Storage is unavailable, nothing was changed", "retryAfter": 5.0}
    ]  # fmt: skip
    assert await client.closed() == 1013


async def test_being_in_a_room_outlives_the_token(stage: Stage) -> None:
    """Section 2: past `exp` and leeway the token still serves the room the connection is in, and nothing else."""
    client = stage.connect(stage.token("alice", ttl=60))
    assert (await client.ask("join-room", code=stage.code))[0]["type"] == "participant"
    other = await stage.hub.create(Settings(), "alice")
    stage.clock.seconds += 71
    refused = {"type": "error", "statusCode": 401, "code": "unauthenticated", "message": "Authentication required"}
    assert await client.ask("create-room") == [refused]
    assert await client.ask("join-room", code=other.code) == [refused]
    (looked,) = await client.ask("get-room", code=other.code)
    admission = {key: value for key, value in refused.items() if key != "type"}
    assert looked["admission"] == {"allowed": False, **admission}
    assert (await client.ask("update-room", code=stage.code, isLocked=True))[0]["room"]["isLocked"] is True
    assert [f["type"] for f in await client.ask("join-room", code=stage.code)] == ["participant", "room-state"]
    assert [f["type"] for f in await client.ask("leave-room")] == ["participant"]
    assert await client.ask("join-room", code=stage.code) == [refused]
    renewed = mint(SECRET, TokenOrder(user="alice", ttl=60), stage.clock.wall())
    assert (await client.ask("authenticate", token=renewed))[0]["type"] == "authenticated"
    assert (await client.ask("create-room"))[0]["type"] == "room"


async def test_a_bad_token_and_silence(stage: Stage) -> None:
    """Section 2: never a guest; who says nothing is told after a moment."""
    assert BAD_TOKEN_GRACE <= 1
    client = stage.connect("garbage")
    assert await client.closed() == 4401
    assert client.before_close == [
        {"type": "error", "statusCode": 401, "code": "invalid_token", "message": "Token is not valid"}
    ]


async def test_nothing_is_written_after_a_close(stage: Stage) -> None:
    """RFC 6455, section 5.5.1: no data after the close frame, whatever the room still has to tell."""
    first, second = stage.connect(stage.token("alice")), stage.connect()
    await first.ask("join-room", code=stage.code)
    first.heard()
    first.transport.receive(client_frame(b"\x03\xe8", 8))
    await second.ask("join-room", code=stage.code, guestName="Jane")
    assert first.heard() == []


async def test_a_rate_that_is_kept_past_the_limit() -> None:
    """Section 9: 429 with `retryAfter` and the request's id, then 4429."""
    stage = await Stage(request_rate=0.1, request_burst=20).open()
    client = stage.connect()
    for number in range(23):
        client.send("ping", id=number)
    await stage.idle()
    for _ in range(100):
        await asyncio.sleep(0)
    refused = {"type": "error", "statusCode": 429, "code": "rate_limited", "message": "Too many requests"}
    frames = client.heard()
    assert frames[:20] == [{"type": "pong", "id": n} for n in range(20)]
    assert frames[20:] == [{**refused, "retryAfter": 10.0, "id": n} for n in range(20, 23)]
    assert await client.closed() == 4429


async def test_a_client_over_its_share_is_slowed_first() -> None:
    """What it sends is served later, then refused; nothing is lost and the order stays."""
    stage = await Stage(request_rate=50.0, request_burst=2).open()
    client = stage.connect()
    client.transport.receive(b"".join(client_frame(b'{"type": "ping", "id": %d}' % number) for number in range(4)))
    await stage.idle()
    assert [frame["id"] for frame in client.heard()] == [0, 1, 2]
    assert not client.transport.reading.is_set()
    async with asyncio.timeout(60):
        await client.transport.reading.wait()
    assert [(frame["type"], frame["id"]) for frame in client.heard()] == [("error", 3)]
    await stage.close()


async def test_a_client_that_closes_is_not_slowed() -> None:
    """A close frame is read at once, also from a client over its share."""
    stage = await Stage(request_rate=1.0, request_burst=1).open()
    client = stage.connect()
    for number in range(2):
        client.send("ping", id=number)
    assert not client.transport.reading.is_set()
    client.connection.outbox.close(4000, "the end")
    client.transport.receive(client_frame(b"\x0f\xa0", 8))
    await stage.idle()
    assert client.transport.has_ended
    await stage.close()


async def test_a_resume_is_never_refused_for_its_rate() -> None:
    """Section 8: whoever comes back is served, at most more slowly."""
    stage = await Stage(request_rate=0.001, request_burst=1).open()
    first = stage.connect()
    joined = await first.ask("join-room", code=stage.code, guestName="Jane")
    first.transport.lose()
    second = stage.connect()
    pong, refused, seat, _ = [
        *await second.ask("ping", id=1),
        *await second.ask("ping", id=2),
        *await second.ask("resume", id=3, resumeToken=joined[0]["resumeToken"]),
    ]
    assert (pong["type"], refused["code"], seat["type"]) == ("pong", "rate_limited", "participant")
    await stage.close()


async def test_silence_before_the_first_join(stage: Stage) -> None:
    """So many ticks without a request are silence; those in which one is being served are not, nor any after a join."""
    jane = stage.connect()
    stage.store.hold()
    stage.store.fails_once = True
    jane.send("join-room", id=1, code=stage.code, guestName="Jane")
    for _ in range(10):
        jane.connection.tick(1000, 3, 1000)
        await asyncio.sleep(0)
    stage.store.let_go()
    await stage.idle()
    (refused,) = jane.heard()
    assert refused["code"] == "unavailable"
    joe = stage.connect()
    await joe.ask("join-room", code=stage.code, guestName="Joe")
    for tick in range(4):
        assert jane.transport.close_code is None, tick
        for one in (jane, joe):
            one.connection.tick(1000, 3, 1000)
            one.transport.receive(client_frame(b"", 0xA))
            one.heard()
    assert (jane.transport.close_code, joe.transport.close_code) == (4408, None)


@pytest.mark.parametrize(("opcode", "to"), [(1, {"id": 7}), (2, {})], ids=["text", "binary"])
async def test_a_bad_token_is_told_to_the_first_message(stage: Stage, opcode: int, to: dict[str, Any]) -> None:
    """Whatever comes first is answered with what is wrong with the token, and nothing after it is."""
    client = stage.connect("garbage")
    client.transport.receive(client_frame(b'{"type": "ping", "id": 7}', opcode) * 2)
    assert await client.closed() == 4401
    error = {"type": "error", "statusCode": 401, "code": "invalid_token", "message": "Token is not valid"}
    assert client.before_close == [{**error, **to}]


async def test_a_bug_in_the_token_check(stage: Stage) -> None:
    """A token that could not be checked makes nobody a guest."""
    stage.keys.broken = RuntimeError("secret text")
    client = stage.connect(stage.token("alice"))
    client.send("join-room", code=stage.code, guestName="Jane")
    assert await client.closed() == 1011
    assert client.before_close == []
    assert await stage.people() == {}


async def test_pings_past_the_rate_limit() -> None:
    """Section 9: frames without a message count like requests, up to 4429. Then its address connects more slowly."""
    stage = await Stage(request_rate=0.1, request_burst=20, arrival_rate=1.0, arrival_burst=49).open()
    client = stage.connect()
    for _ in range(30):
        client.transport.receive(client_frame(b"", 9))
    assert await client.closed() == 4429
    assert arrive(stage.ledgers, ADDRESS, stage.clock.monotonic()) == pytest.approx(2)
    await stage.close()
