"""The event log by HTTP: long polls and Server-Sent Events (docs/protocol.md, section 10)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from roomd.eventlog.feed import Feed
from roomd.gateway.event_readers import MOST_READERS
from roomd.protocol.log_events import LoggedRoomUpdated
from tests.support.api import parse, request
from tests.support.log_readers import EventStage
from tests.support.sockets import turns
from tests.support.stored import LATER

LOG = "0123456789ab"


def numbers(body: dict[str, Any]) -> list[int]:
    """Return the numbers of the events in a response."""
    return [int(event["position"][12:], 16) for event in body["events"]]


def ids(text: str) -> list[int]:
    """Return the numbers of the events in a stream."""
    return [int(line.split()[1][12:], 16) for line in text.splitlines() if line.startswith("id: ")]


@pytest.fixture
async def stage() -> EventStage:
    stage = EventStage()
    await stage.open()
    return stage


async def test_a_poll_reads_from_a_position_on(stage: EventStage) -> None:
    """From the oldest, from a position, and from the end; `next` is where to read on."""
    stage.write(5)
    reader = stage.reader()
    status, body = await reader.poll(limit=2)
    assert (status, numbers(body), body["next"]) == (200, [1, 2], f"{LOG}{2:012x}")
    assert body["events"][0].keys() == {"id", "position", "at", "type", "room"}
    assert body.keys() == {"events", "next"}
    _, body = await reader.poll(after=body["next"])
    assert numbers(body) == [3, 4, 5]
    assert (await reader.poll(after=body["next"]))[1] == {"events": [], "next": body["next"]}
    assert (await reader.poll(after="latest"))[1] == {"events": [], "next": body["next"]}
    assert reader.is_kept


async def test_a_poll_waits(stage: EventStage) -> None:
    """It is answered as soon as there is an event; other requests of the same user are served meanwhile."""
    reader, other = stage.reader(), stage.reader()
    reader.ask("?after=latest&wait=25")
    await turns()
    assert reader.transport.written() == b""
    assert (await other.poll(wait=0))[0] == 200
    stage.write()
    (answer,) = parse((await reader.until("events")).encode())
    assert numbers(answer.frame) == [1]


async def test_a_poll_whose_client_is_gone(stage: EventStage) -> None:
    """Nothing is read for it any more."""
    reader = stage.reader()
    reader.ask("?after=latest&wait=25")
    await turns()
    assert stage.listener._tasks
    reader.transport.lose()
    await turns()
    assert not stage.listener._tasks


BAD = {
    "after": ("after=42", "after must be the position of an event, or a next, or latest"),
    "empty after": ("after=", "after must be the position of an event, or a next, or latest"),
    "after twice": ("after=latest&after=latest", "after must be given once"),
    "limit 0": ("limit=0", "limit must be a whole number from 1 to 1,000"),
    "limit 1001": ("limit=1001", "limit must be a whole number from 1 to 1,000"),
    "limit of words": ("limit=ten", "limit must be a whole number from 1 to 1,000"),
    "a long limit": ("limit=" + "9" * 5000, "limit must be a whole number from 1 to 1,000"),
    "limit of other digits": ("limit=%D9%A1", "limit must be a whole number from 1 to 1,000"),
    "an empty limit": ("limit", "limit must be a whole number from 1 to 1,000"),
    "limit twice": ("limit=1&limit=1", "limit must be given once"),
    "wait 26": ("wait=26", "wait must be a whole number from 0 to 25"),
    "wait -1": ("wait=-1", "wait must be a whole number from 0 to 25"),
    "wait twice": ("wait=1&wait=2", "wait must be given once"),
    "rooms": ("room=abc-def-ghi&" * 101, "room may be given 100 times"),
    "no UTF-8": ("after=%FF", "the parameters of the URL cannot be read"),
    "too many": ("x=1&" * 1001, "the parameters of the URL cannot be read"),
}


@pytest.mark.parametrize(("query", "why"), BAD.values(), ids=BAD)
async def test_parameters_that_are_not_valid(stage: EventStage, query: str, why: str) -> None:
    """400 `bad_frame` says which, and what it must be; for a stream too."""
    for accept in ("*/*", "text/event-stream"):
        reader = stage.reader()
        reader.ask(f"?{query}", Accept=accept)
        (answer,) = parse((await reader.until("\r\n\r\n")).encode())
        assert (answer.status, answer.frame["code"]) == (400, "bad_frame")
        assert answer.frame["message"] == f"Malformed frame: {why}"


GOOD = {
    "encoded": f"after={LOG}00000000000%31&%6cimit=%31",
    "not known": "limit=1&after=0123456789ab000000000001&types=x&types=y",
    "empty pairs": f"&&limit=0001&after={LOG}000000000001&",
}


@pytest.mark.parametrize("query", GOOD.values(), ids=GOOD)
async def test_parameters_that_are_valid(stage: EventStage, query: str) -> None:
    """Percent-encoding is decoded, and what is not known is ignored."""
    stage.write(3)
    reader = stage.reader()
    reader.ask(f"?{query}")
    (answer,) = parse((await reader.until("\r\n\r\n")).encode())
    assert numbers(answer.frame) == [2]


async def test_who_may_read(stage: EventStage) -> None:
    """Admins all rooms, hosts their own; each refusal is its status and an `error` frame."""
    stage.write(3)
    own = next(iter(stage.store.rooms.values()))
    stage.log.add(own.id, [LoggedRoomUpdated(at=LATER, room=own)])

    async def refused(token: str, **parameters: Any) -> tuple[int, str]:
        status, body = await stage.reader(token).poll(**parameters)
        return status, body["code"]

    assert await refused("") == (401, "unauthenticated")
    assert await refused("x") == (401, "invalid_token")
    assert await refused(stage.token(ttl=-60)) == (401, "token_expired")
    assert await refused(stage.token()) == (403, "not_host")
    assert await refused(stage.token("bob"), room=own.code) == (403, "not_host")
    assert await refused(stage.token(), room=[own.code, "zzz-zzz-zzz"]) == (404, "room_not_found")
    assert await refused(stage.token(), room="%") == (404, "room_not_found")
    assert await refused(stage.token(room="zzz-zzz-zzz"), room=own.code) == (403, "wrong_room")
    assert await refused(stage.token("root", admin=True), after="f" * 24) == (410, "position_expired")
    _, body = await stage.reader(stage.token()).poll(room=[own.code, own.code.upper()])
    assert numbers(body) == [4]
    _, body = await stage.reader().poll(after="f" * 24)
    assert (await stage.reader().poll(after=body["oldest"]))[0] == 200


async def test_without_a_log(stage: EventStage) -> None:
    """404 `events_off`, before a stream too."""
    off = EventStage()
    off.services.feed = Feed(None)
    off.listener = type(off.listener)(off.config, off.services, off.hub)
    for accept in ("*/*", "text/event-stream"):
        reader = off.reader()
        reader.ask(Accept=accept)
        (answer,) = parse((await reader.until("\r\n\r\n")).encode())
        assert (answer.status, answer.frame["code"]) == (404, "events_off")


async def test_storage_that_fails(stage: EventStage) -> None:
    """A poll is answered with 503. A stream goes on when the storage is well again."""
    stage.write(2)
    reader = stage.reader()
    await reader.stream()
    await reader.until("id: ")
    stage.log.failing = True
    stage.write()
    assert (await stage.reader().poll(after=f"{LOG}{2:012x}"))[0] == 503
    await reader.until(": storage failed")
    stage.log.failing = False
    assert ids(await reader.until("id: ")) == [3]


async def test_a_stream(stage: EventStage) -> None:
    """The position, the type and the event, as they are written; a reader that comes back names the last position."""
    stage.write(2)
    reader = stage.reader()
    head = await reader.stream()
    assert "HTTP/1.1 200 OK" in head
    assert "Content-Type: text/event-stream\r\n" in head
    assert "Cache-Control: no-store\r\n" in head
    first = await reader.until(f"id: {LOG}{2:012x}")
    lines = first[first.index("id: ") :].splitlines()
    assert lines[:2] == [f"id: {LOG}{1:012x}", "event: room-updated"]
    name, event = lines[2].split(": ", 1)
    assert (name, json.loads(event)["position"]) == ("data", f"{LOG}{1:012x}")
    assert lines[3] == ""
    stage.write()
    assert ids(await reader.until("id: ")) == [3]
    again = stage.reader()
    await again.stream("?after=latest&limit=1&wait=25", Last_Event_ID=f"{LOG}{1:012x}")
    assert ids(await again.until(f"id: {LOG}{3:012x}")) == [2, 3]


async def test_a_stream_whose_client_is_gone(stage: EventStage) -> None:
    """Nothing is read for it any more, and its place is free."""
    reader = stage.reader()
    await reader.stream()
    reader.transport.lose()
    await turns()
    assert not stage.listener._tasks
    assert not stage.listener._api._readers._reading


async def test_a_slow_stream(stage: EventStage) -> None:
    """A client that takes nothing gets nothing more, and then everything."""
    reader = stage.reader()
    await reader.stream()
    reader.transport.fill(1 << 20)
    for _ in range(3):
        stage.write(500)
        await asyncio.sleep(0.02)
    before = ids(reader.transport.written().decode())
    assert len(before) <= 500, "one part was ready"
    reader.transport.drain()
    later = ids(await reader.until(f"id: {LOG}{1500:012x}\n"))
    assert before + later == list(range(1, 1501))


async def test_a_comment_while_there_is_nothing(stage: EventStage) -> None:
    """So no proxy takes the stream for dead. The token ends soon here, and so does each wait."""
    reader = stage.reader(stage.token("root", ttl=-9.9, admin=True))
    await reader.stream()
    await reader.until(": keep-alive\n")
    stage.clock.advance(1)
    end = await reader.until("0\r\n\r\n")
    frame = json.loads(end[end.index("data: ") + 6 :].splitlines()[0])
    assert "event: error\n" in end
    assert (frame["type"], frame["code"], frame["statusCode"]) == ("error", "token_expired", 401)


async def test_a_poll_ends_with_the_token(stage: EventStage) -> None:
    """It is answered then, and the next one is refused."""
    reader = stage.reader(stage.token("root", ttl=-9.9, admin=True))
    status, body = await reader.poll(wait=25)
    assert (status, body["events"]) == (200, [])
    stage.clock.advance(1)
    assert (await reader.poll(wait=25))[1]["code"] == "token_expired"


async def test_a_host_no_more(stage: EventStage) -> None:
    """A stream ends with 403 within half a minute after the room was handed over."""
    host = stage.reader(stage.token())
    own = next(iter(stage.store.rooms.values()))
    await host.stream(f"?room={own.code}")
    admin = stage.reader()
    body = json.dumps({"code": own.code, "hostId": "bob"}).encode()
    admin.transport.receive(request("update-room", admin.token, body))
    await admin.until("HTTP/1.1 200")
    stage.clock.advance(31)
    stage.log.add(own.id, [LoggedRoomUpdated(at=LATER, room=own)])
    assert '"code":"not_host"' in await host.until("event: error")


async def test_events_of_other_rooms(stage: EventStage) -> None:
    """A stream of one room that passes over the others moves its position on, without an event."""
    own = next(iter(stage.store.rooms.values()))
    host = stage.reader(stage.token("alice", ttl=-9.9))
    await host.stream(f"?room={own.code}")
    stage.write(3)
    text = await host.until(f"id: {LOG}{3:012x}\n\n")
    assert "data: " not in text


async def test_how_many_may_read(stage: EventStage) -> None:
    """A user has so many connections that read, then 429; each place is free when its connection ends."""
    readers = [stage.reader() for _ in range(MOST_READERS)]
    for reader in readers:
        await reader.stream()
    other = stage.reader()
    status, body = await other.poll()
    assert (status, body["code"], body["retryAfter"]) == (429, "rate_limited", 5.0)
    assert body["message"] == f"{MOST_READERS} connections of this user read the event log already"
    assert (await stage.reader(stage.token("admin2", admin=True)).poll())[0] == 200
    assert stage.listener.strangers == 1, "those that read do not give way to strangers"
    readers[0].transport.lose()
    await turns()
    assert (await other.poll())[0] == 200


async def test_the_server_stops(stage: EventStage) -> None:
    """Streams and polls end at once, and nobody begins another one."""
    stream, poll = stage.reader(), stage.reader()
    await stream.stream()
    poll.ask("?after=latest&wait=25")
    await turns()
    stage.services.feed.stop()
    (answer,) = parse((await poll.until("events")).encode())
    assert answer.headers["Connection"] == "close"
    await stream.until("0\r\n\r\n")
    for accept in ("*/*", "text/event-stream"):
        late = stage.reader()
        late.ask(Accept=accept)
        (answer,) = parse((await late.until("\r\n\r\n")).encode())
        assert (answer.status, answer.frame["code"], answer.headers["Retry-After"]) == (503, "restarting", "2")


async def test_methods(stage: EventStage) -> None:
    """HEAD is GET without the body; others are refused, with those there are."""
    stage.write()
    reader = stage.reader()
    for accept, kind in (("*/*", "application/json"), ("text/event-stream", "text/event-stream")):
        reader.ask(method="HEAD", Accept=accept)
        head = await reader.until("\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert f"Content-Type: {kind}\r\n" in head
        assert head.endswith("\r\n\r\n")
    for method in ("POST", "PUT", "OPTIONS"):
        other = stage.reader()
        other.ask(method=method)
        (answer,) = parse((await other.until("\r\n\r\n")).encode())
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


ACCEPT: Sequence[tuple[str, bool]] = (
    ("text/event-stream", True),
    ("application/json;q=0.5, Text/Event-Stream;q=0.9", True),
    ("text/event-stream;q=0", False),
    ("text/event-stream; q=0.000, */*", False),
    ("*/*", False),
    ("text/*", False),
    ("", False),
)


@pytest.mark.parametrize(("accept", "is_stream"), ACCEPT)
async def test_which_of_the_two(stage: EventStage, accept: str, is_stream: bool) -> None:
    """A stream is for who names it."""
    reader = stage.reader()
    reader.ask(Accept=accept)
    head = await reader.until("\r\n\r\n")
    assert ("text/event-stream" in head) == is_stream


async def test_pages_of_other_origins() -> None:
    """A page that the configuration names may read, after a preflight; others are told nothing."""
    stage = EventStage(origins=("https://app.example",))
    await stage.open()
    asking = stage.reader()
    asking.ask(method="OPTIONS", Origin="https://app.example")
    (allowed,) = parse((await asking.until("\r\n\r\n")).encode())
    assert (allowed.status, allowed.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")
    assert "Last-Event-ID" in allowed.headers["Access-Control-Allow-Headers"]
    for origin, is_allowed in (("https://app.example", True), ("https://evil.example", False)):
        head = await stage.reader().stream(Origin=origin)
        assert ("Access-Control-Allow-Origin: https://app.example\r\n" in head) == is_allowed


async def test_what_is_counted(stage: EventStage) -> None:
    """Each request, by the status of its response."""
    reader = stage.reader()
    await reader.poll()
    await reader.poll(limit=0)
    assert dict(stage.services.counters.api) == {("events", 200): 1, ("events", 400): 1}
