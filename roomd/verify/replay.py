"""What a backend makes of the event log: who came when, left when and why, and who is there, or waits, now."""

from collections.abc import Iterable, Sequence
from typing import Any

LogEvent = dict[str, Any]
"""An event of the log as JSON (docs/protocol.md, section 10)."""


class OutOfPlace(ValueError):  # noqa: N818 - a finding, not a mistake of the caller
    """An event does not follow from those before it."""


class Replay:
    """Replays the log, and checks on the way that each event follows from those before it."""

    def __init__(self) -> None:
        self.stays: dict[str, dict[str, Any]] = {}
        """Everybody who got a seat, as last told, by participant id."""
        self.reasons: dict[str, str] = {}
        """Why those left who did."""
        self.waiting: set[str] = set()
        """The participant ids of those who wait."""
        self.rooms: dict[str, dict[str, Any]] = {}
        """The rooms that are not deleted, as last told, by id."""
        self.seen: set[str] = set()
        """The ids of the events."""
        self._present: dict[str, dict[str, dict[str, Any]]] = {}  # by room

    def read(self, events: Iterable[LogEvent]) -> None:
        """Take the next events, which must be new. Raises `OutOfPlace`."""
        for event in events:
            _check(event["id"] not in self.seen, event, "it comes twice")
            self.seen.add(event["id"])
            self._take(event)

    def present(self, room_id: str) -> Sequence[dict[str, Any]]:
        """Return who has a seat."""
        return list(self._present.get(room_id, {}).values())

    def _take(self, event: LogEvent) -> None:
        person: dict[str, Any] = event.get("participant", {})
        kind, room = event["type"], event["room"]
        key = person.get("id", "")
        match kind:
            case "room-created" | "room-updated" | "room-ended":
                _check((room["id"] in self.rooms) == (kind != "room-created"), event, "there is such a room, or none")
                seen = [one for one in self.present(room["id"]) if "isHidden" not in one]
                _check(room["participantCount"] == len(seen), event, f"{len(seen)} have a seat")
                _check(room["isActive"] == (kind != "room-ended"), event, "isActive is wrong")
                self.rooms[room["id"]] = room
            case "room-deleted":
                _check(not self.rooms.pop(room["id"], {"isActive": True})["isActive"], event, "it has not ended")
            case "waiting-started":
                _check(key not in self.waiting | self.stays.keys(), event, "the participant was there")
                self.waiting.add(key)
            case "waiting-ended":
                _check(key in self.waiting, event, "nobody waited")
                self.waiting.remove(key)
            case "participant-joined":
                _check(key not in self.waiting | self.stays.keys(), event, "the participant was there")
                _check(person["leftAt"] is None, event, "it has left")
                self._keep(key, person)
            case "participant-dropped" | "participant-returned":
                is_drop = kind == "participant-dropped"
                before = self._stay(event, key)
                _check(before["isActive"] == is_drop != person["isActive"], event, "the connection was as before")
                self._keep(key, person)
            case "participant-left":
                before = self._stay(event, key)
                _check(person["leftAt"] >= person["joinedAt"] == before["joinedAt"], event, "its times are wrong")
                _check(event["duration"] >= 0, event, "its duration is negative")
                self._keep(key, person)
                self.reasons[key] = event["reason"]

    def _stay(self, event: LogEvent, key: str) -> dict[str, Any]:
        _check(key in self.stays and self.stays[key]["leftAt"] is None, event, "the participant has no seat")
        return self.stays[key]

    def _keep(self, key: str, person: dict[str, Any]) -> None:
        self.stays[key] = person
        present = self._present.setdefault(person["roomId"], {})
        if person["leftAt"] is None:
            present[key] = person
        else:
            present.pop(key, None)


def _check(holds: bool, event: LogEvent, why: str) -> None:
    """Raise `OutOfPlace` where something does not hold."""
    if not holds:
        subject: dict[str, Any] = event.get("participant") or event["room"]
        raise OutOfPlace(f"{event['type']} {subject['id']}: {why}")
