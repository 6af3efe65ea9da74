"""Answers of commands that need more than one object of the protocol. All of them are plain data."""

from typing import NamedTuple

from roomd.protocol.objects import Admission, Participant
from roomd.protocol.objects import Room as RoomView


class RoomAnswer(NamedTuple):
    """The answer to `GetRoom`."""

    room: RoomView | None
    """The room as the caller sees it; None for somebody banned, and for a guest where guests are not allowed."""
    admission: Admission
    """Whether the caller could join now. If not, it contains the error that a join would get."""


class Participants(NamedTuple):
    """The answer to `ListParticipants`."""

    room_id: str
    """The id of the room."""
    participants: list[Participant]
    """Everyone who has a seat, in the order in which they took it."""


class Reader(NamedTuple):
    """The answer to `ListMessages`: who reads, and what.

    A reader sees the public messages, and the messages from or to the reader's ids.
    """

    room_id: str
    """The id of the room."""
    participant_id: str | None
    """The reader's participant id; None for a host without a seat."""
    user_id: str | None
    """The reader's user id; None for a guest."""
    after: str = ""
    """The reader sees only messages with a higher id."""
    sees_public: bool = True
    """Whether the reader sees public messages of others."""


class ParticipantChanges(NamedTuple):
    """The net effect of some changes on the participants of a room. A participant is in at most one list."""

    joined: list[Participant]
    """Those who have a seat now and had none before."""
    updated: list[Participant]
    """Those who had a seat before, have it now, and look different to clients."""
    left: list[Participant]
    """Those who had a seat before and have none now."""
