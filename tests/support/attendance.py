"""A backend that follows the log of one room, and compares it with the room."""

import itertools
from collections.abc import Sequence

import msgspec

from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change, SeatChanged
from roomd.rooms.room import Room
from roomd.verify.replay import Replay


class Follower:
    """A backend that reads the log of one room beside it, and compares the two after each batch."""

    def __init__(self) -> None:
        self.replay = Replay()
        self._numbers = itertools.count()

    def follow(self, events: Sequence[LogEvent], room: Room) -> None:
        """Read the events of a batch. Then the log has who is in the room, and who waits."""
        wire = msgspec.to_builtins(events)
        self.replay.read([{**event, "id": str(next(self._numbers))} for event in wire])
        here = {one["id"]: (one["joinedAt"], one["isActive"]) for one in self.replay.present(room.settings.id)}
        places = {**room.seats, **room.hidden}
        assert here == {key: (one.participant.joined_at, one.claim is not None) for key, one in places.items()}
        assert self.replay.waiting == room.queue.keys()

    def check_stays(self, changes: Sequence[Change]) -> None:
        """Compare all stays with the changes of the room: who, from when, and to when. Who left does not come back."""
        left: set[str] = set()
        for change in changes:
            if isinstance(change, SeatChanged):
                assert change.seat.participant.id not in left
                if change.seat.participant.left_at is not None:
                    left.add(change.seat.participant.id)
        seats = {one.seat.participant.id: one.seat for one in changes if isinstance(one, SeatChanged)}
        people = [seat.participant for seat in seats.values() if seat.waits_for is None]
        stays = {key: (one["joinedAt"], one["leftAt"]) for key, one in self.replay.stays.items()}
        assert stays == {one.id: (one.joined_at, one.left_at) for one in people}
        assert self.replay.reasons.keys() == {one.id for one in people if one.left_at is not None}
