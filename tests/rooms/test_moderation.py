"""What hosts do to others: removals, bans and mutes."""

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.rooms import commands
from roomd.rooms.changes import Banned, Removal, Unbanned
from roomd.rooms.model import Caller, PersonKey
from roomd.rooms.room import Command
from tests.support.rooms import (
    ADMIN,
    BOB,
    GUEST,
    HOST,
    act,
    at,
    changed,
    do,
    full,
    join,
    lobby,
    meeting,
    new_room,
    refused,
    resume,
    standing,
    told,
    user_ban,
)

REMOVALS: dict[str, tuple[str, bool, str, str | None]] = {
    "a user": ("p2", False, "connected", None),
    "a user, with a ban": ("p2", True, "connected", "bob"),
    "a guest whose seat is held": ("p3", False, "held", None),
}


@pytest.mark.parametrize(("key", "ban", "was", "banned"), REMOVALS.values(), ids=REMOVALS.keys())
def test_a_removal(key: str, ban: bool, was: str, banned: str | None) -> None:
    """Section 8: seat and tokens are gone, held seats too; a ban holds for the user id."""
    a_room = meeting()
    assert standing(a_room, key) == was
    before, changes = a_room.checkpoint(), act(a_room, commands.RemoveParticipant(HOST, key, ban, "spam"), 20)
    assert told(changes) == {key: Removal("spam")}
    [left] = changed(a_room, before, changes).left
    assert (left.id, left.left_at, standing(a_room, key)) == (key, at(20 if was == "connected" else 5).stamp, "gone")
    bans = [msgspec.structs.replace(user_ban(banned, "Bob", "spam", 20), id="ban")] if banned else []
    assert changes[1:] == [Banned(PersonKey("user", "bob"), ban) for ban in bans]
    assert do(a_room, commands.ListBans(HOST)) == bans
    assert refused(a_room, resume(key, f"t-{key}", 9)) == errors.SEAT_EXPIRED
    assert refused(a_room, commands.RemoveParticipant(HOST, key, ban, None)) == errors.PARTICIPANT_NOT_FOUND
    assert do(a_room, join(GUEST, "p7")).participant.id == "p7", "a guest may try again"
    do(a_room, commands.Leave("p7", 4))
    if banned:
        assert refused(a_room, join(BOB, "p8")) == errors.BANNED
    else:
        assert do(a_room, join(BOB, "p8")).participant.user_id == "bob"


def test_a_ban_is_checked_again_at_a_resume() -> None:
    """Section 5: a banned user who shows an old token is told why it serves no more; a guest's token still does."""
    a_room = meeting()
    do(a_room, commands.RemoveParticipant(HOST, "p2", ban=True, reason=None))
    for key, token in (("p2", "t-p2"), ("p3", "t-p3"), ("p9", "x")):
        assert refused(a_room, resume(key, token, 9, BOB)) == errors.BANNED
    assert do(a_room, resume("p3", "t-p3", 9)).participant.id == "p3"


def test_whoever_waits_can_be_banned() -> None:
    """Section 8: a ban from the queue is one like any other, and the waiter is told `denied`."""
    for a_room in (lobby(), full()):
        changes = act(a_room, commands.RemoveParticipant(ADMIN, "p2", ban=True, reason="spam"))
        assert told(changes) == {"p2": errors.DENIED}
        assert refused(a_room, join(BOB, "x", wait=True)) == errors.BANNED


def test_unban() -> None:
    """Section 8: the ban holds until then; bans are listed by user id; who is not banned is 404."""
    a_room = new_room(banned=["dave", "carol"], is_locked=True)
    assert [ban.user_id for ban in do(a_room, commands.ListBans(ADMIN))] == ["carol", "dave"]
    assert act(a_room, commands.Unban(HOST, "carol")) == [Unbanned(PersonKey("user", "carol"), "b-carol")]
    assert refused(a_room, join(Caller(user_id="carol"), "x")) == errors.ROOM_LOCKED
    for user_id in ("carol", "bob"):
        with pytest.raises(Refused) as caught:
            a_room.decide(commands.Unban(HOST, user_id), at(1))
        assert (caught.value.kind, caught.value.message) == (errors.PARTICIPANT_NOT_FOUND, "This user is not banned")
    do(a_room, commands.EndRoom(HOST))
    assert [ban.user_id for ban in do(a_room, commands.ListBans(HOST))] == ["dave"], "after the end too"


MUTES: list[tuple[Caller, str, ErrorKind | None]] = [
    (HOST, "p2", None),
    (ADMIN, "p1", None),
    (HOST, "p9", errors.PARTICIPANT_NOT_FOUND),
    (HOST, "p1", errors.WRONG_USER),
    (Caller("p2", 3, "bob", is_admin=True), "p2", errors.WRONG_USER),
]


@pytest.mark.parametrize(("who", "key", "kind"), MUTES)
def test_hosts_act_on_anyone_but_themselves(who: Caller, key: str, kind: ErrorKind | None) -> None:
    """Section 8: nobody can remove or mute themselves: 403 `wrong_user`; an admin may mute and remove the host."""
    both: list[Command[None]] = [
        commands.CheckMute(who, key),
        commands.RemoveParticipant(who, key, ban=True, reason=None),
    ]
    for command in both:
        a_room = meeting()
        if kind is not None:
            assert refused(a_room, command) == kind
        else:
            assert (standing(a_room, key), bool(act(a_room, command))) == (
                "connected",
                isinstance(command, commands.RemoveParticipant),
            )


def test_the_host_can_be_banned_by_an_admin() -> None:
    """Sections 4 and 8: a banned host keeps the host's rights, but no way in until somebody else lifts the ban."""
    a_room = meeting()
    do(a_room, commands.RemoveParticipant(ADMIN, "p1", ban=True, reason=None))
    assert refused(a_room, join(HOST, "p7")) == errors.BANNED
    assert refused(a_room, commands.Unban(HOST, "alice")) == errors.WRONG_USER
    do(a_room, commands.Unban(ADMIN, "alice"))
    assert do(a_room, join(HOST, "p7")).participant.is_host


def test_whether_somebody_is_a_host() -> None:
    """The host, co-hosts and admins may follow the room's events; others may not."""
    a_room = meeting()
    assert [a_room.decide(commands.CheckHost(who), at(1)).answer for who in (HOST, ADMIN)] == [a_room.settings.id] * 2
    assert refused(a_room, commands.CheckHost(BOB)) == errors.NOT_HOST
