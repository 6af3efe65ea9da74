"""Commands of hosts that keep people out: remove, ban, list bans, unban."""

from collections.abc import Sequence
from typing import ClassVar

from roomd.protocol.errors import ADDRESS_UNKNOWN, PARTICIPANT_NOT_FOUND, STORAGE_LOW, WRONG_USER, Refused
from roomd.protocol.lengths import LONGEST_DISPLAY_NAME
from roomd.protocol.objects import Ban
from roomd.protocol.text import display_name
from roomd.protocol.timestamps import stamp
from roomd.rooms import seats
from roomd.rooms.changes import Banned, Change, Removal, Unbanned
from roomd.rooms.model import Caller, Moment, PastStay, PersonKey, Seat
from roomd.rooms.rights import check_host, target_of, user_of
from roomd.rooms.room import Command, Decision, Room

MOST_BANS = 1000
"""The number of bans that a room may have (docs/protocol.md, section 8)."""


class RemoveParticipant(Command[None], frozen=True):
    """Remove somebody from their seat, or from the queue."""

    caller: Caller
    """The host."""
    participant_id: str
    """The participant to remove."""
    ban: bool
    """Whether they are banned too: a user by the user id, a guest by the address."""
    reason: str | None
    """The text for the participant; None without one."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the leave of the participant, and the ban.

        Raises `Refused` like `target_of`, and with `ban` like `_key_of` and `_ban`.
        """
        seat = target_of(room, self.caller, self.participant_id, now)
        removed = _remove(room, seat, self.reason, now)
        if not self.ban:
            return Decision(removed, None)
        who = _key_of(seat.participant.user_id, seat.address_key)
        return Decision([*removed, *_ban(room, who, seat.participant.display_name, self.reason, now)], None)


class BanPerson(Command[None], frozen=True):
    """Ban a user, or somebody who is or was in the room, and remove them if they are there."""

    caller: Caller
    """The host."""
    user_id: str | None
    """The user to ban; None for a participant."""
    participant_id: str | None
    """The participant to ban; None for a user."""
    past: PastStay | None
    """The stored participant; None for a user, and when there was none."""
    reason: str | None
    """The text for the list of bans, and for somebody who is removed; None without one."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the ban, and the leave of somebody who is in the room or waits.

        Raises `Refused`: like `check_host`; 404 `participant_not_found` for somebody who was never in the room; 403
        `wrong_user` for hosts who name themselves; and like `_key_of` and `_ban`.
        """
        check_host(room, self.caller, now)
        seat = room.place_of(self.participant_id) or room.place_of_user(self.user_id)
        if seat is not None:
            name, user_id, address_key = seat.participant.display_name, seat.participant.user_id, seat.address_key
        elif self.past is not None:
            person = self.past.participant
            name, user_id, address_key = person.display_name, person.user_id, self.past.address_key
        elif self.user_id is not None:
            name, user_id, address_key = display_name(None, LONGEST_DISPLAY_NAME, self.user_id), self.user_id, None
        else:
            raise Refused(PARTICIPANT_NOT_FOUND)
        seat = seat or room.place_of_user(user_id)  # on a later stay
        own = room.place_of_caller(self.caller)
        if (user_id is not None and user_id == user_of(room, self.caller)) or (own is not None and seat is own):
            raise Refused(WRONG_USER, "Hosts cannot do this to themselves")
        banned = _ban(room, _key_of(user_id, address_key), name, self.reason, now)
        return Decision([*(_remove(room, seat, self.reason, now) if seat is not None else []), *banned], None)


class ListBans(Command[list[Ban]], frozen=True):
    """List the bans, sorted by `ban_order`."""

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[list[Ban]]:
        """Return all bans that hold.

        Raises `Refused` for anybody but hosts (403).
        """
        check_host(room, self.caller, now)
        return Decision([], sorted((ban for ban in room.bans.values() if not _is_over(ban, now)), key=ban_order))


class Unban(Command[None], frozen=True):
    """Lift the ban of a user, or a ban by its id."""

    caller: Caller
    """Who sends the command."""
    user_id: str | None
    """The id of the banned user; None to name the ban."""
    ban_id: str | None = None
    """The id of the ban; None to name the user."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Lift the ban.

        Raises `Refused` for anybody but hosts (403), for the caller's own ban (403), and where there is no ban (404).
        """
        check_host(room, self.caller, now)
        own = user_of(room, self.caller)
        found = [(who, ban) for who, ban in room.bans.items() if self._is_meant(ban) and not _is_over(ban, now)]
        if own is not None and own in (self.user_id, *(ban.user_id for _, ban in found)):
            raise Refused(WRONG_USER, "Nobody lifts their own ban")
        if not found:
            raise Refused(PARTICIPANT_NOT_FOUND, "This user is not banned" if self.user_id else "There is no such ban")
        return Decision([Unbanned(who, ban.id) for who, ban in found], None)

    def _is_meant(self, ban: Ban) -> bool:
        return ban.user_id == self.user_id if self.user_id is not None else ban.id == self.ban_id


def ban_order(ban: Ban) -> str:
    """Return the text by which bans are sorted, and which serves as the cursor of a page: the user id, or the id."""
    return ban.user_id if ban.user_id is not None else ban.id


def _is_over(ban: Ban, now: Moment) -> bool:
    return ban.expires_at is not None and ban.expires_at <= now.stamp


def _key_of(user_id: str | None, address_key: str | None) -> PersonKey:
    """Return by what somebody is banned.

    Raises `Refused` (400 `address_unknown`) for a guest whose address is not known.
    """
    if user_id is not None:
        return PersonKey("user", user_id)
    if address_key is None:
        raise Refused(ADDRESS_UNKNOWN)
    return PersonKey("address", address_key)


def _ban(room: Room, who: PersonKey, name: str, reason: str | None, now: Moment) -> list[Change]:
    """Return the new ban, which keeps the id of an earlier one, and the end of those that are over.

    Raises `Refused` (507 `storage_low`) for one more person when the room has `MOST_BANS`.
    """
    over = [
        Unbanned(key, ban.id)
        for key, ban in room.bans.items()
        if key.kind == "address" and key != who and _is_over(ban, now)
    ]
    before = room.bans.get(who)
    if before is None and len(room.bans) - len(over) >= MOST_BANS:
        raise Refused(STORAGE_LOW, "The room can store no more bans; lift one first")
    is_user = who.kind == "user"
    ban = Ban(
        id=before.id if before is not None else now.new_id(""),
        user_id=who.value if is_user else None,
        display_name=name,
        reason=reason,
        banned_at=now.stamp,
        expires_at=None if is_user else stamp(now.wall + room.rules.address_ban),
    )
    return [*over, Banned(who, ban)]


def _remove(room: Room, seat: Seat, reason: str | None, now: Moment) -> Sequence[Change]:
    """Take a seat away, or deny somebody in the queue a seat."""
    return (
        seats.deny(room, seat, now) if seat.waits_for else [seats.leave(seat, now, "removed", removal=Removal(reason))]
    )
