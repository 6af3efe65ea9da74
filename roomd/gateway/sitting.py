"""A client's seat in one room, or its wait for one, and what it is told there."""

import logging
from typing import TYPE_CHECKING

from roomd.auth.resume_tokens import ResumeToken
from roomd.engine.ports import SeatLost
from roomd.gateway.outbox import encode_frame
from roomd.protocol.errors import Close, Refused
from roomd.protocol.events import Removed
from roomd.protocol.objects import Participant
from roomd.protocol.replies import ParticipantReply, RequestId, WaitingReply
from roomd.rooms.commands import Resume, SeatCommand
from roomd.rooms.model import WaitsFor

if TYPE_CHECKING:  # it builds sittings, so it imports this module
    from roomd.gateway.client import Client

log = logging.getLogger("roomd.gateway.sitting")


class Sitting:
    """A client's seat in one room, or its wait for one. It implements `ports.Member`.

    `command` is the join or the resume, `to` the `id` of the request; `secret` is that of the new resume token.
    """

    __slots__ = (
        "_client",
        "_has_missed",
        "_has_waited",
        "_is_return",
        "_request_id",
        "_results",
        "_secret",
        "claim",
        "code",
        "participant",
    )  # fmt: skip

    participant: Participant
    """The client's participant, as the client was last told. The first answer sets it."""

    def __init__(self, client: "Client", code: str, command: SeatCommand, to: RequestId | None, secret: str) -> None:
        is_resume, counters = isinstance(command, Resume), client.services.counters
        self._client = client
        self._is_return = is_resume or command.caller.claim is not None  # it has had a resume token of this place
        self._results = counters.resumes if is_resume else counters.joins
        self._request_id = to
        self._secret = secret
        self._has_waited = False
        self._has_missed = False  # events since the last `room-state`, or the current place in the queue
        self.code = code
        """The room's code."""
        self.claim = command.claim
        """The claim of this sitting."""

    @property
    def is_open(self) -> bool:
        """Whether the client can still be sent anything."""
        return not self._client.outbox.is_closed

    @property
    def is_behind(self) -> bool:
        """Whether the outbox is more than half full, or a new `room-state` must come first."""
        return self._has_missed or self._client.outbox.is_half_full()

    def seated(self, participant: Participant, state: bytes) -> None:
        """Keep the seat, and send the reply followed by `state`, the frame of the room's state."""
        self.participant = participant
        if not self._has_waited:
            self._results["seated"] += 1
        is_return = self._is_return
        self._leave(self._client.session.sit(self), "joined")
        reply = ParticipantReply(id=self._request_id, participant=participant, resume_token=self._resume_token())
        self._client.outbox.send(encode_frame(reply), state)
        self._has_missed = False
        if is_return:
            self._client.charge_return(len(state))

    def refreshed(self, state: bytes) -> None:
        """Send the room's state in place of the events that the client has missed, or later if the outbox is full."""
        self._has_missed = not self._client.outbox.offer(state)

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        """Send the place in the queue: the first time as the reply, later as an event that waits for a full outbox."""
        first, self._has_waited = not self._has_waited, True
        if first:
            self.participant = participant
            self._results["waiting"] += 1
            self._leave(self._client.session.wait(self), "waits")
        frame = WaitingReply(
            id=self._request_id if first else None,
            participant_id=participant.id,
            position=position,
            reason=reason,
            resume_token=self._resume_token() if first else None,
        )
        if first:
            self._client.send(frame)
        else:
            self._has_missed = not self._client.outbox.offer(encode_frame(frame))

    def refused(self, refused: Refused) -> None:
        """Send the error. A place in the queue is lost."""
        if self._has_waited:
            self._client.session.release(self.participant.id)
        else:
            self._results[refused.kind.code] += 1
        self._client.refuse(refused, self._request_id)

    def seat_lost(self, lost: SeatLost) -> None:
        """Forget the seat or the place. Close the connection, unless the room has ended.

        A later sitting of the client is not changed.
        """
        client = self._client
        if self not in client.session.places:
            return
        client.session.release(self.participant.id)
        if lost.cause == "removed":
            client.send(Removed(reason=lost.reason))
            client.outbox.close(Close.REMOVED, "removed by the host")
        elif lost.cause == "taken_over":
            client.outbox.close(Close.TAKEN_OVER, "taken over by another connection")
        elif lost.cause == "dropped":
            client.outbox.close(Close.CONNECTION_LIMIT, "the room was out of reach")

    def events(self, frames: bytes, *, are_last: bool = False) -> None:
        """Send events of the room, as whole frames, or leave them out if the outbox is full."""
        if are_last:
            self._client.outbox.send(frames)
        elif not self._client.outbox.offer(frames):
            self._has_missed = True

    def catch_up(self) -> None:
        """Have the room send what the client has missed, if that is anything."""
        if self._has_missed:
            log.info("fell behind", {"connection": self._client.number, "participant": self.participant.id})
            self._client.services.rooms.refresh(self.code, self.participant.id, self)

    def _resume_token(self) -> str:
        return str(ResumeToken(self.code, self.participant.id, self._secret))

    def _leave(self, others: list["Sitting"], event: str) -> None:
        """Leave the client's other places for this one, and log it as `event`."""
        client, participant = self._client, self.participant
        client.lines.seated(event, participant)
        client.usage.has_seat(self.code, participant.user_id, participant.id, client.now(), is_return=self._is_return)
        rooms = client.services.rooms
        for other in others:
            rooms.unsubscribe(other.code, other.participant.id, other)
            rooms.leave(other.code, other.participant.id, other.claim, "took-another-room")
        if client.has_ended:  # the connection ended while the batch was running
            rooms.drop(self.code, participant.id, self.claim, client.clean_hold)
        elif self._is_return:
            client.expect_arrival(self)
            self._is_return = False
