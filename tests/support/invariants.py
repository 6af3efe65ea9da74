"""What must hold of every command, whatever the state of the room."""

from collections.abc import Mapping, Sequence

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.changes import Change, MessageSent, SeatChanged
from roomd.rooms.commands.joining import MOST_OF_ADDRESS
from roomd.rooms.denials import keys_of
from roomd.rooms.invariants import broken_rules
from roomd.rooms.model import Caller, Moment, PersonKey, Seat
from roomd.rooms.room import Checkpoint, Command, Room
from roomd.rooms.seats import follow_up
from tests.support.viewers import PLAIN, Token, Viewer, token_of

Tokens = Mapping[str, Token]
"""What the last token said that was presented for each place, by participant id."""


def check_entry(command: Command[object], refused: Refused | None, before: Checkpoint, now: Moment) -> None:
    """Full is full, bans and waiting times hold, what one has is never refused, a resume needs its token alone."""
    if not isinstance(command, commands.SeatCommand):
        return
    kind, user, caller = refused.kind if refused is not None else None, command.caller.user_id, command.caller
    own = _place_of(before, before.by_user.get(user or "") or caller.seat_id)
    if own is not None and own.participant.user_id is None and own.claim != caller.claim:
        own = None  # a guest's seat is that of its connection
    is_exposed = own is not None and bool(own.participant.is_hidden) and user is not None and not caller.is_hidden
    if is_exposed:
        own = None  # a hidden place ends by a token that does not hide
    is_banned = bool(user) and PersonKey("user", user or "") in before.bans
    if user is None and own is None and caller.address_key is not None:
        ban = before.bans.get(PersonKey("address", caller.address_key))
        is_banned = ban is not None and (ban.expires_at or "") > now.stamp
    if isinstance(command, commands.Join):
        is_live_elsewhere = own is not None and own.claim not in (None, caller.claim)
        is_late = is_live_elsewhere and not command.take_over and before.view.is_active and not is_banned
        assert (kind is errors.TAKEN_OVER) == is_late
        is_host = caller.is_admin or caller.is_cohost or user == before.view.host_id
        assert kind not in (errors.ROOM_LOCKED, errors.RATE_LIMITED) or not is_host
        denied = [before.denials[who].until for who in keys_of(caller) if who in before.denials]
        assert kind is not errors.RATE_LIMITED or max(denied) > now.clock
        assert kind is not None or own is not None or is_host or max(denied, default=now.clock) <= now.clock
        assert not caller.is_hidden or kind in (None, errors.BANNED, errors.ROOM_INACTIVE, errors.TAKEN_OVER)
        is_full = len(before.seats) >= before.view.max_participants
        has_places = sum(seat.address_key == caller.address_key for seat in before.queue.values()) < MOST_OF_ADDRESS
        assert kind is not errors.ROOM_FULL or (is_full and not command.wait) or not has_places
        assert kind in (None, errors.TAKEN_OVER) or not before.view.is_active or own is None or user is None
        assert (kind is errors.BANNED) == (is_banned and before.view.is_active)
    elif isinstance(command, commands.Resume):
        seat = _place_of(before, command.participant_id)
        if seat is not None and seat.participant.is_hidden and user is not None and not caller.is_hidden:
            seat = None
        valid = (seat.resume_hash, seat.previous_hash) if seat is not None else ()
        superseded = errors.TAKEN_OVER if seat is not None else errors.SEAT_EXPIRED
        is_banned = is_banned and user is not None
        assert kind is (errors.BANNED if is_banned else None if command.token_hash in valid else superseded)


HOSTS_ONLY = (
    commands.UpdateRoom, commands.EndRoom, commands.DeleteRoom, commands.Admit, commands.Deny, commands.ListWaiting,
    commands.RemoveParticipant, commands.BanPerson, commands.ListBans, commands.Unban, commands.CheckMute,
    commands.CheckHost,
)  # fmt: skip
"""Commands that need host rights. Some need them in some cases: see `check_rights`."""


def check_rights(command: Command[object], refused: Refused | None, before: Checkpoint, tokens: Tokens) -> None:
    """Hosts, co-hosts and admins may do what hosts do, by their token, or by their seat while it carries that token.

    `tokens` has what the last token said that was presented for each place.
    """
    needs = isinstance(command, HOSTS_ONLY) or (isinstance(command, commands.ListParticipants) and command.history)
    caller: Caller | None = getattr(command, "service" if isinstance(command, commands.SendMessage) else "caller", None)
    if caller is None or not (needs or isinstance(command, commands.SendMessage)):
        return
    user, said = caller.user_id, token_of(caller)
    if user is None and (place := _place_of(before, caller.seat_id)) is not None and place.claim == caller.claim:
        user, said = place.participant.user_id, tokens.get(caller.seat_id or "", PLAIN)
    may = said.is_admin or said.is_cohost or user == before.view.host_id
    assert may == (refused is None or refused.kind is not errors.NOT_HOST)


def check_places(room: Room, tokens: Tokens) -> None:
    """Everybody is shown with the role and the metadata of the last token. Who is hidden has neither seat nor place."""
    for key, seat in (*room.seats.items(), *room.queue.items(), *room.hidden.items()):
        participant, said = seat.participant, tokens.get(key, PLAIN)
        is_host = participant.user_id == room.settings.host_id
        role = "host" if is_host else "cohost" if said.is_admin or said.is_cohost else "member"
        assert (participant.is_host, participant.role) == (is_host, role)
        assert repr(participant.metadata) == repr(said.metadata)
        assert (participant.is_hidden is True) == (key in room.hidden) <= said.is_hidden
    assert room.view().participant_count == len(room.seats)
    assert not {*room.hidden} & {*room.seats, *room.queue}
    is_empty = not (room.seats or room.queue)
    settings = room.settings
    ends_empty = settings.is_active and settings.end_when_empty is not None
    assert (room.empty_since is not None) == (ends_empty and is_empty)


def _place_of(room: Checkpoint, key: str | None) -> Seat | None:
    if key is None:
        return None
    return room.seats.get(key) or room.queue.get(key) or room.hidden.get(key)


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
    """A join ends no stay but that of a guest who has dropped, not by a restart, of an address with many of them.

    And the user's own, of somebody who was hidden.
    """
    held = [
        seat
        for seat in before.seats.values()
        if (seat.participant.user_id, seat.claim, seat.is_held_since_start) == (None, None, False)
    ]
    for change in changes:
        if isinstance(change, SeatChanged) and change.seat.participant.left_at is not None:
            if change.seat.participant.is_hidden:
                assert change.seat.participant.user_id == user, "a hidden place ends for a seat of the same user"
                continue
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
