"""What is found in the JSON of a log event without parsing it."""

import msgspec
import pytest

from roomd.protocol import logged
from roomd.protocol.log_events import AnyLogEvent, LoggedMessageSent, RoomReference
from roomd.protocol.objects import Message

TYPES = [str(kind.__struct_config__.tag) for kind in AnyLogEvent.__args__]


@pytest.mark.parametrize("kind", TYPES)
def test_what_stands_where(kind: str) -> None:
    """The id, the position and the type are found, whichever type it is, and the id of the room behind them."""
    event = (
        f'{{"id":"3f9c1e0a7b5d2c4e6f8091a2","position":"6a1f0c9d2b7e00000000002a","type":"{kind}",'
        '"at":"2026-03-03T10:36:00.000Z","room":{"id":"01jp5w3x","code":"abc-def-ghi"}}'
    ).encode()
    assert logged.id_of(event) == "3f9c1e0a7b5d2c4e6f8091a2"
    assert event[logged.POSITION] == b"6a1f0c9d2b7e00000000002a"
    assert event[logged.LOG_ID] == b"6a1f0c9d2b7e"
    assert (logged.number_of(event), logged.type_of(event), logged.room_id_of(event)) == (42, kind, "01jp5w3x")


def test_what_people_wrote_is_not_taken_for_it() -> None:
    """A text, or metadata, may look like the keys that are looked for: it stands behind them."""
    fake = {"id": "0", "room": {"id": "another"}, "position": "0", "type": "room-deleted"}
    room = RoomReference(id="01jp5w3x", code="abc-def-ghi", metadata=fake)
    message = Message(
        id="m1", participant_id="p1", display_name="Jane", text=msgspec.json.encode(fake).decode(),
        sent_at="2026-03-03T10:36:00.000Z", to=None,
    )  # fmt: skip
    event = LoggedMessageSent(at=message.sent_at, room=room, message=message)
    whole = b'{"id":"%b","position":"%b",%b' % (b"0" * 24, b"1" * 24, msgspec.json.encode(event)[1:])
    assert msgspec.json.decode(whole, type=LoggedMessageSent).message.text == message.text
    assert (logged.id_of(whole), logged.type_of(whole), logged.room_id_of(whole)) == ("0" * 24, "message-sent", room.id)
