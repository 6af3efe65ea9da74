"""Commands of participants: change their state, send messages, list people and messages."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from roomd.protocol.errors import BAD_FRAME, PARTICIPANT_NOT_FOUND, STORAGE_LOW, Refused
from roomd.protocol.objects import Message, Scalar
from roomd.protocol.timestamps import next_stamp, stamp
from roomd.rooms.answers import Participants, Reader
from roomd.rooms.changes import MessagesDeleted, MessageSent, SeatChanged
from roomd.rooms.history import reader
from roomd.rooms.model import Caller, Moment
from roomd.rooms.rights import check_active, check_host, claimed_seat, member_or_host, user_of
from roomd.rooms.room import MESSAGE_BYTES, Command, Decision, Room, is_same_to_clients
from roomd.rooms.user_ids import sees_user_ids, without_user_ids

MOST_STATE_KEYS = 16
"""The number of keys that a participant's state may have (docs/protocol.md, section 8)."""
MOST_STATE_BYTES = 1024
"""The bytes of JSON that a participant's state may have (docs/protocol.md, section 8)."""
NOW = "@now"
"""The value of a state that is kept as the server's time (docs/protocol.md, section 8)."""
_AHEAD = 86_400.0
"""The seconds by which a time in a state may be ahead of the clock. The server has kept no time that is later."""


class UpdateState(Command[None], frozen=True):
    """Change some keys of the participant's own state."""

    is_repeatable: ClassVar[bool] = True

    participant_id: str
    """The participant who sends the command."""
    claim: int
    """The claim of their sitting."""
    state: Mapping[str, Scalar | None]
    """The new values by key; None deletes a key, `NOW` is kept as the time. Other keys keep their values."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the participant with the new state; no change if clients would see no difference.

        Raises `Refused` (400 `bad_frame`) for a state that would be too large.
        """
        seat = claimed_seat(room, self.participant_id, self.claim)
        given = {key: _time_for(room, key, now) if value == NOW else value for key, value in self.state.items()}
        merged = {**seat.participant.state, **given}
        state = {key: value for key, value in merged.items() if value is not None}
        if len(state) > MOST_STATE_KEYS or len(msgspec.json.encode(state)) > MOST_STATE_BYTES:
            raise Refused(
                BAD_FRAME, f"{BAD_FRAME.message}: state may have {MOST_STATE_KEYS} keys, {MOST_STATE_BYTES} bytes"
            )
        participant = msgspec.structs.replace(seat.participant, state=state)
        if is_same_to_clients(participant, seat.participant):
            return Decision([], None)
        return Decision([SeatChanged(msgspec.structs.replace(seat, participant=participant))], None)


class SendMessage(Command[None], frozen=True):
    """Send a message to everyone or to one participant, as a participant or, without a seat, from the service."""

    participant_id: str
    """The participant who sends the message; empty for the service."""
    claim: int
    """The claim of their sitting; 0 for the service."""
    text: str
    """The text: 1 to 2000 characters, checked by the codec."""
    to: str | None
    """The participant id of the addressee; None for everyone."""
    client_id: str | None = None
    """The id that the client gave the message: 1 to 64 characters, checked by the codec; None without one."""
    service: Caller | None = None
    """The host who sends the message from the service; None for a participant."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the message with a new id; no change if its sender has sent one with this client id before.

        Raises `Refused`: 404 `participant_not_found` for an addressee without a seat, 507 `storage_low` when the
        messages of the room would have more bytes than they may; for the service also like `check_host`, and 400
        `room_inactive`.
        """
        if self.service is None:
            sender = claimed_seat(room, self.participant_id, self.claim).participant
            name, user_id = sender.display_name, sender.user_id
        else:
            check_host(room, self.service, now)
            check_active(room)
            name, user_id = self.service.display_name, self.service.user_id
        if self.client_id is not None and (self.participant_id, self.client_id) in room.sent:
            return Decision([], None)
        addressee = room.seats.get(self.to) if self.to is not None else None
        if self.to is not None and addressee is None:
            raise Refused(PARTICIPANT_NOT_FOUND)
        total_bytes = room.message_bytes + self.bytes_stored()
        if total_bytes - room.deleted_bytes > room.rules.room_bytes:
            raise Refused(STORAGE_LOW, "The room can store no more messages")
        message = Message(
            id=now.new_id(room.last_id),
            participant_id=self.participant_id or None,
            display_name=name,
            text=self.text,
            sent_at=now.stamp,
            to=self.to,
            client_id=self.client_id,
        )
        to_user_id = addressee.participant.user_id if addressee is not None else None
        return Decision([MessageSent(message, user_id, to_user_id, total_bytes)], None)

    def repeated(self) -> "SendMessage | None":
        """Return the command if it has a client id, by which a second one is found to be the same."""
        return self if self.client_id is not None else None

    def bytes_stored(self) -> int:
        """Return about how many bytes the message has in the database."""
        return MESSAGE_BYTES + len(self.text.encode())


class DeleteMessages(Command[None], frozen=True):
    """Delete the oldest messages of the room, because they were kept for long enough."""

    is_repeatable: ClassVar[bool] = True

    through: str
    """The id of the last one to delete."""
    total_bytes: int
    """The bytes that the messages of the room had up to that one."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return that they are deleted."""
        return Decision([MessagesDeleted(self.through, max(self.total_bytes, room.deleted_bytes))], None)


class ListParticipants(Command[Participants], frozen=True):
    """List who is in the room; with `history`, only check that the caller may see who was in it."""

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""
    history: bool
    """Whether the caller asks for everyone who was ever in the room."""

    def decide(self, room: Room, now: Moment) -> Decision[Participants]:
        """Return everyone who has a seat.

        Raises `Refused`: 403 `not_host` for history to anybody but hosts, 400 `not_in_room` to others who have no seat.
        """
        if self.history:
            check_host(room, self.caller, now)
        else:
            member_or_host(room, self.caller, now)
        people = room.participants()
        if not sees_user_ids(room.rules, user_of(room, self.caller)):
            people = without_user_ids(people)
        return Decision([], Participants(room.settings.id, people))


class ListMessages(Command[Reader], frozen=True):
    """Check that the caller may read the messages. The answer is the reader."""

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[Reader]:
        """Return which messages the caller may read.

        Raises `Refused` (400 `not_in_room`) for a caller without a seat who is no host.
        """
        return Decision([], reader(room, self.caller, now))


def _time_for(room: Room, key: str, now: Moment) -> str:
    """Return the stamp that `NOW` becomes under this key of a state.

    It is later than all that is shown under the key, so hands stay in the order in which they were raised: within one
    millisecond, and after the clock was set back.
    """
    latest = stamp(now.wall + _AHEAD)
    times = [now.stamp]
    for seat in room.seats.values():
        shown = seat.participant.state.get(key)
        if isinstance(shown, str) and now.stamp <= shown <= latest and (later := next_stamp(shown)) is not None:
            times.append(later)
    return max(times)
