"""A message that is sent again with the same client id is kept and told once: docs/protocol.md, section 8."""

from typing import Any

import pytest

from roomd.rooms.answers import Reader
from roomd.rooms.room import MOST_SENT
from tests.support.stage import Person, Stage


async def stored(stage: Stage, participant_id: str | None = None) -> list[str]:
    """Return the texts of the messages that are kept: public ones, and those of a participant."""
    messages, *_ = await stage.store.messages(Reader(stage.room.id, participant_id, None), None, 1000)
    return [message.text for message in messages]


def told(*people: Person) -> list[list[Any]]:
    """Return what each was told since the last look, in messages only."""
    return [[frame[1] for frame in person.said() if frame[0] == "message"] for person in people]


async def test_a_message_is_sent_again(stage: Stage) -> None:
    """Item 6: the second one is answered `ok`; it is kept and told once, also with another text or addressee."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    await ann.say("first", client_id="c1")
    await ann.say("first", client_id="c1")
    await ann.say("another text", client_id="c1")
    await ann.say("psst", bob.seat, client_id="c1")
    assert ann.answers == ["ok"] * 5
    assert told(ann, bob, carol) == [["first"]] * 3
    assert await stored(stage) == ["first"]


async def test_the_client_id_is_told(stage: Stage) -> None:
    """It stands in the message for everyone, and in `room-state`; without one the key is left out."""
    ann, bob = await stage.seated("ann", "bob")
    await ann.say("with", client_id="c1")
    await ann.say("without")
    shown = [frame["message"].get("clientId", "none") for frame in bob.frames()]
    assert shown == ["c1", "none"]
    carol = stage.guest("carol")
    await carol.join()
    _, state, *_ = carol.frames()
    assert [message.get("clientId", "none") for message in state["messages"]] == shown


async def test_two_in_one_batch(stage: Stage) -> None:
    """Both are answered `ok`, and one is kept and told; the others of the batch are not held up."""
    ann, bob, _ = await stage.seated("ann", "bob", "carol")
    await stage.in_one_batch(
        lambda: ann.say("first", client_id="c1"),
        lambda: bob.say("between"),
        lambda: ann.say("second", client_id="c1"),
        lambda: ann.say("other", client_id="c2"),
    )
    assert ann.answers == ["ok"] * 4
    assert told(bob) == [["first", "between", "other"]]
    assert await stored(stage) == ["first", "between", "other"]


async def test_a_client_id_is_the_participant_s_own(stage: Stage) -> None:
    """The same id from another participant is another message, also from the same user who has joined again."""
    bob = stage.user("bob")
    await bob.join()
    (ann,) = await stage.seated("ann")
    await ann.say("ann's", client_id="c1")
    await bob.say("bob's", client_id="c1")
    await bob.leave()
    await bob.join()
    await bob.say("bob's, later", client_id="c1")
    assert await stored(stage) == ["ann's", "bob's", "bob's, later"]


async def test_after_a_failed_append(stage: Stage) -> None:
    """What was answered 503 was not kept; sent again with the same id, it is."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.failing = True
    await ann.say("first", client_id="c1")
    stage.store.failing = False
    await ann.say("first", client_id="c1")
    assert ann.answers == ["ok", "unavailable", "ok"]
    assert told(bob) == [["first"]]


async def test_over_a_takeover_a_drop_and_a_restart(stage: Stage) -> None:
    """It is the seat that sent it, whichever connection has the seat, and whichever process serves it."""
    bob = stage.user("bob")
    await bob.join()
    await bob.say("once", client_id="c1")
    elsewhere = stage.user("bob")
    await elsewhere.join()
    await elsewhere.say("once", client_id="c1")
    elsewhere.drop()
    back = stage.user("bob")
    await back.resume(elsewhere)
    await back.say("once", client_id="c1")
    again = await stage.restart()
    after = again.user("bob")
    await after.resume(back)
    await after.say("once", client_id="c1")
    await after.say("twice", client_id="c2")
    assert [person.answers[-1] for person in (elsewhere, back, after)] == ["ok"] * 3
    assert await stored(again) == ["once", "twice"]
    await again.close()


async def test_a_private_one_to_somebody_who_has_left(stage: Stage) -> None:
    """Sent again, it is `ok` and not 404, also after a restart: it was kept when the addressee was there."""
    ann, bob = await stage.seated("ann", "bob")
    await ann.say("psst", bob.seat, client_id="c1")
    await bob.leave()
    await ann.say("psst", bob.seat, client_id="c1")
    again = await stage.restart()
    back = again.guest("ann")
    await back.resume(ann)
    await back.say("psst", bob.seat, client_id="c1")
    assert (ann.answers[-1], back.answers[-1]) == ("ok", "ok")
    assert await stored(again, ann.seat) == ["psst"]
    await again.close()


async def many(person: Person) -> None:
    """Send as many messages as the room has in memory, and a few more: `c0` to `c3` are forgotten."""
    for number in range(MOST_SENT + 4):
        await person.say(f"{number}", client_id=f"c{number}")


@pytest.mark.parametrize("again", [["c0"], ["c0", "c1", "c2", "c3"]])
async def test_older_than_what_is_in_memory(stage: Stage, again: list[str]) -> None:
    """The store knows older ones: the batch is decided once more without them, and everything else of it is served."""
    ann, bob, _ = await stage.seated("ann", "bob", "carol")
    await many(ann)
    told(ann, bob)
    appends = stage.store.appends
    await stage.in_one_batch(
        lambda: bob.say("before"),
        *[lambda key=key: ann.say("again", client_id=key) for key in again],
        lambda: bob.present(muted=True),
        lambda: ann.say("new", client_id="new"),
    )
    assert stage.store.appends == appends + 2, "one that fails, and one without what is stored"
    assert ann.answers[-1] == bob.answers[-1] == "ok"
    assert told(ann, bob) == [["before", "new"]] * 2
    assert (await stored(stage))[-3:] == [f"{MOST_SENT + 3}", "before", "new"]


async def test_a_failure_after_that(stage: Stage) -> None:
    """If storing the rest of the batch fails, all of it is answered 503, and it can be repeated."""
    ann, bob = await stage.seated("ann", "bob")
    await many(ann)
    told(ann, bob)
    begin = (lambda: ann.say("again", client_id="c0"), lambda: bob.say("new", client_id="c0"))
    stage.store.fails_once = True
    await stage.in_one_batch(*begin)
    assert (ann.answers[-1], bob.answers[-1]) == ("unavailable", "unavailable")
    await stage.in_one_batch(*begin)
    assert (ann.answers[-1], bob.answers[-1]) == ("ok", "ok")
    assert told(ann, bob) == [["new"]] * 2
