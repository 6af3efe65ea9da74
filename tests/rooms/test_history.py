"""What newcomers read, messages that are sent again, and times in presence: docs/protocol.md, sections 7 and 8."""

from typing import Any

import pytest

from roomd.protocol import errors
from roomd.protocol.timestamps import next_stamp
from roomd.rooms import commands
from roomd.rooms.history import shown_messages
from roomd.rooms.model import Caller, Moment
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Settings
from tests.support.rooms import (
    ADMIN,
    BOB,
    CAROL,
    DAY,
    GUEST,
    HOST,
    act,
    at,
    decided,
    do,
    join,
    meeting,
    new_room,
    refused,
    resume,
    take_over,
)


def numbered(a_room: Room, command: Command[Any]) -> None:
    """Make a command true; ids count on."""
    ids = Moment(DAY, 1.0, lambda above: f"i{int(above[1:] or 0) + 1:04}")
    decision = a_room.decide(command, ids)
    for change in decision.changes:
        a_room.apply(change)


SITTERS = {"alice": (HOST, 1), "bob": (BOB, 3), "guest": (GUEST, 4), "carol": (CAROL, 5), "root": (ADMIN, 2)}


def room_with_history(history_visible: str) -> tuple[Room, dict[str, str]]:
    """Alice and Bob talk; a guest waits, and Carol comes; then the guest is admitted, and all five talk.

    Returns the room and the participant ids by name.
    """
    a_room = new_room(waiting_room=True, max_participants=9, history_visible=history_visible)
    keys: dict[str, str] = {}

    def came(name: str) -> None:
        who, _ = SITTERS[name]
        numbered(a_room, join(who, "x", name if who.user_id is None else None))
        keys[name] = next(key for key in (*a_room.seats, *a_room.queue) if key not in keys.values())

    def said(name: str, text: str) -> None:
        numbered(a_room, commands.SendMessage(keys[name], SITTERS[name][1], text, None))

    came("alice")
    came("guest")
    said("alice", "while the guest waits")
    numbered(a_room, commands.Admit(HOST, keys["guest"]))
    came("carol")
    numbered(a_room, commands.Admit(HOST, keys["carol"]))
    said("alice", "to both")
    said("guest", "from the guest")
    came("root")
    came("bob")
    numbered(a_room, commands.Admit(HOST, keys["bob"]))
    said("bob", "from Bob")
    return a_room, keys


EVERYTHING = ["while the guest waits", "to both", "from the guest", "from Bob"]
# historyVisible, who, what they read
READ: list[tuple[str, str, list[str]]] = [
    *[("all", name, EVERYTHING) for name in SITTERS],
    *[(setting, name, EVERYTHING) for setting in ("since-joined", "none") for name in ("alice", "root")],
    ("since-joined", "guest", EVERYTHING[1:]),
    ("since-joined", "carol", EVERYTHING[1:]),
    ("since-joined", "bob", EVERYTHING[3:]),
    ("none", "guest", ["from the guest"]),
    ("none", "carol", []),
    ("none", "bob", ["from Bob"]),
]


@pytest.mark.parametrize(("setting", "name", "texts"), READ)
def test_what_is_shown(setting: str, name: str, texts: list[str]) -> None:
    """Item 12: who waited gets what was sent since the admission; hosts and admins get everything."""
    a_room, keys = room_with_history(setting)
    seat, to_host = a_room.seats[keys[name]], name in ("alice", "root")
    assert [message.text for message in shown_messages(a_room, seat, to_host=to_host)] == texts
    who, _ = SITTERS[name]
    reader = do(a_room, commands.ListMessages(Caller(keys[name], SITTERS[name][1], who.user_id, "", who.is_admin)))
    read = [
        message.text
        for message in a_room.messages
        if message.id > reader.after and (reader.sees_public or message.participant_id == reader.participant_id)
    ]
    assert read == texts
    assert reader.participant_id == keys[name]


@pytest.mark.parametrize("setting", ["since-joined", "none"])
def test_a_seat_that_is_taken_back_is_the_same(setting: str) -> None:
    """Whoever resumes or takes over reads from the first admission on; who joins again is another participant."""
    a_room, keys = room_with_history(setting)
    before = a_room.seats[keys["bob"]].since
    do(a_room, commands.Drop(keys["bob"], 3, 0), 2)
    assert do(a_room, resume(keys["bob"], "t-x", 9, BOB)).since == before
    assert do(a_room, take_over("bob", 10)).since == before
    do(a_room, commands.Leave(keys["bob"], 10))
    numbered(a_room, join(BOB, "x"))
    numbered(a_room, commands.Admit(HOST, None))
    again = list(a_room.seats.values())[-1]
    assert (again.participant.user_id, again.since > before) == ("bob", True)
    assert shown_messages(a_room, again, to_host=False) == []


