"""What a room forgets of somebody: messages, bans, and the host of a room that has ended; nothing of others."""

from roomd.rooms import commands
from roomd.rooms.event_log import log_events
from tests.support.rooms import HOST, act, do, meeting


def test_messages_are_forgotten() -> None:
    """Those that are named; their bytes stay counted, since others are counted behind them."""
    a_room = meeting()
    for text in ("one", "two", "three"):
        do(a_room, commands.SendMessage("p2", 3, text, None))
    size, first = a_room.message_bytes, a_room.messages[0].id
    do(a_room, commands.Forget(messages=frozenset([first, "another"])))
    assert [message.text for message in a_room.messages] == ["two", "three"]
    assert (a_room.message_bytes, a_room.deleted_bytes) == (size, 0)


def test_bans_are_forgotten() -> None:
    """Whoever they kept out may come back; another ban stays."""
    a_room = meeting()
    do(a_room, commands.BanPerson(HOST, user_id="eve", participant_id=None, past=None, reason=None))
    (ban,) = a_room.bans.values()
    assert act(a_room, commands.Forget(bans=frozenset(["another"]))) == []
    do(a_room, commands.Forget(bans=frozenset([ban.id])))
    assert not a_room.bans


def test_a_host_is_forgotten_after_the_end() -> None:
    """While the room goes on its host stays; another host is not touched."""
    a_room = meeting()
    forget = commands.Forget(host_id=HOST.user_id, pseudonym="forgotten-1")
    assert act(a_room, forget) == []
    do(a_room, commands.EndRoom(HOST))
    assert act(a_room, commands.Forget(host_id="bob", pseudonym="x")) == []
    before = a_room.checkpoint()
    assert log_events(before, act(a_room, forget), "2026-03-03T10:00:09.000Z") == [], "nothing happens after the end"
    assert a_room.settings.host_id == "forgotten-1"
