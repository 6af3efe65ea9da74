"""Co-hosts, metadata, and messages of the service: what a token says, and what hosts do from outside a room."""

import msgspec
import pytest
from msgspec import UNSET

from roomd.protocol import errors
from roomd.rooms import commands
from roomd.rooms.changes import MessageSent
from roomd.rooms.model import Caller, StoredRoom
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Rules, Settings
from tests.support.rooms import (
    ADMIN,
    BOB,
    COHOST,
    DAY,
    GUEST,
    HIDDEN,
    HOST,
    act,
    at,
    changed,
    do,
    join,
    lobby,
    meeting,
    new_room,
    queue,
    refused,
    resume,
    standing,
)

GRACE = 100.0


@pytest.mark.parametrize(
    ("who", "role"), [(HOST, "host"), (COHOST, "cohost"), (ADMIN, "cohost"), (BOB, "member"), (GUEST, "member")]
)
def test_the_role_of_a_newcomer(who: Caller, role: str) -> None:
    """`role` says who has host rights, and by what; `isHost` stays what it is."""
    seated = do(new_room(), join(who, "p1")).participant
    assert (seated.role, seated.is_host, seated.metadata) == (role, role == "host", who.metadata)


def test_a_cohost_passes_the_lock_and_the_waiting_room() -> None:
    """Like a host; but only the host of the room takes the place of a held guest."""
    a_room = lobby()
    do(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)))
    do(a_room, join(COHOST, "p6"))
    assert standing(a_room, "p6") == "connected"
    do(a_room, commands.Admit(COHOST, "p2"))
    assert queue(a_room) == {"p3": "waiting_room", "p4": "waiting_room"}


HOSTS_ONLY: list[Command[object]] = [
    commands.ListBans(Caller("p6", 9)),
    commands.ListWaiting(Caller("p6", 9)),
    commands.UpdateRoom(Caller("p6", 9), Settings(name="x")),
    commands.SendMessage("", 0, "hello", None, service=Caller("p6", 9)),
    commands.EndRoom(Caller("p6", 9)),
]


@pytest.mark.parametrize("command", HOSTS_ONLY, ids=lambda command: type(command).__name__)
def test_the_rights_of_a_cohost_end_with_the_token(command: Command[object]) -> None:
    """A seat that was resumed without a token carries them until `auth.grace` after the token's `exp`."""
    a_room = Room(StoredRoom(new_room().settings), Rules(30.0, 1000, GRACE))
    do(a_room, join(msgspec.structs.replace(COHOST, token_exp=DAY + 50), "p6"))
    do(a_room, resume("p6", "t-p6", 9))
    a_room.decide(command, at(149.9, "z"))
    assert refused(a_room, command, 150) == errors.TOKEN_EXPIRED


def test_a_newer_token_replaces_rights_and_metadata() -> None:
    """Others get `updated`; the same again, or a resume without a token, changes nothing that they see."""
    a_room = meeting()
    fresh = Caller("p2", 3, "bob", "Bob", is_cohost=True, metadata={"n": 1})
    for who, role, metadata in (
        (fresh, "cohost", {"n": 1}),
        (msgspec.structs.replace(fresh, metadata={"n": True}), "cohost", {"n": True}),
        (BOB, "member", UNSET),
    ):
        before = a_room.checkpoint()
        [one] = changed(a_room, before, act(a_room, commands.Renew(who))).updated
        assert (one.role, repr(one.metadata)) == (role, repr(metadata)), "1 and true are different"
        assert act(a_room, commands.Renew(who)) == []
    before = a_room.checkpoint()
    [back] = changed(a_room, before, act(a_room, resume("p2", "t-p2", 9, fresh))).updated
    assert back.role == "cohost"
    before = a_room.checkpoint()
    assert changed(a_room, before, act(a_room, resume("p2", "next", 10))).updated == []


# Messages of the service.


def said(a_room: Room, who: Caller, text: str = "hello", to: str | None = None, client_id: str | None = None) -> object:
    """Send a message from outside, and return the change."""
    changes = act(a_room, commands.SendMessage("", 0, text, to, client_id, who))
    return changes[0] if changes else None


@pytest.mark.parametrize("who", [HOST, ADMIN, COHOST], ids=["host", "admin", "co-host"])
def test_a_message_of_the_service(who: Caller) -> None:
    """It has no participant, and the name of the token; the sender need not be in the room."""
    a_room = meeting()
    match said(a_room, who):
        case MessageSent(message=message, user_id=user_id, to_user_id=None):
            assert (message.participant_id, message.display_name, user_id) == (None, who.display_name, who.user_id)
            assert a_room.messages == (message,)
        case other:
            pytest.fail(f"{other}")
    match said(a_room, who, "psst", to="p2"):
        case MessageSent(message=message, to_user_id="bob"):
            assert (message.to, len(a_room.messages)) == ("p2", 1)
        case other:
            pytest.fail(f"{other}")


def test_a_message_of_the_service_is_kept_once() -> None:
    """One client id for all messages of the service; a participant may have used the same."""
    a_room = meeting()
    do(a_room, commands.SendMessage("p2", 3, "mine", None, client_id="c1"))
    assert said(a_room, HOST, client_id="c1") is not None
    assert said(a_room, ADMIN, "another", client_id="c1") is None


def test_messages_of_the_service_that_are_refused() -> None:
    """Anybody but hosts, an addressee without a seat, and a room that has ended."""
    a_room = meeting()
    for who, to, kind in (
        (BOB, None, errors.NOT_HOST),
        (Caller(), None, errors.NOT_HOST),
        (HOST, "nobody", errors.PARTICIPANT_NOT_FOUND),
    ):
        assert refused(a_room, commands.SendMessage("", 0, "hello", to, service=who)) == kind
    do(a_room, commands.EndRoom(HOST))
    assert refused(a_room, commands.SendMessage("", 0, "hello", None, service=HOST)) == errors.ROOM_INACTIVE


def test_the_queue_from_outside() -> None:
    """Hosts list who waits, without a seat; nobody else does."""
    a_room = lobby()
    for who in (HOST, ADMIN, COHOST, HIDDEN):
        assert [one.participant_id for one in do(a_room, commands.ListWaiting(who))] == ["p2", "p3", "p4"]
    assert refused(a_room, commands.ListWaiting(BOB)) == errors.NOT_HOST
