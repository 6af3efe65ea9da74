"""What the connection of a client is charged for, and what it is told then (docs/reference/limits.md)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from roomd.limits.usage import Usage
from roomd.rooms.settings import Settings
from tests.support.conversations import ADDRESS, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    await stage.close()


async def test_a_join_that_is_stored_after_the_end(stage: Stage) -> None:
    """The seat is held and not kept, also that in a second room, and no account of a room is left."""
    other = (await stage.hub.create(Settings(), "alice")).code
    jane, host = stage.connect(), stage.connect(stage.token("alice"))
    await host.ask("join-room", code=other)
    await jane.ask("join-room", code=stage.code, guestName="Jane")
    stage.store.hold()
    jane.send("join-room", code=other, guestName="Jane")
    await stage.store.reached.wait()
    jane.transport.lose()
    stage.store.let_go()
    await stage.idle()
    host.heard()
    assert sorted(person["isActive"] for person in host.view.values()) == [False, True]
    host.transport.lose()
    await stage.idle()
    stage.clock.advance(3600)
    await stage.idle()
    assert await stage.people() == {}
    assert len(stage.ledgers.rooms) == 0


class Other:
    """Another stranger, who came last."""

    def give_way(self) -> None:
        """Fail: the oldest gives way."""
        pytest.fail("the newest gave way")


async def test_who_has_left_is_a_stranger_again(stage: Stage) -> None:
    """A connection without a place and a token can give way, unless its client joins again."""
    leaves, stays, user = stage.connect(), stage.connect(), stage.connect(stage.token("alice"))
    for client in (leaves, stays, user):
        await client.ask("join-room", code=stage.code, guestName="Jane")
    for client in (leaves, user):
        await client.ask("leave-room")

    def tick() -> None:
        for client in stage.clients:
            client.connection.tick(60, 60, 60)

    tick()
    await leaves.ask("join-room", code=stage.code, guestName="Jane")
    tick()
    newest = Other()
    stage.ledgers.add_stranger(None, newest)
    assert not stage.ledgers.make_way(newest)
    stage.ledgers.remove_stranger(newest)
    await leaves.ask("leave-room")
    tick()
    tick()
    stage.ledgers.add_stranger(None, newest)
    assert stage.ledgers.make_way(newest)
    assert not stage.ledgers.make_way(newest)
    assert await leaves.closed() == 1013


async def test_an_ended_room_makes_strangers(stage: Stage) -> None:
    """Whoever was in it without a token has no place any more."""
    jane, host = stage.connect(), stage.connect(stage.token("alice"))
    await jane.ask("join-room", code=stage.code, guestName="Jane")
    await host.ask("end-room", code=stage.code)
    jane.connection.tick(60, 60, 60)
    newest = Other()
    stage.ledgers.add_stranger(None, newest)
    assert stage.ledgers.make_way(newest)
    assert await jane.closed() == 1013


async def test_a_way_back_is_never_refused() -> None:
    """`resume` and `authenticate` are served at an address over its share, and the client is not read for a second."""
    stage = await Stage(request_rate=0.01, request_burst=5).open()
    flood = Usage(stage.ledgers, ADDRESS)
    for _ in range(5):
        flood.request(0)
    flood.close(0)
    asks, returns, late = stage.connect(), stage.connect(), stage.connect()
    (refused,) = await asks.ask("ping")
    assert refused["code"] == "rate_limited"
    (answer,) = await returns.ask("authenticate", token=stage.token("alice"))
    assert answer["type"] == "authenticated"
    (answer,) = await late.ask("resume", resumeToken="nothing")
    assert answer["code"] == "seat_expired"
    assert [client.transport.is_reading for client in (asks, returns, late)] == [True, False, False]
    await stage.close()


@pytest.mark.parametrize("asks", [False, True])
async def test_a_bad_token_is_charged_once(asks: bool) -> None:
    """It is charged when it is checked, also for a client that is gone before the error was sent."""
    stage = await Stage(failure_rate=1.0, failure_burst=15).open()
    for number, retry_after in ((1, 0), (2, 5)):
        client = stage.connect("garbage")
        await stage.idle()
        if asks:
            (refused,) = await client.ask("ping")
            assert refused["code"] == "invalid_token"
        client.transport.lose()
        await stage.idle()
        assert Usage(stage.ledgers, ADDRESS).request(0).retry_after == retry_after, number
    await stage.close()


async def test_hosts_do_not_wait_for_what_others_used() -> None:
    """With all of the room's bytes used up by guests, a host sends messages, bans, and makes another room."""
    stage = await Stage(room_stored_rate=0.1, room_stored_burst=500, room_told_rate=1.0, room_told_burst=1500).open()
    guest, host = stage.connect(), stage.connect(stage.token("alice"))
    seat = (await guest.ask("join-room", code=stage.code, guestName="Jane"))[0]["participant"]
    await host.ask("join-room", code=stage.code)
    frames = [frame for _ in range(10) for frame in await guest.ask("send-message", id=1, text="x" * 100)]
    assert {frame.get("code") for frame in frames if frame.get("id") == 1} == {None, "rate_limited"}
    host.heard()
    for type_, fields in (
        ("send-message", {"text": "x" * 100}),
        ("update-participant", {"state": {"muted": True}}),
        ("create-room", {}),
        ("ban", {"participantId": seat["id"]}),
    ):
        reply = next(frame for frame in await host.ask(type_, id=1, **fields) if frame.get("id") == 1)
        assert reply["type"] in ("ok", "room"), reply
    await stage.close()


