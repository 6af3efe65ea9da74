"""Who sees the user ids of participants and hosts: the setting `rooms.show_user_ids`."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from roomd.engine.broadcast import Broadcast, SeatAsker
from roomd.rooms import commands
from roomd.rooms.changes import Change
from roomd.rooms.model import Caller, StoredRoom
from roomd.rooms.room import Room
from roomd.rooms.settings import Settings
from tests.support.members import FakeAsker, FakeClient, FakeMember, encode_line
from tests.support.rooms import BOB, GUEST, HOST, RULES, decided, do, join, new_room
from tests.support.viewers import Asked

HIDDEN = msgspec.structs.replace(RULES, show_user_ids="users")
CLOCK = 1.0


def ids(frame: dict[str, Any]) -> list[str | None]:
    """Return every user id in a frame, of participants and of the room's host."""
    people = [one for key in ("participants", "joined", "updated", "left") for one in frame.get(key, [])]
    return [one["userId"] for one in people] + ([frame["room"]["hostId"]] if "room" in frame else [])


@pytest.mark.parametrize("rules", [RULES, HIDDEN], ids=["all", "users"])
def test_who_sees_user_ids(rules: Any) -> None:
    """Section 3: a guest sees them where all do; else null for everybody, and no host; users always see them."""
    a_room, hides = Room(StoredRoom(new_room(max_participants=9).view()), rules), rules is HIDDEN
    for who, key in ((HOST, "p1"), (BOB, "p2"), (GUEST, "p3")):
        do(a_room, join(who, key))
    seated = Caller("p3", 4)
    for caller, hidden in ((HOST, False), (BOB, False), (Caller("p2", 3), False), (seated, hides)):
        listed = do(a_room, commands.ListParticipants(caller, history=False)).participants
        assert [one.user_id for one in listed] == ([None] * 3 if hidden else ["alice", "bob", None])
        shown = do(a_room, commands.GetRoom(caller)).room
        assert shown is not None
        assert shown.host_id == ("" if hidden else "alice")
    assert (do(a_room, commands.GetRoom(Caller())).room or a_room.view()).host_id == ("" if hides else "alice")


@pytest.mark.parametrize("rules", [RULES, HIDDEN], ids=["all", "users"])
def test_what_guests_are_told_of_users(rules: Any) -> None:
    """Section 3: `room-state` and every event, too, to guests alone; the rest of them is the same."""
    a_room, hides = Room(StoredRoom(new_room(max_participants=9).view()), rules), rules is HIDDEN
    broadcast = Broadcast(encode_line)

    def batch(command: Any, asker: Any) -> None:
        before, asked = a_room.checkpoint(), Asked(command, CLOCK, asker)
        changes: list[Change] = []

        def decide(one: Any) -> Any:
            decision = a_room.decide(one, decided(one, CLOCK))
            for change in decision.changes:
                a_room.apply(change)
            changes.extend(decision.changes)
            return decision

        asked.decide(decide, CLOCK)
        broadcast.tell(a_room, [asked], changes, before, CLOCK)

    def enter(who: Caller, key: str) -> FakeClient:
        client, command = FakeClient(), join(who, key)
        batch(command, SeatAsker(broadcast, command, FakeMember(client, command.claim)))
        return client

    alice, jane = enter(HOST, "p1"), enter(GUEST, "p3")
    _, state = jane.frames()
    assert ids(state) == ([None, None, ""] if hides else ["alice", None, "alice"])
    alice.take()
    enter(BOB, "p2")
    batch(commands.UpdateRoom(HOST, Settings(name="W")), FakeAsker())
    batch(commands.UpdateState("p2", 3, {"muted": True}), FakeAsker())
    batch(commands.SendMessage("p2", 3, "hello", "p3"), FakeAsker())
    batch(commands.Leave("p2", 3), FakeAsker())
    of_host, of_guest = alice.frames(), jane.frames()
    told: Sequence[Any] = ["bob", "alice", "bob", "bob"]
    assert [one for frame in of_host for one in ids(frame)] == told
    assert [one for frame in of_guest for one in ids(frame)] == ([None, "", None, None] if hides else told)
    assert [frame["type"] for frame in of_guest if frame["type"] != "message"] == [frame["type"] for frame in of_host]
    batch(commands.EndRoom(HOST), FakeAsker())
    assert jane.frames() == alice.frames()
