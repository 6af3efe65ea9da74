"""Log events as they are stored and sent: JSON, whose first keys tell what a reader must know of an event.

    {"id":"<24 characters>","position":"<24 characters>","type":"<type>", … "room":{"id":"<room id>", …

`position` is the id of the log and the number of the event, each as 12 hexadecimal digits. An event is stored as it is
sent, so one who reads many copies bytes and parses nothing: what is here finds a value by where it stands.
"""

from roomd.protocol.log_events import AnyLogEvent

POSITION = slice(45, 69)
"""Where the position stands."""
LOG_ID = slice(45, 57)
"""Where the id of the log stands, the first half of the position."""
TYPE = slice(79, 79 + max(len(str(kind.__struct_config__.tag)) for kind in AnyLogEvent.__args__))
"""Where the longest type stands. A shorter one ends with a quotation mark before."""
_NUMBER = slice(57, 69)
_ROOM = b'"room":{"id":"'


def number_of(event: bytes) -> int:
    """Return the number of an event in the log: those of later events are higher."""
    return int(event[_NUMBER], 16)


def id_of(event: bytes) -> str:
    """Return the id of an event."""
    return event[7:31].decode()


def type_of(event: bytes) -> str:
    """Return the type of an event, like `participant-joined`."""
    return event[TYPE].partition(b'"')[0].decode()


def room_id_of(event: bytes) -> str:
    """Return the id of the room that an event is about."""
    start = event.index(_ROOM) + len(_ROOM)
    return event[start : event.index(b'"', start)].decode()
