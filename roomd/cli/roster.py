"""Who is in the room, kept from what the daemon says, and every change of it in words."""

from collections.abc import Iterator

from roomd.cli.output import plain, seat_state
from roomd.frames import Event, Participant, ParticipantsChanged, Room, RoomEnded, RoomState, RoomUpdated


class Roster:
    """The room as one participant sees it. Feed it every event; it answers with lines for people."""

    def __init__(self) -> None:
        self.me: Participant | None = None
        """The participant this client is; set it before the first event."""
        self.ended = False
        self._room: Room | None = None
        self._people: dict[str, Participant] = {}

    def apply(self, event: Event) -> list[str]:
        """Take an event in, and say what it changed."""
        match event:
            case RoomState():
                return self._replace(event)
            case ParticipantsChanged():
                return list(self._change(event))
            case RoomUpdated():
                before, self._room = self._room, event.room
                return list(_settings(before, event.room)) if before else []
            case RoomEnded():
                self.ended = True
                return ["The room has ended."]
            case _:
                return []

    def who(self) -> list[str]:
        """List everyone in the room, in the order they came."""
        return [f"  {self._call(one)}" for one in sorted(self._people.values(), key=lambda one: one.joined_at)]

    def _replace(self, state: RoomState) -> list[str]:
        self._room = state.room
        self._people = {one.id: one for one in state.participants}
        seats = f"{state.room.participant_count} of {state.room.max_participants} seats taken"
        locked = ", locked" if state.room.is_locked else ""
        return [f"{plain(state.room.name)} ({state.room.code}), {seats}{locked}:", *self.who()]

    def _change(self, event: ParticipantsChanged) -> Iterator[str]:
        for one in event.joined:
            self._people[one.id] = one
            yield f"+ {self._call(one)} joined"
        for one in event.updated:
            before = self._people.get(one.id)
            self._people[one.id] = one
            if not self._is_me(one) and (before is None or before.is_active != one.is_active):
                name = plain(one.display_name)
                yield f"~ {name} is back" if one.is_active else f"~ {name} dropped, the seat is held"
        for one in event.left:
            self._people.pop(one.id, None)
            if not self._is_me(one):
                yield f"- {plain(one.display_name)} left"

    def _call(self, one: Participant) -> str:
        marks = ["you"] if self._is_me(one) else []
        marks += ["host"] if one.is_host else []
        marks += ["guest"] if one.user_id is None else []
        marks += [] if one.is_active else [seat_state(one)]
        return plain(one.display_name) + (f" ({', '.join(marks)})" if marks else "")

    def _is_me(self, one: Participant) -> bool:
        return self.me is not None and self.me.id == one.id


def _settings(before: Room, after: Room) -> Iterator[str]:
    """Say which settings changed."""
    if before.is_locked != after.is_locked:
        yield f"* The room is {'locked' if after.is_locked else 'open again'}"
    if before.name != after.name:
        yield f"* The room is now called {plain(after.name)}"
    if before.max_participants != after.max_participants:
        yield f"* The room now has {after.max_participants} seats"
    if before.allow_guest_access != after.allow_guest_access:
        yield f"* Guests are {'allowed' if after.allow_guest_access else 'no longer let in'}"
