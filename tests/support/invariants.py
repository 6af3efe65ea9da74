"""What must hold of every command, whatever the state of the room."""

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.model import Moment
from roomd.rooms.room import Checkpoint, Command, Room
from roomd.rooms.seats import follow_up


def check_entry(command: Command[object], refused: Refused | None, before: Checkpoint) -> None:
    """Full is full, bans hold, what a user has is never refused, and a resume succeeds by its token alone."""
    if not isinstance(command, commands.SeatCommand):
        return
    kind, user = refused.kind if refused is not None else None, command.caller.user_id
    if isinstance(command, commands.Join):
        is_full = len(before.seats) >= before.view.max_participants
        assert kind is not errors.ROOM_FULL or (is_full and not command.wait)
        assert kind is None or not before.view.is_active or user not in before.by_user
        assert (kind is errors.BANNED) == (user in before.bans and before.view.is_active)
    elif isinstance(command, commands.Resume):
        seat = before.seats.get(command.participant_id) or before.queue.get(command.participant_id)
        is_good = seat is not None and seat.resume_hash == command.token_hash
        assert kind is (errors.BANNED if user in before.bans else None if is_good else errors.SEAT_EXPIRED)


def check_order(room: Room, before: Checkpoint, now: Moment) -> None:
    """First come, first served: nobody sits down while somebody ahead of them still waits for a seat."""
    entered = [key for key in room.seats if key not in before.seats]
    queue, order = room.queue, list(before.queue)
    assert not entered or room.free_seats >= 0
    for key in entered:
        ahead = order[: order.index(key)] if key in order else order
        assert all(queue[one].waits_for != "room_full" for one in ahead if one in queue)
    assert list(queue) == [*(key for key in order if key in queue), *(key for key in queue if key not in order)]
    check_settled(room, now)


def check_settled(room: Room, now: Moment) -> None:
    """Nobody waits who need not, and nobody is there who may not be."""
    settings, queue = room.settings, room.queue
    assert follow_up(room, now) == []
    reasons = {seat.waits_for for seat in queue.values()}
    if room.free_seats > 0 or settings.is_locked or not settings.is_active:
        assert "room_full" not in reasons, "nobody waits for a seat while one is free, or none may be had"
    assert settings.waiting_room or "waiting_room" not in reasons
    people = [seat.participant for seat in (*room.seats.values(), *queue.values())]
    users = [person.user_id for person in people if person.user_id is not None]
    assert len(users) == len(set(users)), "one place per user"
    assert not set(users) & set(room.bans), "who is banned has none"
    assert settings.allow_guest_access or all(seat.participant.user_id is not None for seat in queue.values())
