"""The rules about what one connection is shown: `limit`, `versions`, `state`, `order`, `messages`, `doubles`.

Each of these conditions is necessary: docs/protocol.md, section 6, promises it for every connection, whatever happened.
"""

from collections import Counter
from collections.abc import Sequence

from roomd.verify.facts import RoomFacts, differences
from roomd.verify.heard import Heard
from roomd.verify.records import Changes, Ended, Gone, Person, Seated, Settings, State, Told, Track
from roomd.verify.report import Report


class View:
    """Replays what one connection was shown of its room."""

    def __init__(self, track: Track, facts: RoomFacts, report: Report) -> None:
        self.people: dict[str, bool] | None = None
        """Whether each participant is active, by id; None while the connection has no state."""
        self.seat: str | None = None
        """The own participant id."""
        self._name = f"{track.person} on connection {track.connection}"
        self._facts = facts
        self._report = report
        self._epoch = ""
        self._seq = 0
        self._is_asked = False
        self.heard = Heard(facts, f"{facts.code}: {self._name}", report)
        """The messages."""

    def take(self, entry: object) -> None:
        """Take the next entry of the track."""
        match entry:
            case Seated():
                self._is_asked, self.seat = True, entry.seat
            case State():
                self._take_state(entry)
            case Changes():
                self._take_changes(entry)
            case Settings():
                self._follows(entry.seq)
            case Told():
                self.heard.tell(entry.text)
            case Ended():
                self._facts.seen_end = min(self._facts.seen_end, entry.at)
                self._stop()
            case Gone():
                self._stop()

    def _stop(self) -> None:
        """Know nothing of the room until the next state."""
        self.people = None
        self.heard.stop()

    def _check_people(self) -> None:
        people, facts = self.people or {}, self._facts
        self._report.check(
            "limit", len(people) <= facts.limit, f"{facts.code}: {self._name} saw {len(people)} seats of {facts.limit}"
        )
        names = Counter(facts.who[key] for key in people)
        twice = [name for name, count in names.items() if count > 1]
        self._report.check("doubles", not twice, f"{facts.code}: {self._name} saw two seats of {twice[:1]}")
        facts.see_state(self._epoch, self._seq, dict(people), self._report, self._name)

    def _take_state(self, state: State) -> None:
        facts, report = self._facts, self._report
        self._know(state.people)
        people = {person.id: person.is_active for person in state.people}
        where = f"{facts.code}: {self._name}"
        report.check("state", len(people) == len(state.people), f"{where} got a room-state with somebody twice")
        report.check("state", state.seats == len(people), f"{where} got {state.seats} seats and {len(people)} people")
        if self._is_asked:
            report.check(
                "kept", people.get(self.seat or "") is True, f"{where} got a seat that is not in the room-state"
            )
        if self.people is not None and (self._epoch, self._seq) == (state.epoch, state.seq):
            report.check(
                "state", self.people == people, f"{where} has another state at seq {state.seq} than the server: "
                f"{differences(people, self.people)}"
            )  # fmt: skip
        self.people, self._epoch, self._seq = people, state.epoch, state.seq
        self.heard.show(state.texts)
        self._is_asked = False
        self._check_people()

    def _take_changes(self, changes: Changes) -> None:
        facts, report = self._facts, self._report
        self._know((*changes.joined, *changes.updated, *changes.left))
        for person in changes.left:
            facts.see_left(person.id, changes.at)
        if not self._follows(changes.seq) or self.people is None:
            return
        people, where = self.people, f"{facts.code}: {self._name}, seq {changes.seq}"
        joined, updated, left = ([person.id for person in some] for some in changes[2:])
        report.check(
            "state", len({*joined, *updated, *left}) == sum(map(len, changes[2:])), f"{where}: somebody is in it twice"
        )
        report.check("state", people.keys().isdisjoint(joined), f"{where}: somebody joined who was there")
        report.check(
            "state", people.keys() >= {*updated, *left}, f"{where}: somebody changed or left who was not there"
        )
        people.update({person.id: person.is_active for person in (*changes.joined, *changes.updated)})
        for key in left:
            people.pop(key, None)
        place = self._epoch, changes.seq
        for key in joined:
            facts.joined.setdefault(key, place)
        for key in left:
            facts.left.setdefault(key, place)
        self._check_people()

    def _follows(self, seq: int) -> bool:
        """Check the version of an event, and return whether it is the next one of a known state."""
        if self.people is None:
            return False
        is_next = seq == self._seq + 1
        self._report.check("versions", is_next, f"{self._facts.code}: {self._name} got seq {seq} after seq {self._seq}")
        self._seq = seq
        if not is_next:
            self._stop()
        return is_next

    def _know(self, people: Sequence[Person]) -> None:
        for person in people:
            if person.who != person.id:
                self._facts.who[person.id] = person.who
            self._facts.who.setdefault(person.id, person.who)


def check_track(track: Track, facts: RoomFacts, report: Report) -> Heard:
    """Check what one connection was shown. The gaps in the messages that are returned are still to be checked."""
    view = View(track, facts, report)
    for entry in track.entries:
        view.take(entry)
    return view.heard
