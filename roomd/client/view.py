"""What one client knows of its room. Frames of the server go in, events come out.

No I/O, no clock, no tasks. `View.apply` takes the frames one after the other and returns the events that follow:

- `room-state` replaces everything, also one that nobody asked for. When the room was known before, the differences are
  returned as events, in the order of one `participants-changed`: joined, updated, left. `Replaced` follows when it is
  not the first one on its connection: signals may be lost.
- Every event with a `seq` must be the next one. If one is missing, the view is *stale*: it ignores all that follow, and
  the client asks for a new `room-state` by joining its room again on the same connection.
- Messages have no `seq`. The view keeps public and private ones in the order they were sent, without holes. After
  such a `room-state`, `missed` says what to ask for. The missed messages, and those that arrive meanwhile, are told
  together, in order, when the last page was read (see catch_up.py).

The JavaScript client has the same rules; docs/reference/clients.md describes them and `clients/vectors` tests both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from roomd.client.catch_up import CATCH_UP, MOST_MESSAGES, CatchUp
from roomd.client.events import (
    LEFT,
    REMOVED,
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
    Replaced,
    Returned,
    RoomChanged,
    Said,
    ServerRestarts,
    Signalled,
    Updated,
    over_by_refusal,
)
from roomd.protocol import events, replies
from roomd.protocol.objects import Message, Participant, Room, Waiting
from roomd.protocol.replies import RequestId

Status = Literal["connecting", "waiting", "joined", "reconnecting", "over"]
"""`connecting`: before the first seat or place. `waiting`: in the queue. `joined`: in the room. `reconnecting`: the
connection was lost. `over`: the meeting has ended for this client."""


class View:
    """One room as one client sees it. Give it every frame, and tell it when the connection is lost."""

    def __init__(self) -> None:
        self.status: Status = "connecting"
        self.participants: Mapping[str, Participant] = {}
        """Everyone who holds a seat, by id, in the order they took it. A new mapping whenever it changes."""
        self.messages: list[Message] = []
        """The last 500 messages, public and private, oldest first. A new list whenever it changes."""
        self.missed: CatchUp | None = None
        """Messages are missing: send its `request` after its `delay`, again and again, until this is None."""
        self.lobby: tuple[Waiting, ...] = ()
        """Who waits, in order; only hosts see it."""
        self.place: Placed | None = None
        """This client's own place in the queue, while it waits."""
        self.over: Over | None = None
        """Why the meeting is over; None while it is not."""
        self.resume_token: str | None = None
        """Takes the seat, or the place in the queue, back after a drop."""
        self.is_stale = False
        """An event is missing: join the room again on this connection to get a new `room-state`."""
        self._room: Room | None = None
        self._me: Participant | None = None
        self._known_as: str | None = None  # the own id when the room was last entered
        self._seq: int | None = None
        self._waiting_id: RequestId | None = None  # the id of the join that waits: its answer carries it
        self._heard_of_lobby = False  # since the last `room-state`, which comes alone when nobody waits
        # Read as messages of before. One that is not was sent after the `room-state`, and its event follows.
        self._untold: set[str] = set()

    @property
    def me(self) -> Participant | None:
        """This client's own participant; None until it has a seat."""
        return self.participants.get(self._me.id, self._me) if self._me is not None else None

    @property
    def room(self) -> Room | None:
        """The room; None until it is entered, and while waiting. `participant_count` follows `participants`."""
        if self._room is None:
            return None
        return msgspec.structs.replace(self._room, participant_count=len(self.participants))

    def apply(self, frame: replies.Reply | events.Event) -> list[AnyMeetingEvent]:
        """Take a frame of the server and return what it changed. Once the meeting is over, nothing changes."""
        take = _TAKE.get(type(frame))
        return list(take(self, frame)) if take is not None and self.over is None else []

    def drop(self) -> None:
        """Note that the connection is lost: the frames that follow come by another one."""
        if self.over is None:
            self.status = "reconnecting"
            self._seq = None
            self._waiting_id = None
            self._untold = set()
            self.is_stale = False

    def forget_seat(self) -> None:
        """Note that the held seat, or the place in the queue, has expired."""
        self.resume_token = None

    def finish(self, over: Over) -> None:
        """End the meeting. The first reason counts."""
        if self.over is None:
            self.over = over
            self.status = "over"

    # One method for each type of frame.

    def _take_seat(self, frame: replies.ParticipantReply) -> Iterable[AnyMeetingEvent]:
        """Take a seat, whose room follows in `room-state`; or learn that it was given up."""
        if frame.participant.left_at is not None:
            self.finish(LEFT)
        else:
            self._me = frame.participant
            self.resume_token = frame.resume_token
            self._waiting_id = None
        return ()

    def _take_place(self, frame: replies.WaitingReply) -> Iterable[AnyMeetingEvent]:
        """Wait, or go on waiting at another place. Who waits sees nothing of the room."""
        if frame.id is None and self.status != "waiting":
            return ()
        if frame.id is not None:
            self._waiting_id = frame.id
            self.resume_token = frame.resume_token
        before, was_waiting = self.place, self.status == "waiting"
        self.status = "waiting"
        self.place = Placed(frame.participant_id, frame.position, frame.reason)
        self._room, self._me, self._known_as = None, None, None
        self.participants, self.messages, self.lobby = {}, [], ()
        self.missed = None
        return () if was_waiting and before == self.place else (self.place,)

    def _take_error(self, frame: replies.ErrorReply) -> Iterable[AnyMeetingEvent]:
        """End when the join that waits is refused. Other errors are for the request that they answer."""
        if frame.id == CATCH_UP:
            return self._take_page(frame)
        if frame.id is not None and frame.id == self._waiting_id:
            self.finish(over_by_refusal(frame.code, frame.message))
        return ()

    def _take_state(self, state: events.RoomState) -> Iterable[AnyMeetingEvent]:
        """Replace the view, and return what that changed."""
        me = self._me.id if self._me is not None else None
        told: list[AnyMeetingEvent] = []
        if self._known_as is None or self._known_as != me:
            told.append(Entered())
        elif self.status == "reconnecting":
            told.append(Returned())
        people = {one.id: one for one in state.participants}
        is_replaced = self._seq is not None
        if (before := self.room) is not None:
            told += _people_between(self.participants, people, {self._known_as, me})
            told += _room_between(before, state.room)
            if is_replaced:
                told.append(Replaced())
            self._read_missed(state.messages, is_asked=is_replaced and self.missed is not None and self.missed.is_asked)
        else:
            self.messages = list(state.messages)
            if self._me is not None and self._me.user_id is not None:  # may have got private messages here before
                first = self.messages[0].id if self.messages else None
                self.missed = CatchUp(first, self.messages, is_news=False)
        self._known_as = me
        self._room, self.participants = state.room, people
        self._seq, self.is_stale, self._heard_of_lobby = state.seq, False, False
        self.status, self.place = "joined", None
        return told

    def _read_missed(self, shown: Iterable[Message], *, is_asked: bool) -> None:
        """Begin to read the messages after the last known one: there may be more than a `room-state` shows."""
        self.missed = CatchUp(self.messages[-1].id if self.messages else None, self._unknown(shown))
        self.missed.is_asked = self.missed.is_late = is_asked

    def _unknown(self, messages: Iterable[Message]) -> list[Message]:
        known = {message.id for message in self.messages}
        return [message for message in messages if message.id not in known]

    def _tell(self, messages: list[Message]) -> list[AnyMeetingEvent]:
        self.messages = [*self.messages, *messages][-MOST_MESSAGES:]
        return [Said(message) for message in messages]

    def _take_changes(self, frame: events.ParticipantsChanged) -> Iterator[AnyMeetingEvent]:
        if not self._is_next(frame.seq):
            return
        people = dict(self.participants)
        told: list[AnyMeetingEvent] = [Joined(one) for one in frame.joined]
        told += [Updated(one, people.get(one.id, one)) for one in frame.updated]
        told += [Left(one) for one in frame.left]
        people.update((one.id, one) for one in (*frame.joined, *frame.updated))
        for one in frame.left:
            people.pop(one.id, None)
        self.participants = people
        yield from told

    def _take_settings(self, frame: events.RoomUpdated) -> Iterator[AnyMeetingEvent]:
        if self._is_next(frame.seq) and (before := self.room) is not None:
            self._room = frame.room
            yield from _room_between(before, frame.room)

    def _take_end(self, frame: events.RoomEnded) -> Iterable[AnyMeetingEvent]:
        """End, also when events are missing: there is no room to ask about them."""
        told = self._stop_reading()
        self.participants = {}
        if self._room is not None:
            self._room = msgspec.structs.replace(self._room, is_active=False)
        self.finish(msgspec.structs.replace(ROOM_ENDED, reason=frame.reason))
        return told

    def _take_message(self, frame: events.MessageEvent) -> Iterable[AnyMeetingEvent]:
        """Keep a message, or hold it back. `room-state` may have shown it already."""
        if self.missed is not None:
            self.missed.hold_back(frame.message)
            return ()
        if frame.message.id in self._untold:
            self._untold.remove(frame.message.id)
            return (Said(frame.message),)
        return self._tell(self._unknown([frame.message]))

    def _take_messages(self, frame: replies.MessagesReply) -> Iterable[AnyMeetingEvent]:
        return self._take_page(frame) if frame.id == CATCH_UP else ()

    def _take_page(self, reply: replies.MessagesReply | replies.ErrorReply) -> Iterator[AnyMeetingEvent]:
        """Take a page of missed messages, or the refusal to give one.

        The server tells a host who waits right after the `room-state`, and says nothing when nobody waits. This reply
        comes later than that.
        """
        if not self._heard_of_lobby:
            self._heard_of_lobby = True
            if self.lobby:
                self.lobby = ()
                yield LobbyChanged(())
        if self.missed is not None and self.missed.read(reply):
            yield from self._finish_reading(self.missed)

    def _stop_reading(self) -> list[AnyMeetingEvent]:
        """Tell what is known of the missed messages when no more can be read."""
        if self.missed is None:
            return []
        self.missed.give_up()
        return self._finish_reading(self.missed)

    def _finish_reading(self, missed: CatchUp) -> list[AnyMeetingEvent]:
        """Put the missed messages, and those held back, into the view and tell them."""
        self.missed = None
        messages = missed.messages()
        if not missed.is_news:
            new = self._unknown(missed.held_back())
            self._untold = {message.id for message in self._unknown(messages)} - {message.id for message in new}
        else:
            new = messages if missed.has_gap else self._unknown(messages)
        kept = [] if missed.has_gap else self.messages[: self._place_of(missed.after) + 1]
        known = {message.id for message in kept}
        self.messages = [*kept, *(message for message in messages if message.id not in known)][-MOST_MESSAGES:]
        told: list[AnyMeetingEvent] = [Said(message) for message in new]
        if missed.has_gap and missed.is_news:
            told.insert(0, MessagesSkipped(missed.after, messages[0].id if messages else None))
        return told

    def _place_of(self, message_id: str | None) -> int:
        return next((at for at, message in enumerate(self.messages) if message.id == message_id), -1)

    def _take_signal(self, frame: events.SignalEvent) -> Iterable[AnyMeetingEvent]:
        """Pass a signal on. One that cannot be read (nested too deep) is ignored: another participant made it."""
        try:
            return (Signalled(frame.sender, msgspec.json.decode(frame.data)),)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ()

    def _take_removal(self, frame: events.Removed) -> Iterable[AnyMeetingEvent]:
        told = self._stop_reading()
        self.finish(msgspec.structs.replace(REMOVED, reason=frame.reason or None))
        return told

    def _take_mute_request(self, _: events.MuteRequested) -> Iterable[AnyMeetingEvent]:
        return (MuteRequested(),)

    def _take_lobby(self, frame: events.WaitingChanged) -> Iterable[AnyMeetingEvent]:
        self._heard_of_lobby = True
        before, self.lobby = self.lobby, tuple(frame.waiting)
        return () if self.lobby == before else (LobbyChanged(self.lobby),)

    def _take_restart(self, _: events.ServerRestarting) -> Iterable[AnyMeetingEvent]:
        return (ServerRestarts(),)

    def _is_next(self, seq: int) -> bool:
        """Count a numbered event. After a gap the view is stale; an event that `room-state` covers is ignored."""
        if self._seq is None or self.is_stale or seq <= self._seq:
            return False
        if seq != self._seq + 1:
            self.is_stale = True
            return False
        self._seq = seq
        return True


