"""The text of a meeting for people: its events, its participants, and why it is over."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from roomd.cli.output import ROLES, plain, seat_state
from roomd.client import (
    AnyMeetingEvent,
    Entered,
    Joined,
    Left,
    LobbyChanged,
    MessagesSkipped,
    MuteRequested,
    Over,
    Placed,
    Refreshed,
    Returned,
    RoomChanged,
    Said,
    ServerRestarts,
    Updated,
)
from roomd.protocol.objects import Message, Participant, Room, Waiting

HELLO = (
    "You are in the room. Type text to send a message. /who shows who is here, /help lists all commands, /leave leaves."
)
HISTORY = 10
"""The number of earlier messages that are shown after a join."""

_WAITS_FOR = {"waiting_room": "for the host to let you in", "room_full": "for a seat"}


class MeetingState(Protocol):
    """The state of a meeting. `client.Meeting` and `client.View` have it."""

    @property
    def me(self) -> Participant | None:
        """The participant of this client; None before the join."""

    @property
    def room(self) -> Room | None:
        """The room; None before the join."""

    @property
    def participants(self) -> Mapping[str, Participant]:
        """Everyone who has a seat, by id, in the order in which they joined."""

    @property
    def messages(self) -> list[Message]:
        """The last messages, oldest first."""

    @property
    def lobby(self) -> tuple[Waiting, ...]:
        """Those who wait in the queue; empty unless this client is a host."""


def describe_event(event: AnyMeetingEvent, state: MeetingState) -> list[str]:
    """Describe an event in lines. There are none for events that people need not see, like their own."""
    describe = _DESCRIPTIONS.get(type(event))
    return list(describe(event, state)) if describe is not None else []


def list_people(state: MeetingState) -> list[str]:
    """List everyone in the room, in the order in which they came; for a host, also those who wait."""
    here = [f"  {describe_person(one, state)}" for one in state.participants.values()]
    return here + [f"  {one.position}. in the queue: {_describe_waiting(one)}" for one in state.lobby]


def describe_person(one: Participant, state: MeetingState) -> str:
    """Return a participant's name, with marks like host, guest and away."""
    marks = ["you"] if _is_me(one.id, state) else []
    marks += [ROLES[one.role]] if one.role in ROLES else []
    marks += ["guest"] if one.guest_name is not None else []
    marks += [] if one.is_active else [seat_state(one)]
    return plain(one.display_name) + (f" ({', '.join(marks)})" if marks else "")


def describe_end(over: Over) -> str:
    """Describe why a meeting is over."""
    if over.code == "removed":
        return "The host removed you from the room" + (f": {plain(over.reason)}" if over.reason else ".")
    if over.code == "room_ended" and over.reason in _ROOM_ENDS:
        return _ROOM_ENDS[over.reason]
    return _ENDS.get(over.code) or f"{plain(over.code)}: {plain(over.message)}"


_ENDS = {
    "left": "You left.",
    "room_ended": "The room has ended.",
    "denied": "The host declined to let you in.",
    "taken_over": "Your seat is in use on another device. Join again to use it here.",
    "bad_token": "The daemon does not accept the token any more.",
    "bad_frame": "The daemon did not understand this client.",
}
_ROOM_ENDS = {
    "expired": "The room has ended: its time is over.",
    "empty": "The room has ended: nobody had been there for a while.",
    "deleted": "The room was deleted.",
}


def _placed(event: Placed, _: MeetingState) -> Iterable[str]:
    return [f"You wait {_WAITS_FOR.get(event.reason, 'in the queue')}, at position {event.position}."]


def _entered(_: Entered, state: MeetingState) -> Iterator[str]:
    yield HELLO
    if room := state.room:
        locked = ", locked" if room.is_locked else ""
        seats = f"{room.participant_count} of {room.max_participants} seats taken"
        yield f"{plain(room.name)} ({room.code}), {seats}{locked}:"
    yield from list_people(state)
    yield from (_message_line(message, state) for message in state.messages[-HISTORY:])


def _joined(event: Joined, state: MeetingState) -> Iterable[str]:
    return [f"+ {describe_person(event.participant, state)} joined"]


