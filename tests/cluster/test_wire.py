"""What crosses the wire between nodes comes out as it went in."""

import math
from typing import Any

import msgspec
import pytest

from roomd.cluster import registry, wire
from roomd.engine.ports import SeatLost
from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused, rate_limited
from roomd.rooms import commands
from roomd.rooms.room import Command
from tests.support.every_command import CLOCK, STATES, VARIANTS, operations
from tests.support.rooms import decided, someone


def test_the_registry_has_every_command() -> None:
    """It follows from the declarations: a new operation needs no entry of its own."""
    everywhere = {one for one in operations(Command) if one.__module__.startswith("roomd.")}
    assert set(registry.command_types()) == everywhere


@pytest.mark.parametrize("command", VARIANTS, ids=[command.__name__ for command in VARIANTS])
def test_every_command_and_every_answer_crosses_the_wire(command: type[Command[Any]]) -> None:
    """With arguments and answers of every kind, and in every state of a room."""
    for variant in VARIANTS[command]():
        crossed = registry.decode_command(registry.encode_command(variant))
        assert (crossed, type(crossed)) == (variant, type(variant))
        for make in STATES.values():
            room = make()
            try:
                answer = room.decide(variant, decided(variant, CLOCK)).answer
            except Refused:
                continue
            again = registry.decode_answer(variant, registry.encode_answer(answer))
            assert (again, type(again)) == (answer, type(answer))


def test_numbers_keep_their_kind() -> None:
    """1, 1.0 and true are different to clients; the hold of a drop may be infinite."""
    state = {"a": 1, "b": 1.0, "c": True, "d": None, "e": "x"}
    update = commands.UpdateState("p", 7 << 32, state)
    assert repr(registry.decode_command(registry.encode_command(update))) == repr(update)
    drop = registry.decode_command(registry.encode_command(commands.Drop("p", 1, 0.5)))
    assert isinstance(drop, commands.Drop)
    assert drop.hold == math.inf


def test_every_refusal_crosses_the_wire() -> None:
    """With its text and its delay; that of a newer node is an internal error."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, ErrorKind)]
    assert len({kind.code for kind in kinds}) == len(kinds)
    for refused in (*map(Refused, kinds), rate_limited(1.5, "slowly")):
        again = registry.refusal(refused).refused()
        assert (again.kind, again.message, again.retry_after) == (refused.kind, refused.message, refused.retry_after)
    assert registry.Refusal("of the future", "text").refused().kind is errors.INTERNAL_ERROR


def test_every_item_crosses_the_wire() -> None:
    """A part that this node does not know is left out, and the others are served."""
    person, refusal = someone("p1"), registry.refusal(Refused(errors.ROOM_FULL))
    told: list[wire.Told] = [
        wire.Answered(1, registry.encode_answer(None)),
        wire.Declined(2, refusal),
        wire.Seated(3, person, 0),
        wire.Queued(4, person, 2, "room_full"),
        wire.Unseated(5, refusal),
        wire.Lost(6, SeatLost("removed", "spam")),
        wire.Refreshed(7, 0),
        wire.Events([7, 8], 1, True),
    ]
    items: list[wire.AnyItem] = [
        wire.Ask(1, "abc", registry.encode_command(commands.Expire())),
        wire.Relay(2, "abc", "p1", b"frame"),
        wire.Unsubscribe("abc", "p1", 9),
        wire.Elsewhere(3, True),
        wire.News("abc", 5, 1, 3, told, [b"state", b"frames"]),
        wire.Owned("abc", 5),
        wire.Released("abc", 5),
        wire.Beacon({"abc": (5, 1)}),
    ]
    future = msgspec.Raw(msgspec.msgpack.encode([99, "of the future"]))
    for unknown in ([], [future]):
        parts: list[Any] = [*items, *unknown]
        received = wire.decode(wire.encode(wire.Message("a", 3, 4, 17, parts)))
        assert received == wire.Message("a", 3, 4, 17, items)
