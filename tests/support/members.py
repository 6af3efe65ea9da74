"""Clients as the rooms see them: members who are told of a room, and askers who get an answer."""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from roomd.engine.ports import SeatLost
from roomd.protocol.codec import encode, error_reply
from roomd.protocol.errors import Close, Refused
from roomd.protocol.events import Event, Removed
from roomd.protocol.objects import Participant
from roomd.protocol.replies import OkReply, ParticipantReply, Reply, RequestId, WaitingReply
from roomd.rooms.model import WaitsFor

A = TypeVar("A")


def encode_line(frame: Reply | Event) -> bytes:
    """Write a frame as one line of JSON: what the hub is given to encode with."""
    return encode(frame) + b"\n"


class FakeClient:
    """A client: what was written to it, and how it was closed."""

    def __init__(self) -> None:
        self.is_open = True
        """While it is not, nothing reaches it."""
        self.is_behind = False
        """Much waits unread."""
        self.is_full = False
        """So much waits that events are left out."""
        self.place: FakeMember | None = None
        """Where it sits, or waits."""
        self.last_place: FakeMember | None = None
        """Where it sat or waited last, whether it still does or not."""
        self.answers: list[str] = []
        """`ok`, `waiting` or the code of the error, of everything it asked."""
        self.lost: list[str] = []
        """Participant ids of the places that it lost."""
        self.closes: list[int] = []
        """Close codes it was sent."""
        self._written: list[bytes] = []

    def write(self, frames: bytes) -> None:
        """Take whole frames."""
        assert frames.endswith(b"\n"), "whole frames, and at least one"
        if self.is_open:
            self._written += frames.splitlines()

    def close(self, code: int) -> None:
        """Begin to close the connection."""
        self.closes.append(code)
        self.is_open = False

    def take(self) -> list[bytes]:
        """Take the frames written since the last call."""
        written, self._written = self._written, []
        return written

    def frames(self) -> list[dict[str, Any]]:
        """Take the frames written since the last call, decoded."""
        return [msgspec.json.decode(frame) for frame in self.take()]


class FakeMember:
    """One sitting of a client, or one wait for a seat: tells its client what the gateway would, and keeps a record."""

    participant: Participant

    def __init__(self, client: FakeClient, claim: int, request_id: RequestId | None = None) -> None:
        self._client = client
        self._request_id = request_id
        self.claim = claim
        self.record = ""
        """The calls, a letter each: `q`ueued, `s`eated, `r`efused, `e`vents, refreshed with a s`t`ate, seat `l`ost."""
        self.has_missed = False
        """Something was left out since the last state, or place in the queue."""

    @property
    def is_open(self) -> bool:
        return self._client.is_open

    @property
    def is_behind(self) -> bool:
        return self._client.is_behind or self._client.is_full or self.has_missed

    def seated(self, participant: Participant, state: bytes) -> None:
        self._take(participant, "s", "ok")
        reply = ParticipantReply(id=self._request_id, participant=participant, resume_token="token")
        self._client.write(encode_line(reply) + state)
        self.has_missed = False

    def refreshed(self, state: bytes) -> None:
        self.record += "t"
        self.has_missed = self._client.is_full
        if not self.has_missed:
            self._client.write(state)

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        first = not self.record
        self._take(participant, "q", "waiting")
        reply = WaitingReply(
            id=self._request_id if first else None,
            participant_id=participant.id,
            position=position,
            reason=reason,
            resume_token="token" if first else None,
        )
        self.has_missed = self._client.is_full and not first
        if not self.has_missed:
            self._client.write(encode_line(reply))

    def refused(self, refused: Refused) -> None:
        if self.record:
            self._lose()
        self.record += "r"
        self._client.answers.append(refused.kind.code)
        self._client.write(encode_line(error_reply(refused, self._request_id)))

    def seat_lost(self, lost: SeatLost) -> None:
        self.record += "l"
        if not self._lose():
            return  # its client has taken another place
        if lost.cause == "removed":
            self._client.write(encode_line(Removed(reason=lost.reason)))
            self._client.close(Close.REMOVED)
        elif lost.cause == "taken_over":
            self._client.close(Close.TAKEN_OVER)
        elif lost.cause == "dropped":
            self._client.close(Close.CONNECTION_LIMIT)

    def events(self, frames: bytes, *, are_last: bool = False) -> None:
        self.record += "e"
        is_left_out = self._client.is_full and not are_last
        self.has_missed = self.has_missed or is_left_out
        if not is_left_out:
            self._client.write(frames)

    def check(self) -> None:
        """Check the order of the calls: an answer first, then events, and nothing once the place is lost."""
        assert re.fullmatch("q*r|(q+|q*s[et]*)l?", self.record), self.record

    def _take(self, participant: Participant, call: str, answer: str) -> None:
        self.record += call
        self.participant = participant
        self._client.place = self._client.last_place = self
        self._client.answers.append(answer)

    def _lose(self) -> bool:
        if self._client.place is not self:
            return False
        self._client.place = None
        self._client.lost.append(self.participant.id)
        return True


def _ok(_: object) -> Reply:
    return OkReply()


class FakeAsker(Generic[A]):
    """Somebody who asks something of a room: keeps the answer, and tells a client where there is one."""

    def __init__(self, client: FakeClient | None = None, reply: Callable[[A], Reply] = _ok) -> None:
        self._client = client or FakeClient()
        self._reply = reply

    def answered(self, answer: A) -> None:
        self._client.answers.append("ok")
        self._client.write(encode_line(self._reply(answer)))

    def refused(self, refused: Refused) -> None:
        self._client.answers.append(refused.kind.code)
        self._client.write(encode_line(error_reply(refused, None)))