async def test_what_a_room_refuses_is_not_charged() -> None:
    """A message to nobody, and one without space, cost a request and no bytes."""
    stage = await Stage(stored_rate=0.1, stored_burst=1000).open()
    guest = stage.connect()
    await guest.ask("join-room", code=stage.code, guestName="Jane")
    for _ in range(10):
        (refused,) = await guest.ask("send-message", text="x" * 500, to="nobody")
        assert refused["code"] == "participant_not_found"
    stage.store.nearly_full = True
    for _ in range(10):
        (refused,) = await guest.ask("send-message", text="x" * 500)
        assert refused["code"] == "storage_low"
    stage.store.nearly_full = False
    assert "code" not in (await guest.ask("send-message", text="x" * 500, id=1))[0]
    assert (await guest.ask("send-message", text="x" * 500, id=1))[0]["code"] == "rate_limited"
    await stage.close()


@pytest.mark.parametrize(("type_", "fields"), [("ban", {}), ("remove-participant", {"ban": True})])
async def test_a_ban_is_charged(type_: str, fields: dict[str, Any]) -> None:
    """By whichever request, it is charged as a row; a removal without a ban is not."""
    stage = await Stage(stored_rate=0.1, stored_burst=700).open()
    host = stage.connect(stage.token("alice"))
    await host.ask("join-room", code=stage.code)

    async def answer(name: str, type_: str, **fields: Any) -> object:
        user = stage.connect(stage.token(name))
        seat = (await user.ask("join-room", code=stage.code))[0]["participant"]
        host.heard()
        frames = await host.ask(type_, id=1, participantId=seat["id"], **fields)
        return next(frame.get("code") for frame in frames if frame.get("id") == 1)

    assert await answer("Ann", type_, **fields) is None
    assert await answer("Ben", type_, **fields) is None
    assert await answer("Cem", type_, **fields) == "rate_limited"
    assert await answer("Dee", "remove-participant") is None
    await stage.close()


async def test_changes_of_a_state() -> None:
    """They overwrite one row: one may be shown as speaking for a day. They are charged as what they are."""
    stage = await Stage(stored_rate=0.1, stored_burst=10, told_rate=0.1, told_burst=100_000).open()
    guest = stage.connect()
    await guest.ask("join-room", code=stage.code, guestName="Jane")
    for count in range(300):
        frames = await guest.ask("update-participant", id=count, state={"speaking": bool(count % 2)})
        assert all(frame["type"] != "error" for frame in frames), count
    await stage.close()


@pytest.mark.parametrize("way", ["join-room", "resume"])
async def test_coming_again_is_charged(way: str) -> None:
    """The state of the room is charged to who asks for it again: that client is slowed, and never refused."""
    stage = await Stage(told_rate=1.0, told_burst=1000).open()
    guest = stage.connect()
    seat, state = await guest.ask("join-room", code=stage.code, guestName="Jane")
    assert [state["type"], guest.transport.is_reading] == ["room-state", True]
    for _ in range(4):
        fields = {"code": stage.code, "guestName": "Jane"} if way == "join-room" else {}
        frames = await guest.ask(way, resumeToken=seat["resumeToken"], **fields)
        (seat,) = [frame for frame in frames if frame["type"] == "participant"]
        if not guest.transport.is_reading:
            break
    assert not guest.transport.is_reading
    await stage.close()


async def test_lists_of_people_are_charged() -> None:
    """As rows, whether they are read from the database or not: all people of the room are looked at for a page."""
    stage = await Stage(read_rate=0.1, read_burst=3).open()
    host = stage.connect(stage.token("alice"))
    await host.ask("join-room", code=stage.code)
    for history in (False, False, True, True):
        (reply,) = await host.ask("list-participants", code=stage.code, limit=1, history=history)
        assert reply["type"] == "participants"
    (reply,) = await host.ask("list-participants", code=stage.code)
    assert reply["code"] == "rate_limited"
    await stage.close()


async def test_rows_of_others_are_charged() -> None:
    """Who asks for messages is charged for all that were read, though the page has none of them."""
    stage = await Stage(read_rate=0.1, read_burst=5).open()
    guest, host = stage.connect(), stage.connect(stage.token("alice"))
    await host.ask("join-room", code=stage.code)
    await host.ask("update-room", code=stage.code, historyVisible="none")
    for _ in range(6):
        await host.ask("send-message", text="x")
    await guest.ask("join-room", code=stage.code, guestName="Jane")
    (page,) = await guest.ask("list-messages", code=stage.code)
    assert page["messages"] == []
    (reply,) = await guest.ask("list-messages", code=stage.code)
    assert reply["code"] == "rate_limited"
    await stage.close()
