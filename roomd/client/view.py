"""What one client knows of its room, kept from the frames it gets, and what they changed.

No I/O, no clock, no tasks: `View.apply` takes one frame of the server after the other, and answers with the events
they make. The view equals the server's at the `seq` it has reached:

- `room-state` replaces everything. When a room was known before (after a drop, or a refresh), the differences are
  told as events, as if they had come one by one.
- Every event with a `seq` must be the next. One that is not means that something was missed: the view is *stale*,
  takes no more of them, and the client asks for a new `room-state` by joining its room again.
- Messages have no `seq`. The view's are public and private ones, in the order they were said, without holes. After a
  drop some were missed: `missed` says what to ask for (see missed.py), and only once the replies to that were taken in
  they and whatever was said meanwhile are told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from roomd.client.events import (
    LEFT,
    ROOM_ENDED,
    AnyMeetingEvent,
    Entered,
    Joined,
    Left,
    LobbyChanged,
    MessagesSkipped,
    MuteRequested,
    Over,
    Placed,
    Returned,
    RoomChanged,
    Said,
    ServerRestarts,
    Signalled,
    Updated,
    refusal,
)
from roomd.client.missed import CATCH_UP, MOST_MESSAGES, Missed
from roomd.protocol import events, replies
from roomd.protocol.objects import Message, Participant, Room, Waiting
from roomd.protocol.replies import RequestId

Status = Literal["joining", "waiting", "present", "away", "over"]
"""Present: in the room. Away: the connection is lost, and the client on its way back."""


class View:
    """One room as one client sees it. Feed it every frame, and tell it of drops."""

    def __init__(self) -> None:
        self.status: Status = "joining"
        self.messages: list[Message] = []
        """The last ones, at most 500, public and private, oldest first."""
        self.missed: Missed | None = None
        """What was said while away is not read yet: ask what its `request` says, page after page, until it is None."""
        self.lobby: tuple[Waiting, ...] = ()
        """Who waits, in order; for hosts."""
        self.place: Placed | None = None
        """The own place in the queue, while waiting."""
        self.over: Over | None = None
        self.resume_token: str | None = None
        """Takes the seat, or the place in the queue, back after a drop."""
        self.is_stale = False
        """Something was missed: join the room again on this connection to get a new `room-state`."""
        self._room: Room | None = None
        self._people: dict[str, Participant] = {}
        self._me: Participant | None = None
        self._known_as: str | None = None  # the own id when the room was last entered
        self._seq: int | None = None
        self._waiting_id: RequestId | None = None  # of the join that waits: its way out carries it

    @property
    def me(self) -> Participant | None:
        """The own participant; None until there is a seat."""
        return self._people.get(self._me.id, self._me) if self._me is not None else None

    @property
    def room(self) -> Room | None:
        """The room; None until it is entered, and again while waiting anew."""
        if self._room is None:
            return None
        # `participants-changed` does not repeat the count.
        return msgspec.structs.replace(self._room, participant_count=len(self._people))

    @property
    def participants(self) -> list[Participant]:
        """Everyone who holds a seat, in the order they took it."""
        return list(self._people.values())

    def apply(self, frame: replies.Reply | events.Event) -> list[AnyMeetingEvent]:
        """Take a frame of the server in, and say what it changed. Once the meeting is over, nothing changes."""
        take = _TAKE.get(type(frame))
        return list(take(self, frame)) if take is not None and self.over is None else []

    def drop(self) -> None:
        """Hear that the connection is lost: whatever follows comes by another one."""
        if self.over is None:
            self.status = "away"
            self._seq = None
            self._waiting_id = None
            self.is_stale = False

    def forget_seat(self) -> None:
        """Hear that what the resume token stood for is gone."""
        self.resume_token = None

    def finish(self, over: Over) -> None:
        """End the meeting; the first reason counts."""
        if self.over is None:
            self.over = over
            self.status = "over"

    # What each frame comes to.

    def _seated(self, frame: replies.ParticipantReply) -> Iterable[AnyMeetingEvent]:
        """Take a seat, whose room follows in `room-state`; or hear that it was given up."""
        if frame.participant.left_at is not None:
            self.finish(LEFT)
        else:
            self._me = frame.participant
            self.resume_token = frame.resume_token
            self._waiting_id = None
        return ()

    def _placed(self, frame: replies.WaitingReply) -> Iterable[AnyMeetingEvent]:
        """Wait, or go on waiting at another place. Those who wait see nothing of the room."""
        if frame.id is not None:
            self._waiting_id = frame.id
            self.resume_token = frame.resume_token
        self.status = "waiting"
        self.place = Placed(frame.participant_id, frame.position, frame.reason)
        self._room, self._me, self._known_as = None, None, None
        self._people, self.messages, self.lobby = {}, [], ()
        self.missed = None
        return (self.place,)

    def _refused(self, frame: replies.ErrorReply) -> Iterable[AnyMeetingEvent]:
        """Hear that the join that waited is refused, or that there are no messages; other errors are for who asked."""
        if frame.id == CATCH_UP:
            return self._catch_up(None)
        if frame.id is not None and frame.id == self._waiting_id:
            self.finish(refusal(frame.code, frame.message))
        return ()

    def _entered(self, state: events.RoomState) -> Iterable[AnyMeetingEvent]:
        """Replace the view, and say what that changed."""
        me = self._me.id if self._me is not None else None
        said: list[AnyMeetingEvent] = [*self._arrival(me)]
        people = {one.id: one for one in state.participants}
        if (before := self.room) is not None:
            said += _people_between(self._people, people, {self._known_as, me})
            said += _room_between(before, state.room)
            said += self._shown(state.messages)
        else:
            self.messages = list(state.messages)
        self._known_as = me
        self._room, self._people = state.room, people
        self._seq, self.is_stale = state.seq, False
        self.status, self.place = "present", None
        return said

    def _arrival(self, me: str | None) -> Iterator[AnyMeetingEvent]:
        if self._known_as is None or self._known_as != me:
            yield Entered()
        elif self.status == "away":
            yield Returned()
        if self.status == "away" and self.lobby:  # a host is told anew who waits, if anybody does
            self.lobby = ()
            yield LobbyChanged(())

    def _shown(self, messages: Iterable[Message]) -> list[AnyMeetingEvent]:
        """Say what was said since; what was said while away has to be read first, anew if that was cut off."""
        fresh = self._unknown(messages)
        if self.status == "away":
            self.missed = Missed(self.messages[-1].id if self.messages else None, fresh)
        return self._tell(fresh) if self.missed is None else []

    def _unknown(self, messages: Iterable[Message]) -> list[Message]:
        known = {message.id for message in self.messages}
        return [message for message in messages if message.id not in known]

    def _tell(self, messages: list[Message]) -> list[AnyMeetingEvent]:
        self.messages = [*self.messages, *messages][-MOST_MESSAGES:]
        return [Said(message) for message in messages]

    def _changed(self, frame: events.ParticipantsChanged) -> Iterator[AnyMeetingEvent]:
        if not self._is_next(frame.seq):
            return
        for one in frame.joined:
            self._people[one.id] = one
            yield Joined(one)
        for one in frame.updated:
            before = self._people.get(one.id, one)
            self._people[one.id] = one
            yield Updated(one, before)
        for one in frame.left:
            self._people.pop(one.id, None)
            yield Left(one)

    def _set_up(self, frame: events.RoomUpdated) -> Iterator[AnyMeetingEvent]:
        if self._is_next(frame.seq) and (before := self.room) is not None:
            self._room = frame.room
            yield from _room_between(before, frame.room)

    def _ended(self, _: events.RoomEnded) -> Iterable[AnyMeetingEvent]:
        """End, whatever was missed before: there is nothing to refresh any more."""
        said = self._catch_up(None)
        self._people = {}
        if self._room is not None:
            self._room = msgspec.structs.replace(self._room, is_active=False)
        self.finish(ROOM_ENDED)
        return said

    def _said(self, frame: events.MessageEvent) -> Iterable[AnyMeetingEvent]:
        """Keep a message, or hold it back; one that `room-state` had already was told then."""
        if self.missed is not None:
            self.missed.hear(frame.message)
            return ()
        return self._tell(self._unknown([frame.message]))

    def _listed(self, frame: replies.MessagesReply) -> Iterable[AnyMeetingEvent]:
        return self._catch_up(frame) if frame.id == CATCH_UP else ()

    def _catch_up(self, page: replies.MessagesReply | None) -> list[AnyMeetingEvent]:
        """Take in a page of what was missed, None when there is none to be had; with the last one, tell all of it."""
        missed = self.missed
        if missed is None:
            return []
        if page is None:
            missed.give_up()
        elif not missed.read(page):
            return []
        self.missed = None
        fresh = self._unknown(missed.said())
        if not missed.has_gap:
            return self._tell(fresh)
        self.messages = []
        return [MessagesSkipped(missed.after), *self._tell(fresh)]

    def _signalled(self, frame: events.SignalEvent) -> Iterable[AnyMeetingEvent]:
        """Pass on what another participant sent; what cannot be read must not cost the connection."""
        try:
            return (Signalled(frame.sender, msgspec.json.decode(frame.data)),)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ()

    def _removed(self, frame: events.Removed) -> Iterable[AnyMeetingEvent]:
        said = self._catch_up(None)
        self.finish(Over("removed", frame.reason or ""))
        return said

    def _mute(self, _: events.MuteRequested) -> Iterable[AnyMeetingEvent]:
        return (MuteRequested(),)

    def _queued(self, frame: events.WaitingChanged) -> Iterable[AnyMeetingEvent]:
        self.lobby = tuple(frame.waiting)
        return (LobbyChanged(self.lobby),)

    def _restarts(self, _: events.ServerRestarting) -> Iterable[AnyMeetingEvent]:
        return (ServerRestarts(),)

    def _is_next(self, seq: int) -> bool:
        """Count an event in; what was missed makes the view stale, what is known already is passed over."""
        if self._seq is None or self.is_stale or seq <= self._seq:
            return False
        if seq != self._seq + 1:
            self.is_stale = True
            return False
        self._seq = seq
        return True


def _people_between(
    old: Mapping[str, Participant], new: Mapping[str, Participant], own: set[str | None]
) -> Iterator[AnyMeetingEvent]:
    """Say who came, changed and went; of `own` comings and goings a client is not told."""
    for key, one in new.items():
        if key in old and old[key] != one:
            yield Updated(one, old[key])
        elif key not in old and key not in own:
            yield Joined(one)
    for key, one in old.items():
        if key not in new and key not in own:
            yield Left(one)


def _room_between(old: Room, new: Room) -> Iterator[AnyMeetingEvent]:
    if msgspec.structs.replace(old, participant_count=new.participant_count) != new:
        yield RoomChanged(new, old)


_TAKE: Mapping[type[Any], Callable[[View, Any], Iterable[AnyMeetingEvent]]] = {
    replies.ParticipantReply: View._seated,
    replies.WaitingReply: View._placed,
    replies.ErrorReply: View._refused,
    events.RoomState: View._entered,
    events.ParticipantsChanged: View._changed,
    events.RoomUpdated: View._set_up,
    events.RoomEnded: View._ended,
    events.MessageEvent: View._said,
    replies.MessagesReply: View._listed,
    events.SignalEvent: View._signalled,
    events.Removed: View._removed,
    events.MuteRequested: View._mute,
    events.WaitingChanged: View._queued,
    events.ServerRestarting: View._restarts,
}
