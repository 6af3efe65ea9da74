"""Every command in every state of a room: to decide is to read, and the changes alone make the difference."""

import pytest

from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.model import Moment, StoredRoom
from roomd.rooms.room import Command, Room
from tests.support.every_command import CLOCK, STATES, VARIANTS, operations
from tests.support.rooms import (
    BOB,
    DAY,
    HOST,
    RULES,
    act,
    decided,
    join,
    meeting,
    new_room,
    resume,
    settle,
    take_over,
)


def test_the_table_has_every_command() -> None:
    """A new operation is added to the table above."""
    everywhere = {one for one in operations(Command) if one.__module__.startswith("roomd.")}
    assert everywhere == set(VARIANTS)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", VARIANTS, ids=[command.__name__ for command in VARIANTS])
def test_every_command_in_every_state(state: str, command: type[Command[object]]) -> None:
    """A refused command leaves the room unchanged; so does deciding; and the changes replayed are the room."""
    a_room, again = STATES[state](), STATES[state]()
    for variant in VARIANTS[command]():
        before = a_room.checkpoint()
        try:
            decision = a_room.decide(variant, decided(variant, CLOCK))
        except Refused:
            assert a_room.checkpoint() == before, variant
            continue
        assert a_room.checkpoint() == before, variant
        assert a_room.decide(variant, decided(variant, CLOCK)) == decision, "a decision depends on nothing else"
        for change in settle(a_room, decision.changes, CLOCK):
            again.apply(change)
        after = a_room.checkpoint()
        assert (after != before) == bool(decision.changes), variant
        assert (again.checkpoint(), list(again.queue)) == (after, list(a_room.queue)), variant
        assert len(a_room.seats) <= max(a_room.settings.max_participants, len(before.seats)), variant
        assert after.last_id >= before.last_id, variant
        if decision.changes:
            a_room, again = STATES[state](), STATES[state]()


ONCE = {
    commands.Admit,
    commands.BanPerson,
    commands.DeleteRoom,
    commands.Deny,
    commands.EndRoom,
    commands.Leave,
    commands.RemoveParticipant,
    commands.Unban,
}
"""The commands whose second submission would have another effect, or get another answer."""


def test_what_is_not_submitted_again() -> None:
    """When it is not known whether a command had its effect, only one that may be repeated is; a message by its id."""
    assert {command for command, variants in VARIANTS.items() if not any(one.repeated() for one in variants())} == ONCE
    assert commands.SendMessage("p2", 3, "hello", None).repeated() is None
    message = commands.SendMessage("p2", 3, "hello", None, client_id="c1")
    assert message.repeated() == message


# Ids.


def next_id(above: str) -> str:
    """Count on from an id."""
    return f"i{int(above[1:]) + 1:04}"


def draw(a_room: Room, command: Command[object]) -> str:
    """Make a command true, and return the last id of the room then."""
    settle(a_room, a_room.decide(command, Moment(DAY, 1, next_id)).changes)
    return a_room.last_id


def test_ids_sort_after_every_id_before() -> None:
    """Participants, those who wait, and messages share one order, which goes on from what storage has."""
    view = new_room(waiting_room=True).view()
    a_room = Room(StoredRoom(view, last_id="i0500"), RULES)
    assert a_room.last_id == "i0500"
    assert draw(a_room, join(HOST, "")) == "i0501"
    assert draw(a_room, join(BOB, "")) == "i0502", "a place in the queue"
    assert draw(a_room, commands.SendMessage("i0501", 1, "hello", None)) == "i0503"
    assert draw(a_room, commands.SendMessage("i0501", 1, "hello", "i0501")) == "i0504", "a private message"
    assert (list(a_room.seats), list(a_room.queue)) == (["i0501"], ["i0502"])


def test_who_left_keeps_the_id() -> None:
    """The room's last id never falls, so no id is drawn twice."""
    a_room = Room(StoredRoom(new_room().view(), last_id="i0009"), RULES)
    assert draw(a_room, join(HOST, "")) == "i0010"
    assert draw(a_room, commands.Leave("i0010", 1)) == "i0010"
    assert draw(a_room, join(HOST, "")) == "i0011"


def test_a_takeover_and_a_resume_draw_no_id() -> None:
    """The participant stays the same."""
    a_room = meeting()
    last = a_room.last_id
    act(a_room, take_over("bob", 8))  # `decided` would fail: the token names no id that was drawn
    act(a_room, resume("p2", "next", 9, then="x"))
    assert (set(a_room.seats), a_room.last_id) == ({"p1", "p2", "p3"}, last)


def test_an_id_that_was_not_kept_is_free_again() -> None:
    """A checkpoint has the last id, too."""
    a_room = Room(StoredRoom(new_room().view(), last_id="i0009"), RULES)
    before = a_room.checkpoint()
    draw(a_room, join(HOST, ""))
    a_room.restore(before)
    assert a_room.last_id == "i0009"
