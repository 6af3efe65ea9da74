"""What the clients of a run asked, were answered and were shown. The audit reads nothing else.

All times are seconds of one monotonic clock, that of the process that runs the clients. So what one client was answered
before another one asked happened before it, whatever the clocks of the servers say.
"""

from typing import Any, Literal, NamedTuple

import msgspec

OK = "ok"
"""The outcome of a request that was carried out."""

Kind = Literal["join", "resume", "leave", "say", "look", "end"]
"""What a client asked for. `look` is `get-room`."""


class Operation(msgspec.Struct, kw_only=True):
    """One request. Without an outcome it may or may not have been carried out, at any time since it was sent."""

    kind: Kind
    room: str
    """The room's code."""
    person: str
    """Who asks: the user id, or the name of a guest, which a guest changes for each `join`."""
    connection: int
    """The number of the connection."""
    is_guest: bool = False
    sent: float
    answered: float | None = None
    """None: there was no answer."""
    outcome: str | None = None
    """`ok`, the code of the refusal, or None without an answer. After an `internal_error`, too, nobody knows more."""
    seat: str | None = None
    """The participant id that the request is about; of a `join`, the one that was given."""
    given: str | None = None
    """Of a `resume`, the participant id that was given."""
    client_id: str = ""
    """Of a `say`, the `clientId` of the message."""
    count: int | None = None
    """Of a `look`, the `participantCount`."""
    is_full: bool = False
    """Of a `look`, whether the room was said to be full."""

    @property
    def is_done(self) -> bool:
        """Whether it was acknowledged."""
        return self.outcome == OK

    @property
    def until(self) -> float:
        """The time of the answer; infinite without one."""
        return float("inf") if self.answered is None else self.answered


class Person(NamedTuple):
    """Somebody with a seat, as a frame shows them."""

    id: str
    """The participant id."""
    who: str
    """The guest's name, else the user id; where user ids are hidden, the participant id."""
    is_active: bool


class Text(NamedTuple):
    """A message."""

    id: str
    sender: str
    """The participant id."""
    client_id: str


class Seated(NamedTuple):
    """The reply that gives this connection a seat. A `State` follows."""

    at: float
    seat: str


class State(NamedTuple):
    """A `room-state`."""

    at: float
    epoch: str
    seq: int
    people: tuple[Person, ...]
    seats: int
    """The `participantCount` in it."""
    texts: tuple[Text, ...]


class Changes(NamedTuple):
    """A `participants-changed`."""

    at: float
    seq: int
    joined: tuple[Person, ...]
    updated: tuple[Person, ...]
    left: tuple[Person, ...]


class Settings(NamedTuple):
    """A `room-updated`."""

    at: float
    seq: int


class Told(NamedTuple):
    """A `message`."""

    at: float
    text: Text


class Ended(NamedTuple):
    """A `room-ended`."""

    at: float
    seq: int


class Gone(NamedTuple):
    """The connection has no seat any more: it left, or it ended."""

    at: float


Entry = Seated | State | Changes | Settings | Told | Ended | Gone


class Track(msgspec.Struct):
    """What one connection was shown, in order. A connection is used for one room."""

    connection: int
    person: str
    """Who opened it."""
    room: str
    node: str
    """The URL that it was opened to."""
    entries: list[Entry] = []


class LogRecord(msgspec.Struct):
    """What one reader of the event log was given, in order: the events of the rooms of this run."""

    node: str
    """The URL that it reads from."""
    events: list[tuple[float, dict[str, Any]]] = []
    """When each came, and the event as JSON."""


class Listing(NamedTuple):
    """`list-participants` of an admin between two states of a client that were the same: the same state."""

    epoch: str
    seq: int
    people: dict[str, bool]
    """Whether each is active, by participant id."""


class Final(msgspec.Struct):
    """What the server says of a room after its end."""

    texts: list[Text] = []
    """Every message, as `list-messages` has them."""
    stays: dict[str, str | None] = {}
    """The `leftAt` of everybody who had a seat, by participant id."""


class History(msgspec.Struct):
    """Everything that was recorded."""

    limit: int
    """The seats of each room."""
    hold: float
    """Seconds for which a user's seat is held at least."""
    operations: list[Operation] = []
    tracks: list[Track] = []
    logs: list[LogRecord] = []
    """Those of readers that were given everything; none where the log could not be read."""
    listings: dict[str, list[Listing]] = {}
    """By room."""
    finals: dict[str, Final] = {}
    """By room; without those that could not be read."""
    unsettled: list[str] = []
    """What did not come true at the end of the run although the server had time for it, a line each."""
