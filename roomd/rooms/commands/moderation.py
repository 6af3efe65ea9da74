"""What hosts do to others: remove, ban, unban, mute, admit, deny."""

from roomd.protocol.errors import DENIED, PARTICIPANT_NOT_FOUND, ROOM_FULL, WRONG_USER, Refused
from roomd.protocol.objects import Ban
from roomd.rooms import seats
from roomd.rooms.changes import Change, Removal, SeatChanged, UserBanned, UserUnbanned
from roomd.rooms.model import Caller, Moment, Seat
from roomd.rooms.rights import check_active, check_host, target_of
from roomd.rooms.room import Command, Decision, Room


class RemoveParticipant(Command[None], frozen=True):
    """Take somebody's seat, or place in the queue, away; with `ban` a user cannot come back."""

    caller: Caller
    participant_id: str
    ban: bool
    reason: str | None

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Refuse what `target_of` refuses. A guest has no user id and is not banned."""
        seat = target_of(room, self.caller, self.participant_id)
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
    participant_id: str

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Refuse what `target_of` refuses, and who has no seat (404)."""
        if target_of(room, self.caller, self.participant_id).waits_for:
            raise Refused(PARTICIPANT_NOT_FOUND)
        return Decision([], None)


class ListBans(Command[list[Ban]], frozen=True):
    """See who cannot come back, by user id."""

    caller: Caller

    def decide(self, room: Room, now: Moment) -> Decision[list[Ban]]:
        """Refuse anyone but hosts (403)."""
        check_host(room, self.caller)
        return Decision([], sorted(room.bans.values(), key=lambda ban: ban.user_id))


class Unban(Command[None], frozen=True):
    """Let a user come back."""

    caller: Caller
    user_id: str

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Refuse anyone but hosts (403), the caller's own ban (403), and who is not banned (404)."""
        check_host(room, self.caller)
        if self.user_id == self.caller.user_id:
            raise Refused(WRONG_USER, "Nobody lifts their own ban")
        if self.user_id not in room.bans:
            raise Refused(PARTICIPANT_NOT_FOUND, "This user is not banned")
        return Decision([UserUnbanned(self.user_id)], None)


class Admit(Command[None], frozen=True):
    """Let somebody in who waits for the host; everybody when `participant_id` is None."""

    caller: Caller
    participant_id: str | None

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Give free seats, then let the others wait for one; a locked room has no queue for seats."""
        check_host(room, self.caller)
        check_active(room)
        chosen = room.queue.values() if self.participant_id is None else [_waiting(room, self.participant_id)]
        free = room.free_seats
        changes: list[SeatChanged] = []
        for seat in chosen:
            if seat.waits_for != "waiting_room":
                continue  # admitted already: it waits for a seat
            if free > 0:
                free -= 1
                changes.append(seats.admit(seat, now))
            elif not room.settings.is_locked:
                changes.append(seats.wait_for(seat, "room_full"))
            elif self.participant_id is not None:
                raise Refused(ROOM_FULL)
        return Decision(changes, None)


class Deny(Command[None], frozen=True):
    """Send somebody away who waits."""

    caller: Caller
    participant_id: str

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Refuse anyone but hosts (403), and who does not wait (404)."""
        check_host(room, self.caller)
        return Decision([seats.leave(_waiting(room, self.participant_id), now, refusal=DENIED)], None)


def _waiting(room: Room, participant_id: str) -> Seat:
    seat = room.queue.get(participant_id)
    if seat is None:
        raise Refused(PARTICIPANT_NOT_FOUND)
    return seat