def _updated(event: Updated, state: MeetingState) -> Iterator[str]:
    one, before = event.participant, event.before
    if _is_me(one.id, state):
        return
    name = plain(one.display_name)
    if one.is_active != before.is_active:
        yield f"~ {name} is back" if one.is_active else f"~ {name} dropped, the seat is held"
    if one.state != before.state:
        changes = {key: one.state.get(key) for key in [*one.state, *before.state] if _differs(key, one, before)}
        yield f"~ {name} is now {plain(msgspec.json.encode(changes).decode())}"


def _differs(key: str, one: Participant, before: Participant) -> bool:
    return one.state.get(key) != before.state.get(key)


def _left(event: Left, state: MeetingState) -> Iterable[str]:
    return [] if _is_me(event.participant.id, state) else [f"- {plain(event.participant.display_name)} left"]


def _room_changed(event: RoomChanged, _: MeetingState) -> Iterator[str]:
    before, after = event.before, event.room
    if before.is_locked != after.is_locked:
        yield f"* The room is {'locked' if after.is_locked else 'open again'}"
    if before.name != after.name:
        yield f"* The room is now called {plain(after.name)}"
    if before.max_participants != after.max_participants:
        yield f"* The room now has {after.max_participants} seats"
    if before.allow_guest_access != after.allow_guest_access:
        yield f"* Guests are {'allowed' if after.allow_guest_access else 'no longer let in'}"
    if before.waiting_room != after.waiting_room:
        yield f"* Newcomers {'wait for the host' if after.waiting_room else 'come in at once'}"


def _said(event: Said, state: MeetingState) -> Iterable[str]:
    return [_message_line(event.message, state)]


def _skipped(_: MessagesSkipped, __: MeetingState) -> Iterable[str]:
    return ["* Some messages are not shown here; `roomd room messages` lists all of them"]


def _message_line(message: Message, state: MeetingState) -> str:
    name = "you" if _is_me(message.participant_id, state) else plain(message.display_name)
    if message.participant_id is None:
        name += " (service)"
    if message.to is not None:
        name += f" to {_addressee(message.to, state)} alone"
    return f"{name}: {plain(message.text)}"


def _addressee(participant_id: str, state: MeetingState) -> str:
    if _is_me(participant_id, state):
        return "you"
    one = state.participants.get(participant_id)
    return plain(one.display_name) if one is not None else "somebody who left"


def _mute_requested(_: MuteRequested, __: MeetingState) -> Iterable[str]:
    return ["* The host asks you to mute yourself"]


def _lobby_changed(event: LobbyChanged, _: MeetingState) -> Iterable[str]:
    return [f"* In the queue: {_line(event.lobby)}" if event.lobby else "* Nobody waits any more"]


def _line(lobby: Sequence[Waiting]) -> str:
    return ", ".join(_describe_waiting(one) for one in lobby)


def _describe_waiting(one: Waiting) -> str:
    marks = ["guest"] if one.guest_name is not None else []
    marks += [] if one.is_active else ["away"]
    marks += [] if one.reason == "waiting_room" else ["waits for a seat"]
    return plain(one.display_name) + (f" ({', '.join(marks)})" if marks else "")


def _restarts(_: ServerRestarts, __: MeetingState) -> Iterable[str]:
    return ["* The daemon restarts"]


def _returned(_: Returned, __: MeetingState) -> Iterable[str]:
    return ["You are back."]


def _refreshed(_: Refreshed, __: MeetingState) -> Iterable[str]:
    return ["* More has changed than can be shown; /who shows who is here"]


def _is_me(participant_id: str | None, state: MeetingState) -> bool:
    return state.me is not None and state.me.id == participant_id


_DESCRIPTIONS: Mapping[type[Any], Callable[[Any, MeetingState], Iterable[str]]] = {
    Placed: _placed,
    Entered: _entered,
    Joined: _joined,
    Updated: _updated,
    Left: _left,
    RoomChanged: _room_changed,
    Said: _said,
    MessagesSkipped: _skipped,
    MuteRequested: _mute_requested,
    LobbyChanged: _lobby_changed,
    ServerRestarts: _restarts,
    Returned: _returned,
    Refreshed: _refreshed,
}
