"""Commands of hosts about people who are there: mute, list the queue, admit, deny."""

from typing import ClassVar

from roomd.protocol.errors import PARTICIPANT_NOT_FOUND, ROOM_FULL, Refused
from roomd.protocol.objects import Waiting
from roomd.rooms import seats
from roomd.rooms.changes import Change
from roomd.rooms.model import Caller, Moment, Seat
from roomd.rooms.rights import check_active, check_host, target_of
from roomd.rooms.room import Command, Decision, Room
from roomd.rooms.space import Space


class CheckMute(Command[None], frozen=True):
    """Check that the caller may ask a participant to mute."""

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""
    participant_id: str
    """The participant whom the command is about."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Change nothing.

        Raises `Refused` like `target_of`, and for a participant who waits in the queue (404).
        """
        if target_of(room, self.caller, self.participant_id, now).waits_for:
            raise Refused(PARTICIPANT_NOT_FOUND)
        return Decision([], None)


class ListWaiting(Command[list[Waiting]], frozen=True):
    """List the queue."""

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[list[Waiting]]:
        """Return everyone who waits, in the order in which they came.

        Raises `Refused` for anybody but hosts (403).
        """
        check_host(room, self.caller, now)
        return Decision([], seats.describe_queue(room.queue))


class Admit(Command[None], frozen=True):
    """Admit people from the waiting room."""

    caller: Caller
    """The host."""
    participant_id: str | None
    """The participant to admit; None for everybody in the waiting room."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Give out the free seats. The others then wait for a seat; in a locked room they go on waiting for the host.

        Raises `Refused` for anybody but hosts (403), for an ended room (400), for somebody who does not wait (404), and
        for one person whom a full and locked room cannot take (400 `room_full`).
        """
        check_host(room, self.caller, now)
        check_active(room)
        chosen = room.queue.values() if self.participant_id is None else [_waiting(room, self.participant_id)]
        space, last_id = Space(room), room.last_id
        changes: list[Change] = []
        for seat in chosen:
            if seat.waits_for != "waiting_room":
                continue  # already admitted: they wait for a free seat
            user_id, is_connected = seat.participant.user_id, seat.claim is not None
            if (given_up := space.take(user_id, is_connected=is_connected)) is not None:
                last_id = now.new_id(last_id)
                changes += [
                    *(seats.leave(guest, now, "displaced") for guest in given_up),
                    seats.admit(seat, now, last_id),
                ]
            elif not room.settings.is_locked:
                changes.append(seats.wait_for(seat, "room_full"))
            elif self.participant_id is not None:
                raise Refused(ROOM_FULL)
        return Decision(changes, None)


class Deny(Command[None], frozen=True):
    """Deny somebody in the queue a seat."""

    caller: Caller
    """Who sends the command."""
    participant_id: str
    """The participant whom the command is about."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Remove them from the queue.

        Raises `Refused` for anybody but hosts (403), and for somebody who does not wait (404).
        """
        check_host(room, self.caller, now)
        return Decision(seats.deny(room, _waiting(room, self.participant_id), now), None)


def _waiting(room: Room, participant_id: str) -> Seat:
    seat = room.queue.get(participant_id)
    if seat is None:
        raise Refused(PARTICIPANT_NOT_FOUND)
    return seat
