"""A meeting in words: who is there, what happens, and why it is over, as lines for people."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from roomd.cli.output import plain, seat_state
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
    "You are in. What you type is said; /who shows who is here, /help what else can be typed, /leave (or Ctrl-D) goes."
)
HISTORY = 10
"""Messages from before that a newcomer is shown."""

_WAITS_FOR = {"waiting_room": "for the host to let you in", "room_full": "for a seat"}


class Seen(Protocol):
    """What is known of a meeting; a `Meeting` or its view."""

    @property
    def me(self) -> Participant | None:
        """Oneself."""

    @property
    def room(self) -> Room | None:
        """The room."""

    @property
    def participants(self) -> Mapping[str, Participant]:
        """Everyone, by id and in the order they joined."""

    @property
    def messages(self) -> list[Message]:
        """What was said last."""

    @property
    def lobby(self) -> tuple[Waiting, ...]:
        """Who waits."""


def tell(event: AnyMeetingEvent, seen: Seen) -> list[str]:
    """Put an event into lines; none for what people need not hear, like what they did themselves."""
    word = _WORDS.get(type(event))
    return list(word(event, seen)) if word is not None else []


def who(seen: Seen) -> list[str]:
    """List everyone in the room, in the order they came, and for a host who waits."""
    here = [f"  {call(one, seen)}" for one in seen.participants.values()]
    return here + [f"  {one.position}. in line: {_call_waiting(one)}" for one in seen.lobby]


def call(one: Participant, seen: Seen) -> str:
    """Name somebody, with what there is to know."""
    marks = ["you"] if _is_me(one.id, seen) else []
    marks += ["host"] if one.is_host else []
    marks += ["guest"] if one.user_id is None else []
    marks += [] if one.is_active else [seat_state(one)]
    return plain(one.display_name) + (f" ({', '.join(marks)})" if marks else "")


def end(over: Over) -> str:
    """Say why a meeting is over."""
    if over.code == "removed":
        return "The host removed you from the room" + (f": {plain(over.reason)}" if over.reason else ".")
    return _ENDS.get(over.code) or f"{plain(over.code)}: {plain(over.message)}"


_ENDS = {
    "left": "You left.",
    "room_ended": "The room has ended.",
    "denied": "The host declined to let you in.",
    "taken_over": "Your seat was taken over by another connection of yours.",
    "bad_token": "The daemon does not accept the token any more.",
    "bad_frame": "The daemon did not understand this client.",
}


def _placed(event: Placed, _: Seen) -> Iterable[str]:
    return [f"You wait {_WAITS_FOR.get(event.reason, 'in line')}, at position {event.position}."]


def _entered(_: Entered, seen: Seen) -> Iterator[str]:
    yield HELLO
    if room := seen.room:
        locked = ", locked" if room.is_locked else ""
        seats = f"{room.participant_count} of {room.max_participants} seats taken"
        yield f"{plain(room.name)} ({room.code}), {seats}{locked}:"
    yield from who(seen)
    yield from (_spoken(message, seen) for message in seen.messages[-HISTORY:])


def _joined(event: Joined, seen: Seen) -> Iterable[str]:
    return [f"+ {call(event.participant, seen)} joined"]


def _updated(event: Updated, seen: Seen) -> Iterator[str]:
    one, before = event.participant, event.before
    if _is_me(one.id, seen):
        return
    name = plain(one.display_name)
    if one.is_active != before.is_active:
        yield f"~ {name} is back" if one.is_active else f"~ {name} dropped, the seat is held"
    if one.state != before.state:
        changes = {key: one.state.get(key) for key in [*one.state, *before.state] if _differs(key, one, before)}
        yield f"~ {name} is now {plain(msgspec.json.encode(changes).decode())}"


def _differs(key: str, one: Participant, before: Participant) -> bool:
    return one.state.get(key) != before.state.get(key)


def _left(event: Left, seen: Seen) -> Iterable[str]:
    return [] if _is_me(event.participant.id, seen) else [f"- {plain(event.participant.display_name)} left"]


def _room_changed(event: RoomChanged, _: Seen) -> Iterator[str]:
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


def _said(event: Said, seen: Seen) -> Iterable[str]:
    return [_spoken(event.message, seen)]


def _skipped(_: MessagesSkipped, __: Seen) -> Iterable[str]:
    return ["* More was said meanwhile than is shown here; `roomd room messages` has all of it"]


def _spoken(message: Message, seen: Seen) -> str:
    name = "you" if _is_me(message.participant_id, seen) else plain(message.display_name)
    if message.to is not None:
        name += f" to {_addressee(message.to, seen)} alone"
    return f"{name}: {plain(message.text)}"


def _addressee(participant_id: str, seen: Seen) -> str:
    if _is_me(participant_id, seen):
        return "you"
    one = seen.participants.get(participant_id)
    return plain(one.display_name) if one is not None else "somebody who left"


def _mute_requested(_: MuteRequested, __: Seen) -> Iterable[str]:
    return ["* The host asks you to mute yourself"]


def _lobby_changed(event: LobbyChanged, _: Seen) -> Iterable[str]:
    return [f"* In line: {_line(event.lobby)}" if event.lobby else "* Nobody is in line any more"]


def _line(lobby: Sequence[Waiting]) -> str:
    return ", ".join(_call_waiting(one) for one in lobby)


def _call_waiting(one: Waiting) -> str:
    marks = ["guest"] if one.user_id is None else []
    marks += [] if one.is_active else ["away"]
    marks += [] if one.reason == "waiting_room" else ["waits for a seat"]
    return plain(one.display_name) + (f" ({', '.join(marks)})" if marks else "")


def _restarts(_: ServerRestarts, __: Seen) -> Iterable[str]:
    return ["* The daemon restarts"]


def _returned(_: Returned, __: Seen) -> Iterable[str]:
    return ["You are back."]


def _refreshed(_: Refreshed, __: Seen) -> Iterable[str]:
    return ["* More happened than can be told; /who shows who is here"]


def _is_me(participant_id: str, seen: Seen) -> bool:
    return seen.me is not None and seen.me.id == participant_id


_WORDS: Mapping[type[Any], Callable[[Any, Seen], Iterable[str]]] = {
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
