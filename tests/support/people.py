"""A room and the people and messages in it, for tests of clients."""

from typing import Any

import msgspec

from roomd.client import Entered, View
from roomd.client.catch_up import CATCH_UP
from roomd.protocol import events, replies
from roomd.protocol.objects import Message, Participant, Room, Waiting

ROOM = Room(
    id="r", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=5,
    allow_guest_access=True, waiting_room=False, history_visible="all", participant_count=1,
    created_at="2026-03-03T10:35:00.000Z", ended_at=None,
)  # fmt: skip
LOCKED = msgspec.structs.replace(ROOM, is_locked=True)


def person(key: str, **changes: Any) -> Participant:
    """Somebody in the room."""
    one = Participant(
        id=key, room_id="r", user_id=None, guest_name=key.title(), is_active=True, is_host=False,
        joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name=key.title(),
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


def message(key: str, to: str | None = None, sender: str = "bob") -> Message:
    """Something said."""
    return Message(
        id=key, participant_id=sender, display_name=sender.title(), text=f"text {key}",
        sent_at="2026-03-03T10:37:00.000Z", to=to,
    )  # fmt: skip


JANE, BOB, CARL = person("jane"), person("bob"), person("carl")
BOB_AWAY = person("bob", is_active=False)
BOB_LEFT = person("bob", is_active=False, left_at="2026-03-03T10:40:00.000Z")
WAITER = Waiting(
    participant_id="w", user_id=None, guest_name="W", display_name="W", is_active=True, position=1,
    reason="waiting_room", waiting_since="2026-03-03T10:36:00.000Z",
)  # fmt: skip
SEAT = replies.ParticipantReply(id=1, participant=JANE, resume_token="one")


def state(seq: int, *people: Participant, room: Room = ROOM, said: tuple[Message, ...] = ()) -> events.RoomState:
    """A whole room, as the server tells it."""
    room = msgspec.structs.replace(room, participant_count=len(people))
    return events.RoomState(epoch="e", seq=seq, room=room, participants=list(people), messages=list(said))


def changed(
    seq: int,
    joined: tuple[Participant, ...] = (),
    updated: tuple[Participant, ...] = (),
    left: tuple[Participant, ...] = (),
) -> events.ParticipantsChanged:
    """A turn's net effect."""
    return events.ParticipantsChanged(seq=seq, joined=list(joined), updated=list(updated), left=list(left))


def page(*said: Message, after: str | None = None) -> replies.MessagesReply:
    """A page of what was said; `after` is where the next one begins."""
    return replies.MessagesReply(id=CATCH_UP, messages=list(said), next_cursor=after)


def people(view: View) -> list[Participant]:
    """Everyone in the room, in their order."""
    return list(view.participants.values())


def present(*people: Participant, seq: int = 10, said: tuple[Message, ...] = ()) -> View:
    """Jane's view of a room she has just entered."""
    view = View()
    assert view.apply(SEAT) == []
    assert view.apply(state(seq, JANE, *people, said=said)) == [Entered()]
    return view
