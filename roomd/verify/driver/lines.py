"""One connection of a client, and the record of what it asked and was shown."""

import time

from roomd.client.connection import MAX_FRAME as MOST_BYTES
from roomd.client.connection import Closed, Connection, Frame, Unreachable, open_websocket
from roomd.protocol.errors import INTERNAL_ERROR, Refused
from roomd.protocol.events import MessageEvent, ParticipantsChanged, RoomEnded, RoomState, RoomUpdated
from roomd.protocol.objects import Message, Participant
from roomd.protocol.replies import ParticipantReply, Reply
from roomd.protocol.requests import Request
from roomd.verify.records import (
    OK,
    Changes,
    Ended,
    Entry,
    Gone,
    History,
    Operation,
    Person,
    Seated,
    Settings,
    State,
    Text,
    Told,
    Track,
)


def clock() -> float:
    """Return the time of a record."""
    return time.monotonic()


class Lost(Exception):  # noqa: N818 - an outcome, not a mistake of the caller
    """The connection is of no use any more. What was asked may or may not have been carried out."""


def person_of(one: Participant) -> Person:
    """Return what the audit needs of a participant. Users may have the same name, so it is not who they are."""
    return Person(one.id, one.guest_name or one.user_id or one.id, one.is_active)


def text_of(message: Message) -> Text:
    """Return what the audit needs of a message."""
    return Text(message.id, message.participant_id or "", message.client_id or "")


def entry_of(frame: Frame, at: float) -> Entry | None:
    """Return the entry of a frame; None for one that the audit does not need."""
    match frame:
        case ParticipantReply():
            is_seated = frame.participant.left_at is None
            return Seated(at, frame.participant.id) if is_seated else Gone(at)
        case RoomState():
            people = tuple(person_of(one) for one in frame.participants)
            texts = tuple(text_of(message) for message in frame.messages)
            return State(at, frame.epoch, frame.seq, people, frame.room.participant_count, texts)
        case ParticipantsChanged():
            lists = (tuple(person_of(one) for one in some) for some in (frame.joined, frame.updated, frame.left))
            return Changes(at, frame.seq, *lists)
        case RoomUpdated():
            return Settings(at, frame.seq)
        case MessageEvent():
            return Told(at, text_of(frame.message))
        case RoomEnded():
            return Ended(at, frame.seq)
        case _:
            return None


class Line:
    """One open connection. `track` has what it was shown since it was last used for another room."""

    def __init__(self, history: History, number: int, person: str, node: str) -> None:
        self.number = number
        self.node = node
        self.track = Track(number, person, "", node)
        self._history = history
        self._connection: Connection | None = None
        self._next: Track | None = None
        self._room_id = ""

    async def open(self, token: str | None, patience: float) -> None:
        """Connect, as a guest or with a token. Raises `Lost`."""
        try:
            websocket, left = await open_websocket(self.node, token, patience)
            self._connection = Connection(
                self.node, websocket, patience, MOST_BYTES, self._record, lambda: self._add(Gone(clock()))
            )
            if left is not None:
                await self._connection.ask(left)
        except (Closed, Unreachable, Refused) as exc:
            raise Lost(str(exc)) from None

    @property
    def is_open(self) -> bool:
        """Whether the connection can still be used."""
        return self._connection is not None and not self._connection.has_ended

    def enter(self, room: str, person: str) -> None:
        """Note that the connection is about to be used for a room. Another one, or another name, begins a new track.

        It begins with the seat: until then events of the room before may come, also the one of its end.
        """
        is_same = (self.track.room, self.track.person) == (room, person)
        self._next = None if is_same else Track(self.number, person, room, self.node)

    async def ask(self, request: Request, operation: Operation) -> Reply | None:
        """Send a request, and record what came of it. None is a refusal. Raises `Lost`."""
        if self._connection is None:
            raise Lost("it was not opened")
        operation.sent = clock()
        self._history.operations.append(operation)
        try:
            reply = await self._connection.ask(request)
        except Refused as refused:
            operation.outcome = refused.kind.code
            if refused.kind.code == INTERNAL_ERROR.code:  # nobody knows what came of it
                raise Lost(refused.kind.code) from None
            operation.answered = clock()
            return None
        except (Closed, Unreachable) as exc:
            raise Lost(str(exc)) from None
        operation.answered, operation.outcome = clock(), OK
        return reply

    def cut(self) -> None:
        """End the connection as a network that fails would."""
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """End the connection, and wait until nothing more is recorded."""
        if self._connection is not None:
            self._connection.abort()
            await self._connection.close()

    def _record(self, frame: Frame) -> None:
        if isinstance(frame, ParticipantReply) and frame.participant.left_at is None:
            self._room_id = frame.participant.room_id
            if self._next is not None:
                self.track, self._next = self._next, None
                self._history.tracks.append(self.track)
        if isinstance(frame, RoomEnded) and frame.room_id != self._room_id:
            return
        entry = entry_of(frame, clock())
        if entry is not None:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        self.track.entries.append(entry)
