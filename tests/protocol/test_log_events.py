"""Log events on the wire."""

import msgspec

from roomd.protocol.codec import encode
from roomd.protocol.events import LogEvents
from roomd.protocol.log_events import LoggedParticipantLeft, RoomReference
from tests.support.people import JANE

LEFT = LoggedParticipantLeft(
    "2026-03-03T10:38:00.000Z", RoomReference(id="01jp", code="abc-def-ghi"), JANE, "expired", 62.5
)


def test_an_event_as_it_goes_out() -> None:
    """Section 10: all that an event has, with its id and its position."""
    event = msgspec.structs.replace(LEFT, id="01ju", position="p")
    assert msgspec.json.decode(encode(LogEvents(events=[event], next="p"))) == {
        "type": "events",
        "events": [
            {
                "id": "01ju",
                "position": "p",
                "at": "2026-03-03T10:38:00.000Z",
                "type": "participant-left",
                "room": {"id": "01jp", "code": "abc-def-ghi", "externalId": None, "metadata": {}},
                "participant": msgspec.to_builtins(JANE),
                "reason": "expired",
                "duration": 62.5,
            }
        ],
        "next": "p",
    }


def test_an_event_as_it_is_stored() -> None:
    """The id and the position are added when it is read."""
    assert msgspec.to_builtins(LEFT).keys() == {"type", "at", "room", "participant", "reason", "duration"}
