"""What must hold of every command, whatever the state of the room."""

from collections.abc import Sequence

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.changes import Change, MessageSent, SeatChanged
from roomd.rooms.commands.joining import MOST_OF_ADDRESS
from roomd.rooms.denials import keys_of
from roomd.rooms.invariants import broken_rules
from roomd.rooms.model import Moment, PersonKey
from roomd.rooms.room import Checkpoint, Command, Room
from roomd.rooms.seats import follow_up
from tests.support.viewers import Viewer


def check_entry(command: Command[object], refused: Refused | None, before: Checkpoint, now: Moment) -> None:
    """Full is full, bans and waiting times hold, what one has is never refused, a resume needs its token alone."""
    if not isinstance(command, commands.SeatCommand):
        return
    kind, user, caller = refused.kind if refused is not None else None, command.caller.user_id, command.caller
    place = before.by_user.get(user or "") or caller.seat_id
    own = (before.seats.get(place) or before.queue.get(place)) if place is not None else None
    if own is not None and own.participant.user_id is None and own.claim != caller.claim:
        own = None  # a guest's seat is that of its connection
    is_banned = bool(user) and PersonKey("user", user or "") in before.bans
    if user is None and own is None and caller.address_key is not None:
        ban = before.bans.get(PersonKey("address", caller.address_key))
        is_banned = ban is not None and (ban.expires_at or "") > now.stamp
    if isinstance(command, commands.Join):
        is_live_elsewhere = own is not None and own.claim not in (None, caller.claim)
        is_late = is_live_elsewhere and not command.take_over and before.view.is_active and not is_banned
        assert (kind is errors.TAKEN_OVER) == is_late
        is_host = caller.is_admin or user == before.view.host_id
        assert kind not in (errors.ROOM_LOCKED, errors.RATE_LIMITED) or not is_host
        denied = [before.denials[who].until for who in keys_of(caller) if who in before.denials]
        assert kind is not errors.RATE_LIMITED or max(denied) > now.clock
        assert kind is not None or own is not None or is_host or max(denied, default=now.clock) <= now.clock
        is_full = len(before.seats) >= before.view.max_participants
        has_places = sum(seat.address_key == caller.address_key for seat in before.queue.values()) < MOST_OF_ADDRESS
        assert kind is not errors.ROOM_FULL or (is_full and not command.wait) or not has_places
        assert kind in (None, errors.TAKEN_OVER) or not before.view.is_active or own is None or user is None
        assert (kind is errors.BANNED) == (is_banned and before.view.is_active)
    elif isinstance(command, commands.Resume):
        seat = before.seats.get(command.participant_id) or before.queue.get(command.participant_id)
        valid = (seat.resume_hash, seat.previous_hash) if seat is not None else ()
        superseded = errors.TAKEN_OVER if seat is not None else errors.SEAT_EXPIRED
        is_banned = is_banned and user is not None
        assert kind is (errors.BANNED if is_banned else None if command.token_hash in valid else superseded)


def check_order(room: Room, before: Checkpoint, now: Moment) -> None:
    """First come, first served: only who takes the place of a held guest may pass somebody who waits for a seat.

    The host may always, others may pass those who are away.
    """
    entered = [key for key in room.seats if key not in before.seats]
    queue, order = room.queue, list(before.queue)
    assert not entered or room.free_seats >= 0
    for key in entered:
        if room.seats[key].participant.user_id == room.settings.host_id:
            continue
        ahead = order[: order.index(key)] if key in order else order
        waiting = [one for one in ahead if one in queue and queue[one].waits_for == "room_full"]
        assert all(queue[one].claim is None for one in waiting)
    assert list(queue) == [*(key for key in order if key in queue), *(key for key in queue if key not in order)]
    check_settled(room, now)


def check_settled(room: Room, now: Moment) -> None:
    """Nothing is due, and every rule holds that `roomd check` checks in a database."""
    assert follow_up(room, now) == []
    assert list(broken_rules(room)) == []


def check_given_up(changes: Sequence[Change], before: Checkpoint, user: str | None) -> None:
    """A join ends no stay but that of a guest who has dropped, not by a restart, of an address with many of them."""
    held = [
        seat
        for seat in before.seats.values()
        if (seat.participant.user_id, seat.claim, seat.is_held_since_start) == (None, None, False)
    ]
    for change in changes:
        if isinstance(change, SeatChanged) and change.seat.participant.left_at is not None:
            seat = before.seats[change.seat.participant.id]
            assert seat in held
            assert len(before.seats) == before.view.max_participants, "the room was full"
            same = [one for one in held if one.address_key == seat.address_key is not None]
            assert user == before.view.host_id or (len(same) > 1 and 4 * len(same) > before.view.max_participants)


def check_secrets(changes: Sequence[Change], room: Room, clients: Sequence[Viewer]) -> None:
    """A private message reaches the two alone, where they are connected and read; a public one stays with the room."""
    for change in changes:
        if isinstance(change, MessageSent) and change.message.to is not None:
            two = {change.message.participant_id or "", change.message.to}
            there = {key for key in two if key in room.seats and room.seats[key].claim is not None}
            heard = {client.key for client in clients if change.message.id in client.heard}
            assert heard <= there
            assert there - heard <= {client.key for client in clients if client.is_behind}
            assert change.message not in room.messages