def test_the_setting_holds_now() -> None:
    """A host who changes it changes what may be read from then on."""
    a_room, keys = room_with_history("none")
    carol = Caller(keys["carol"], 5, "carol")
    assert not do(a_room, commands.ListMessages(carol)).sees_public
    assert do(a_room, commands.UpdateRoom(HOST, Settings(history_visible="all"))).history_visible == "all"
    assert do(a_room, commands.ListMessages(carol)).after == ""
    assert refused(a_room, commands.UpdateRoom(HOST, Settings(history_visible="some"))) == errors.INVALID_SETTINGS


def test_a_message_that_was_sent() -> None:
    """Item 6: no change and no refusal, whatever else the second one says; without the seat it is refused."""
    a_room = meeting()
    do(a_room, commands.SendMessage("p2", 3, "Hello", "p1", client_id="c1"))
    for text, to in (("Hello", "p1"), ("other", None), ("other", "nobody")):
        assert act(a_room, commands.SendMessage("p2", 3, text, to, client_id="c1")) == []
    assert refused(a_room, commands.SendMessage("p2", 9, "Hello", "p1", client_id="c1")) == errors.NOT_IN_ROOM
    assert act(a_room, commands.SendMessage("p1", 1, "Hello", None, client_id="c1")) != []
    assert act(a_room, commands.SendMessage("p2", 3, "Hello", None)) != []


def hand(a_room: Room, key: str, claim: int, value: Any, clock: float) -> Any:
    """Set a hand; return what is shown."""
    do(a_room, commands.UpdateState(key, claim, {"handRaised": value}), clock)
    return a_room.seats[key].participant.state["handRaised"]


def test_now_is_the_server_s_time() -> None:
    """Section 8: `@now` is kept as the time; anything else like it is text."""
    a_room = meeting()
    assert hand(a_room, "p2", 3, "@now", 37 * 60) == "2026-03-03T10:37:00.000Z"
    assert hand(a_room, "p2", 3, "@now ", 38 * 60) == "@now "
    do(a_room, commands.UpdateState("p2", 3, {"@now": "@now", "x" * 950: None}), 60)
    assert a_room.seats["p2"].participant.state["@now"] == at(60).stamp
    long = commands.UpdateState("p2", 3, {str(n): "@now" for n in range(17)})
    assert refused(a_room, long) == errors.BAD_FRAME


def test_hands_stay_in_their_order() -> None:
    """Each is later than those that are up: in one millisecond, and when the clock was set back; keys are apart."""
    a_room = new_room()
    for who, key in ((HOST, "p1"), (BOB, "p2"), (GUEST, "p3")):
        do(a_room, join(who, key))
    first = hand(a_room, "p1", 1, "@now", 50)
    second = hand(a_room, "p2", 3, "@now", 50)
    third = hand(a_room, "p3", 4, "@now", 20)
    assert [first, second, third] == [at(50).stamp, at(50.001).stamp, at(50.002).stamp]
    do(a_room, commands.UpdateState("p3", 4, {"away": "@now"}), 20)
    assert a_room.seats["p3"].participant.state["away"] == at(20).stamp


@pytest.mark.parametrize(
    "value", ["9999-12-31T23:59:59.999Z", "2026-03-05T10:00:00.000Z", "2026-13-01T00:00:00.000Z", 7, "z"]
)
def test_times_that_others_make_up(value: Any) -> None:
    """What is no time, or is more than a day ahead, moves nobody's hand."""
    a_room = meeting()
    hand(a_room, "p1", 1, value, 1)
    assert hand(a_room, "p2", 3, "@now", 50) == at(50).stamp


@pytest.mark.parametrize(("text", "then"), [
    ("2026-03-03T10:37:00.000Z", "2026-03-03T10:37:00.001Z"),
    ("2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00.000Z"),
    ("2024-02-28T23:59:59.999Z", "2024-02-29T00:00:00.000Z"),
    ("9999-12-31T23:59:59.999Z", None),
    ("2026-02-30T00:00:00.000Z", None),
    ("2026-03-03T10:37:00Z", None),
    ("2026-03-03T10:37:00.000Z\n", None),
    ("", None),
])  # fmt: skip
def test_the_next_stamp(text: str, then: str | None) -> None:
    """One millisecond later, in the same form; there is none for another text."""
    assert next_stamp(text) == then


def test_the_deciding_moment_is_the_same() -> None:
    """A decision reads the room alone: deciding twice gives the same time."""
    a_room = meeting()
    command = commands.UpdateState("p2", 3, {"handRaised": "@now"})
    assert a_room.decide(command, decided(command, 5)) == a_room.decide(command, decided(command, 5))
