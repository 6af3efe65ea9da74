"""What must hold of every command, whatever the state of the room."""

from collections.abc import Sequence

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.changes import Change, SeatChanged
from roomd.rooms.model import Moment
from roomd.rooms.rights import carries_host_rights
from roomd.rooms.room import Checkpoint, Command, Room
from roomd.rooms.seats import follow_up


def check_entry(command: Command[object], refused: Refused | None, before: Checkpoint) -> None:
    """Full is full, bans hold, what a user has is never refused, and a resume succeeds by its token alone."""
    if not isinstance(command, commands.SeatCommand):
        return
    kind, user = refused.kind if refused is not None else None, command.caller.user_id
    if isinstance(command, commands.Join):
        place = before.by_user.get(user or "")
        own = (before.seats.get(place) or before.queue.get(place)) if place is not None else None
        is_live_elsewhere = own is not None and own.claim not in (None, command.caller.claim)
        is_late = is_live_elsewhere and not command.take_over and before.view.is_active and user not in before.bans
        assert (kind is errors.TAKEN_OVER) == is_late
        assert kind is not errors.ROOM_LOCKED or not (command.caller.is_admin or user == before.view.host_id)
        is_full = len(before.seats) >= before.view.max_participants
        assert kind is not errors.ROOM_FULL or (is_full and not command.wait)
        assert kind in (None, errors.TAKEN_OVER) or not before.view.is_active or user not in before.by_user
        assert (kind is errors.BANNED) == (user in before.bans and before.view.is_active)
    elif isinstance(command, commands.Resume):
        seat = before.seats.get(command.participant_id) or before.queue.get(command.participant_id)
        valid = (seat.resume_hash, seat.previous_hash) if seat is not None else ()
        superseded = errors.TAKEN_OVER if seat is not None else errors.SEAT_EXPIRED
        assert kind is (errors.BANNED if user in before.bans else None if command.token_hash in valid else superseded)


def check_order(room: Room, before: Checkpoint, now: Moment) -> None:
    """First come, first served: only the host sits down while somebody ahead of them still waits for a seat."""
    entered = [key for key in room.seats if key not in before.seats]
    queue, order = room.queue, list(before.queue)
    assert not entered or room.free_seats >= 0
    for key in entered:
        if room.seats[key].participant.user_id == room.settings.host_id:
            continue
        ahead = order[: order.index(key)] if key in order else order
        assert all(queue[one].waits_for != "room_full" for one in ahead if one in queue)
    assert list(queue) == [*(key for key in order if key in queue), *(key for key in queue if key not in order)]
    check_settled(room, now)


def check_settled(room: Room, now: Moment) -> None:
    """Nobody waits who need not, and nobody is there who may not be."""
    settings, queue = room.settings, room.queue
    assert follow_up(room, now) == []
    reasons = {seat.waits_for for seat in queue.values()}
    hosts = {seat.waits_for for seat in queue.values() if carries_host_rights(seat, settings)}
    others = {seat.waits_for for seat in queue.values() if not carries_host_rights(seat, settings)}
    if room.free_seats > 0 or not settings.is_active:
        assert "room_full" not in reasons, "nobody waits for a seat while one is free, or none may be had"
    assert not settings.is_locked or "room_full" not in others, "only hosts wait for a seat in a locked room"
    assert "waiting_room" not in hosts, "hosts wait for nobody to admit them"
    assert settings.waiting_room or "waiting_room" not in reasons
    people = [seat.participant for seat in (*room.seats.values(), *queue.values())]
    users = [person.user_id for person in people if person.user_id is not None]
    assert len(users) == len(set(users)), "one place per user"
    assert not set(users) & set(room.bans), "who is banned has none"
    assert settings.allow_guest_access or all(seat.participant.user_id is not None for seat in queue.values())


def check_given_up(changes: Sequence[Change], before: Checkpoint) -> None:
    """A join ends no stay but that of a guest who has dropped, and not by a restart."""
    for change in changes:
        if isinstance(change, SeatChanged) and change.seat.participant.left_at is not None:
            seat = before.seats[change.seat.participant.id]
            assert (seat.participant.user_id, seat.claim, seat.is_held_since_start) == (None, None, False)
            assert len(before.seats) == before.view.max_participants, "the room was full"
