"""Every command of a room with arguments of every kind, and the states that a room can be in."""

from collections.abc import Callable, Iterator
from typing import Any

from roomd.rooms import commands
from roomd.rooms.model import Caller, PastStay
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Settings
from tests.support.rooms import (
    ADMIN,
    BOB,
    CAROL,
    COHOST,
    DAY,
    GUEST,
    HIDDEN,
    HOST,
    bob,
    do,
    full,
    join,
    lobby,
    meeting,
    new_room,
    resume,
    someone,
)

CLOCK = 20.0
"""When everything is asked: after the drops of `meeting` and `_away`, before their holds run out."""


def _after(a_room: Room, *moves: Command[object]) -> Room:
    for move in moves:
        do(a_room, move, 10)
    return a_room


STATES: dict[str, Callable[[], Room]] = {
    "empty": new_room,
    "resumed": lambda: _after(meeting(), resume("p2", "t-p2", 3, then="next")),
    "full, with a held guest": lambda: _after(
        meeting(), commands.Leave("p1", 1), join(CAROL, "p1"), commands.UpdateRoom(HOST, Settings(is_locked=True))
    ),
    "a meeting": meeting,
    "locked": lambda: _after(meeting(), commands.UpdateRoom(HOST, Settings(is_locked=True))),
    "no guests": lambda: _after(meeting(), commands.UpdateRoom(HOST, Settings(allow_guest_access=False))),
    "a waiting room": lobby,
    "full, with a queue": full,
    "a waiting room, and full": lambda: _after(
        lobby(), commands.Admit(HOST, "p4"), commands.UpdateRoom(HOST, Settings(max_participants=2))
    ),
    "somebody who waits is away": lambda: _after(full(), commands.Drop("p2", 3, 0)),
    "a place became a held seat": lambda: _after(full(), commands.Drop("p2", 3, 0), commands.Leave("p9", 9)),
    "banned": lambda: _after(meeting(), commands.RemoveParticipant(HOST, "p2", ban=True, reason=None)),
    "messages": lambda: _after(
        meeting(),
        commands.SendMessage("p2", 3, "a word to all", None),
        commands.SendMessage("p2", 3, "a word to one", "p1", client_id="c1"),
    ),
    "more seats taken than there are": lambda: _after(
        meeting(), commands.UpdateRoom(HOST, Settings(max_participants=2))
    ),
    "with an end": lambda: _after(
        meeting(), commands.UpdateRoom(HOST, Settings(expires_at="2026-03-03T10:00:15Z", end_when_empty=60))
    ),
    "a hidden admin": lambda: _after(meeting(), join(HIDDEN, "p8")),
    "ended": lambda: _after(meeting(), join(HIDDEN, "p8"), commands.EndRoom(HOST)),
}

CALLERS = (HOST, ADMIN, BOB, GUEST, CAROL, Caller("p3", 4), Caller("p9", 9), Caller(user_id="dave"), COHOST, HIDDEN)
SEATS = (("p1", 1), ("p2", 3), ("p3", 4), ("p4", 5), ("p9", 9), ("p2", 99), ("nobody", 1), ("", 0), ("p8", 8))
SETTINGS = (
    Settings(),
    Settings(name="x"),
    Settings(history_visible="none"),
    Settings(history_visible="some"),
    Settings(name=""),
    Settings(max_participants=2),
    Settings(max_participants=9),
    Settings(waiting_room=True, is_locked=True),
    Settings(waiting_room=False, is_locked=False, allow_guest_access=True),
    Settings(allow_guest_access=False),
    Settings(host_id="bob"),
    Settings(host_id="bob", waiting_room=False, max_participants=9),
    Settings(host_id="\x00"),
    Settings(metadata={"course": 1}),
    Settings(metadata={"course": "x" * 5000}),
    Settings(expires_at="2026-03-03T11:00:00+01:00"),
    Settings(expires_at="2026-03-03T12:00:00+01:00", end_when_empty=5),
    Settings(expires_at="never", end_when_empty=0),
    Settings(end_when_empty=-1),
)

