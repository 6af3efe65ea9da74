"""Commands of hosts about other people: remove, ban, unban, mute, admit, deny."""

from roomd.protocol.errors import DENIED, PARTICIPANT_NOT_FOUND, ROOM_FULL, WRONG_USER, Refused
from roomd.protocol.objects import Ban
from roomd.rooms import seats
from roomd.rooms.changes import Change, Removal, SeatChanged, UserBanned, UserUnbanned
from roomd.rooms.model import Caller, Moment, Seat
from roomd.rooms.rights import check_active, check_host, target_of, user_of
from roomd.rooms.room import Command, Decision, Room


class RemoveParticipant(Command[None], frozen=True):
    """Remove somebody from their seat, or from the queue."""

    caller: Caller
    """The host."""
    participant_id: str
    """The participant to remove."""
    ban: bool
    """Whether the user is banned too. A guest has no user id and is not banned."""
    reason: str | None
    """The text for the participant; None without one."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the leave of the participant, and the ban.

        Raises `Refused` like `target_of`.
        """
        seat = target_of(room, self.caller, self.participant_id, now)
        person = seat.participant
        if seat.waits_for:
            changes: list[Change] = [seats.leave(seat, now, refusal=DENIED)]
        else:
            changes = [seats.leave(seat, now, removal=Removal(self.reason))]
        if self.ban and person.user_id is not None:
            changes.append(UserBanned(Ban(
                user_id=person.user_id, display_name=person.display_name, reason=self.reason, banned_at=now.stamp,
            )))  # fmt: skip
        return Decision(changes, None)


class CheckMute(Command[None], frozen=True):
    """Check that the caller may ask a participant to mute."""

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


class ListBans(Command[list[Ban]], frozen=True):
    """List the bans, sorted by user id."""

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[list[Ban]]:
        """Return all bans.

        Raises `Refused` for anybody but hosts (403).
        """
        check_host(room, self.caller, now)
        return Decision([], sorted(room.bans.values(), key=lambda ban: ban.user_id))


class Unban(Command[None], frozen=True):
    """Lift the ban of a user."""

    caller: Caller
    """Who sends the command."""
    user_id: str
    """The id of the banned user."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Lift the ban.

        Raises `Refused` for anybody but hosts (403), for the caller's own ban (403), and for a user with no ban (404).
        """
        check_host(room, self.caller, now)
        if self.user_id == user_of(room, self.caller):
            raise Refused(WRONG_USER, "Nobody lifts their own ban")
        if self.user_id not in room.bans:
            raise Refused(PARTICIPANT_NOT_FOUND, "This user is not banned")
        return Decision([UserUnbanned(self.user_id)], None)


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
        free, last_id = room.free_seats, room.last_id
        changes: list[SeatChanged] = []
        for seat in chosen:
            if seat.waits_for != "waiting_room":
                continue  # already admitted: they wait for a free seat
            if free > 0:
                free -= 1
                last_id = now.new_id(last_id)
                changes.append(seats.admit(seat, now, last_id))
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
        return Decision([seats.leave(_waiting(room, self.participant_id), now, refusal=DENIED)], None)


def _waiting(room: Room, participant_id: str) -> Seat:
    seat = room.queue.get(participant_id)
    if seat is None:
        raise Refused(PARTICIPANT_NOT_FOUND)
    return seat
