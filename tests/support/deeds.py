"""What participants and hosts of the state machine in tests/rooms choose from."""

import math
from collections.abc import Callable

import msgspec

from roomd.protocol.objects import Participant, Scalar
from roomd.protocol.timestamps import stamp
from roomd.rooms import commands
from roomd.rooms.model import Caller, Moment, PastStay, Seat
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import NEVER, Settings
from tests.support.viewers import PLAIN, Token, caller

ADDRESSES = ("home", "school", "school", None)
USERS = (None, "bob", "root", "carol", "alice", None, "root")
UNSEEN = Token(is_admin=True, is_hidden=True)
TOKENS: dict[str | None, tuple[Token, ...]] = {
    None: (PLAIN,),
    "alice": (PLAIN, Token(metadata={"n": 1})),
    "bob": (PLAIN, Token(is_cohost=True), Token(metadata={"n": 1})),
    "carol": (PLAIN, Token(is_cohost=True, metadata={"n": True}), Token(metadata={"n": 1})),
    "root": (UNSEEN, Token(is_admin=True), UNSEEN, PLAIN),
}
"""What the tokens of each user may say."""
ASKERS = (caller("alice"), caller("root", token=UNSEEN), caller("alice"), caller("carol", token=Token(is_cohost=True)),
          caller("bob"))  # fmt: skip
"""Who asks for something from outside the room; a client with a seat may ask instead, by its seat alone."""
OFTEN = {
    "join": 6, "join_again": 1, "resume": 3, "leave": 2, "drop": 2, "say": 2, "present": 2, "update": 5, "moderate": 7,
    "confirm": 1, "renew": 2, "fall_behind": 1, "read_again": 2, "pass_time": 3, "crash": 1, "end": 2, "delete_some": 1,
}  # fmt: skip
STATES: tuple[dict[str, Scalar | None], ...] = ({"muted": True}, {"muted": None}, {"hand": 1, "muted": None}, {})
CHOICES = (
    Settings(waiting_room=True), Settings(waiting_room=False), Settings(max_participants=2), Settings(is_locked=True),
    Settings(is_locked=False, allow_guest_access=True), Settings(max_participants=3), Settings(max_participants=5),
    Settings(allow_guest_access=False), Settings(is_locked=False, allow_guest_access=True, waiting_room=True),
    Settings(max_participants=3, waiting_room=False, is_locked=True), Settings(is_locked=False, max_participants=4),
    Settings(host_id="bob"), Settings(host_id="alice"), Settings(host_id="root"), Settings(host_id="dave"),
    Settings(metadata={"n": 1}), Settings(metadata={"n": True}), Settings(metadata={}), Settings(name="Weekly"),
    Settings(end_when_empty=2), Settings(end_when_empty=0), Settings(expires_at=NEVER), Settings(waiting_room=True),
    Settings(waiting_room=True, is_locked=False, max_participants=5, host_id="alice"), Settings(waiting_room=True),
)  # fmt: skip
LAST = (1.0, 3.0, 60.0)
"""The seconds after which a room may be set to end."""

Choice = Callable[[Caller, str, Room], Command[object]]
"""Makes the command of somebody who asks for something, about a participant, of a room."""

MODERATION: tuple[Choice, ...] = (
    lambda who, key, _: commands.Admit(who, key),
    lambda who, _, __: commands.Admit(who, None),
    lambda who, key, _: commands.RemoveParticipant(who, key, ban=True, reason=None),
    lambda who, key, _: commands.Deny(who, key),
    lambda who, _, __: commands.Unban(who, "bob"),
    lambda who, key, _: commands.RemoveParticipant(who, key, ban=False, reason="spam"),
    lambda who, _, __: commands.Unban(who, "carol"),
    lambda who, key, _: commands.BanPerson(who, None, key, None, "spam"),
    lambda who, _, __: commands.BanPerson(who, "bob", None, None, None),
    lambda who, _, __: commands.BanPerson(who, "root", None, None, "spam"),
    lambda who, _, __: commands.BanPerson(who, "dave", None, None, None),
    lambda who, _, room: commands.BanPerson(who, None, "gone", gone(room), None),
    lambda who, _, room: commands.Unban(who, None, next((ban.id for ban in room.bans.values()), "none")),
    lambda who, _, __: commands.Unban(who, "root"),
    lambda who, key, _: commands.SendMessage("", 0, "from outside", key, "c1", service=who),
    lambda who, _, __: commands.SendMessage("", 0, "from outside", None, service=who),
    lambda who, _, room: commands.UpdateRoom(who, Settings(host_id=next(iter(room.seats), "dave"))),
    lambda who, key, _: commands.CheckMute(who, key),
    lambda who, _, __: commands.ListWaiting(who),
    lambda who, _, __: commands.ListBans(who),
    lambda who, _, __: commands.ListParticipants(who, history=False),
    lambda who, _, __: commands.ListParticipants(who, history=True),
    lambda who, _, __: commands.ListMessages(who),
    lambda who, _, __: commands.CheckHost(who),
    lambda who, _, __: commands.GetRoom(who),
)


def gone(room: Room) -> PastStay:
    """Return the stay of somebody who has left: a user whom nobody knows, or a guest of the school."""
    is_user = len(room.bans) % 2 == 0
    past = Participant(
        id="gone", room_id=room.settings.id, user_id="erin" if is_user else None, guest_name=None if is_user else "Gus",
        is_active=False, is_host=False, joined_at="", left_at="", display_name="Erin" if is_user else "Gus",
    )  # fmt: skip
    return PastStay(past, None if is_user else "school")


def forgotten(room: Room) -> commands.Forget:
    """Forget somebody whose are the oldest message and the first ban that the room has, and who was its host."""
    messages = frozenset(message.id for message in room.messages[:1])
    bans = frozenset(ban.id for ban in list(room.bans.values())[:1])
    return commands.Forget(messages, bans, room.settings.host_id, "forgotten")


def in_future(choice: Settings, number: int, now: Moment) -> Settings:
    """Return a choice with a time of the end, in some cases."""
    after = LAST[number % len(LAST)]
    return choice if number % 4 else msgspec.structs.replace(choice, expires_at=stamp(now.wall + after))


def held_anew(seat: Seat, now: Moment, hold: float) -> Seat:
    """Return a seat, or a place in the queue, as a new process finds it."""
    participant = msgspec.structs.replace(seat.participant, is_active=False)
    return msgspec.structs.replace(
        seat,
        participant=participant,
        claim=None,
        dropped_at=seat.dropped_at or now.stamp,
        held_until=now.clock + hold,
        is_held_since_start=True,
        connection=None,
        address_key=seat.address_key if participant.user_id is None else None,
        here_since=-math.inf,
    )