VARIANTS: dict[type[Command[object]], Callable[[], Iterator[Command[object]]]] = {
    commands.Join: lambda: (
        one
        for who in CALLERS
        for wait in (False, True)
        for one in (join(who, "new", wait=wait), join(who, "p2", wait=wait).repeated())
    ),
    commands.Resume: lambda: (
        resume(key, token, 50, who) for key, _ in SEATS for token in (f"t-{key}", "used") for who in (Caller(), BOB)
    ),
    commands.Attach: lambda: (commands.Attach(*seat) for seat in SEATS),
    commands.Renew: lambda: (commands.Renew(who) for who in (*CALLERS, Caller("p2", 3, "bob", token_exp=DAY))),
    commands.Confirm: lambda: (commands.Confirm(*seat) for seat in SEATS),
    commands.Leave: lambda: (commands.Leave(*seat) for seat in SEATS),
    commands.Drop: lambda: (
        commands.Drop(*seat, age, hold)
        for seat in (*SEATS, ("", 3), ("", 999))
        for age in (0, 2.5, 100)
        for hold in (0, 5, 100)
    ),
    commands.DropNodes: lambda: (
        commands.DropNodes(frozenset(nodes), are_gone=are_gone) for nodes in ((), (0,)) for are_gone in (False, True)
    ),
    commands.Expire: lambda: iter([commands.Expire()]),
    commands.UpdateState: lambda: (
        commands.UpdateState(*seat, state)
        for seat in SEATS
        for state in ({"muted": True}, {"muted": None}, {"k": "x" * 2000})
    ),
    commands.SendMessage: lambda: (
        commands.SendMessage(*seat, "hello", to, client_id=client_id, service=service)
        for seat in SEATS
        for to in (None, "p1", "p3", "nobody")
        for client_id in (None, "c1")
        for service in (None, *(CALLERS if seat == ("", 0) else ()))
    ),
    commands.ListParticipants: lambda: (
        commands.ListParticipants(who, history) for who in CALLERS for history in (False, True)
    ),
    commands.ListMessages: lambda: (commands.ListMessages(who) for who in CALLERS),
    commands.GetRoom: lambda: (commands.GetRoom(who) for who in CALLERS),
    commands.CheckHost: lambda: (commands.CheckHost(who) for who in CALLERS),
    commands.UpdateRoom: lambda: (commands.UpdateRoom(who, settings) for who in CALLERS for settings in SETTINGS),
    commands.EndRoom: lambda: (commands.EndRoom(who) for who in CALLERS),
    commands.EndDue: lambda: iter([commands.EndDue()]),
    commands.DeleteOld: lambda: (commands.DeleteOld(before) for before in ("", "2999")),
    commands.DeleteMessages: lambda: iter([commands.DeleteMessages("m", 7)]),
    commands.Forget: lambda: (
        # Messages are in the database alone, most of them: their deletion need not change the room.
        commands.Forget(bans=frozenset(ids), host_id=host_id, pseudonym="forgotten")
        for ids in ((), ("b-eve",))
        for host_id in (None, HOST.user_id)
    ),
    commands.DeleteRoom: lambda: (commands.DeleteRoom(who) for who in CALLERS),
    commands.RemoveParticipant: lambda: (
        commands.RemoveParticipant(who, key, ban, "spam")
        for who in CALLERS
        for key, _ in SEATS
        for ban in (False, True)
    ),
    commands.BanPerson: lambda: (
        commands.BanPerson(who, user_id, key, past, "spam")
        for who in CALLERS
        for user_id, key, past in (
            ("bob", None, None),
            ("alice", None, None),
            ("zoe", None, None),
            (None, "p2", None),
            (None, "p3", None),
            (None, "gone", None),
            (None, "gone", PastStay(bob("gone"), None)),
            (None, "gone", PastStay(someone("gone"), "a")),
            (None, "gone", PastStay(someone("gone"), None)),
        )
    ),
    commands.CheckHost: lambda: (commands.CheckHost(who) for who in CALLERS),
    commands.CheckMute: lambda: (commands.CheckMute(who, key) for who in CALLERS for key, _ in SEATS),
    commands.ListWaiting: lambda: (commands.ListWaiting(who) for who in CALLERS),
    commands.ListBans: lambda: (commands.ListBans(who) for who in CALLERS),
    commands.Unban: lambda: (commands.Unban(who, user) for who in CALLERS for user in ("bob", "alice", "nobody")),
    commands.Admit: lambda: (commands.Admit(who, key) for who in CALLERS for key in (None, "p2", "p3", "p4", "nobody")),
    commands.Deny: lambda: (commands.Deny(who, key) for who in CALLERS for key, _ in SEATS),
}


def operations(above: type[Any]) -> set[type[Any]]:
    """The commands that derive from one and have none that derive from them."""
    below = above.__subclasses__()
    return set().union(*map(operations, below)) if below else {above}
