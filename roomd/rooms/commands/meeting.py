"""What participants do and see in a meeting: state, messages, and lists."""

from collections.abc import Mapping

import msgspec

from roomd.protocol.errors import BAD_FRAME, PARTICIPANT_NOT_FOUND, Refused
from roomd.protocol.objects import Message, Scalar
from roomd.rooms.answers import Participants, Reader
from roomd.rooms.changes import MessageSent, SeatChanged
from roomd.rooms.model import Caller, Moment
from roomd.rooms.rights import check_host, claimed_seat, member_or_host
from roomd.rooms.room import Command, Decision, Room, look_the_same

MOST_STATE_KEYS = 16
MOST_STATE_BYTES = 1024
"""Bounds of a participant's state (docs/protocol.md, section 8)."""


class UpdateState(Command[None], frozen=True):
    """Change the participant's own state, key by key; None takes a key away."""

    participant_id: str
    claim: int
    state: Mapping[str, Scalar | None]

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Refuse a state that gets too large (400 `bad_frame`)."""
        seat = claimed_seat(room, self.participant_id, self.claim)
        merged = {**seat.participant.state, **self.state}
        state = {key: value for key, value in merged.items() if value is not None}
        if len(state) > MOST_STATE_KEYS or len(msgspec.json.encode(state)) > MOST_STATE_BYTES:
            raise Refused(
                BAD_FRAME, f"{BAD_FRAME.message}: state may have {MOST_STATE_KEYS} keys, {MOST_STATE_BYTES} bytes"
            )
        participant = msgspec.structs.replace(seat.participant, state=state)
        if look_the_same(participant, seat.participant):
            return Decision([], None)
        return Decision([SeatChanged(msgspec.structs.replace(seat, participant=participant))], None)


class SendMessage(Command[None], frozen=True):
    """Send a message to everyone or to one participant."""

    participant_id: str
    claim: int
    text: str
    to: str | None
    """The participant it is for; None for everyone."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Refuse an addressee without a seat (404 `participant_not_found`)."""
        sender = claimed_seat(room, self.participant_id, self.claim).participant
        addressee = room.seats.get(self.to) if self.to is not None else None
        if self.to is not None and addressee is None:
            raise Refused(PARTICIPANT_NOT_FOUND)
        message = Message(
            id=now.new_id(room.last_id),
            participant_id=sender.id,
            display_name=sender.display_name,
            text=self.text,
            sent_at=now.stamp,
            to=self.to,
        )
        to_user_id = addressee.participant.user_id if addressee is not None else None
        return Decision([MessageSent(message, sender.user_id, to_user_id)], None)


class ListParticipants(Command[Participants], frozen=True):
    """See who is in the room; with `history`, check that the caller may see who was."""

    caller: Caller
    history: bool

    def decide(self, room: Room, now: Moment) -> Decision[Participants]:
        """Refuse who is not in the room (400 `not_in_room`), and history for anyone but hosts (403 `not_host`)."""
        if self.history:
            check_host(room, self.caller)
        else:
            member_or_host(room, self.caller)
        return Decision([], Participants(room.settings.id, room.participants()))


class ListMessages(Command[Reader], frozen=True):
    """Check that the caller may read the messages, and answer with who reads."""

    caller: Caller

    def decide(self, room: Room, now: Moment) -> Decision[Reader]:
        """Refuse who is not in the room (400 `not_in_room`)."""
        seat = member_or_host(room, self.caller)
        participant_id = seat.participant.id if seat is not None else None
        return Decision([], Reader(room.settings.id, participant_id, self.caller.user_id))
