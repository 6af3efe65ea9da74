"""What a backend makes of the event log."""

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change, SeatChanged
from roomd.rooms.room import Room


class Attendance:
    """What a backend keeps that reads the log: who came when, left when and why, and who is there, or waits, now.

    It checks on the way that each event follows from those before it.
    """

    def __init__(self) -> None:
        self.stays: dict[str, dict[str, Any]] = {}
        self.reasons: dict[str, str] = {}
        self.waiting: set[str] = set()
        self.rooms: dict[str, dict[str, Any]] = {}
        self.seen: set[str] = set()

    def read(self, events: Sequence[dict[str, Any]]) -> None:
        """Take the next events, which must be new."""
        for event in events:
            assert event["id"] not in self.seen, "once each"
            self.seen.add(event["id"])
            self._take(event)

    def present(self, room_id: str) -> list[dict[str, Any]]:
        """Return who has a seat."""
        return [one for one in self.stays.values() if one["roomId"] == room_id and one["leftAt"] is None]

    def _take(self, event: dict[str, Any]) -> None:
        kind, person = event["type"], event.get("participant", {})
        key = person.get("id", "")
        match kind:
            case "room-created" | "room-updated" | "room-ended":
                assert (event["room"]["id"] in self.rooms) == (kind != "room-created")
                seen = [one for one in self.present(event["room"]["id"]) if "isHidden" not in one]
                assert event["room"]["participantCount"] == len(seen)
                assert event["room"]["isActive"] == (kind != "room-ended")
                self.rooms[event["room"]["id"]] = event["room"]
            case "room-deleted":
                assert not self.rooms.pop(event["room"]["id"])["isActive"], "it has ended"
            case "waiting-started":
                assert key not in self.waiting | self.stays.keys()
                self.waiting.add(key)
            case "waiting-ended":
                self.waiting.remove(key)
            case "participant-joined":
                assert key not in self.waiting | self.stays.keys()
                assert person["leftAt"] is None
                self.stays[key] = person
            case "participant-dropped" | "participant-returned":
                assert self.stays[key]["isActive"] == (kind == "participant-dropped") != person["isActive"]
                self.stays[key] = person
            case "participant-left":
                assert self.stays[key]["leftAt"] is None
                assert person["leftAt"] >= person["joinedAt"] == self.stays[key]["joinedAt"]
                assert event["duration"] >= 0
                self.stays[key] = person
                self.reasons[key] = event["reason"]


class Follower:
    """A backend that reads the log of one room beside it, and compares the two after each batch."""

    def __init__(self) -> None:
        self.attendance = Attendance()
        self._numbers = itertools.count()

    def follow(self, events: Sequence[LogEvent], room: Room) -> None:
        """Read the events of a batch. Then the log has who is in the room, and who waits."""
        wire = msgspec.to_builtins(events)
        self.attendance.read([{**event, "id": str(next(self._numbers))} for event in wire])
        here = {one["id"]: (one["joinedAt"], one["isActive"]) for one in self.attendance.present(room.settings.id)}
        places = {**room.seats, **room.hidden}
        assert here == {key: (one.participant.joined_at, one.claim is not None) for key, one in places.items()}
        assert self.attendance.waiting == room.queue.keys()

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
        stays = {key: (one["joinedAt"], one["leftAt"]) for key, one in self.attendance.stays.items()}
        assert stays == {one.id: (one.joined_at, one.left_at) for one in people}
        assert self.attendance.reasons.keys() == {one.id for one in people if one.left_at is not None}