def _people_between(
    old: Mapping[str, Participant], new: Mapping[str, Participant], own: set[str | None]
) -> list[AnyMeetingEvent]:
    """Return who joined, changed and left. A client is not told that it joined or left itself."""
    told: list[AnyMeetingEvent] = [Joined(one) for key, one in new.items() if key not in old and key not in own]
    told += [Updated(one, old[key]) for key, one in new.items() if key in old and old[key] != one]
    told += [Left(one) for key, one in old.items() if key not in new and key not in own]
    return told


def _room_between(old: Room, new: Room) -> Iterator[AnyMeetingEvent]:
    if msgspec.structs.replace(old, participant_count=new.participant_count) != new:
        yield RoomChanged(new, old)


_TAKE: Mapping[type[Any], Callable[[View, Any], Iterable[AnyMeetingEvent]]] = {
    replies.ParticipantReply: View._take_seat,
    replies.WaitingReply: View._take_place,
    replies.ErrorReply: View._take_error,
    replies.MessagesReply: View._take_messages,
    events.RoomState: View._take_state,
    events.ParticipantsChanged: View._take_changes,
    events.RoomUpdated: View._take_settings,
    events.RoomEnded: View._take_end,
    events.MessageEvent: View._take_message,
    events.SignalEvent: View._take_signal,
    events.Removed: View._take_removal,
    events.MuteRequested: View._take_mute_request,
    events.WaitingChanged: View._take_lobby,
    events.ServerRestarting: View._take_restart,
}
