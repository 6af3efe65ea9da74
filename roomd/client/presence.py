"""The state that a participant gave itself, kept so that a new seat gets it too.

A seat that is resumed keeps its state on the server. When the held seat has expired, the client joins again and the
new participant starts with an empty state: the client then sends the old one once more. No I/O.
"""

from collections.abc import Iterable, Mapping

from roomd.protocol.objects import Participant, Scalar

NOW = "@now"
"""The value in whose place the server keeps its own time."""
Changes = Mapping[str, Scalar | None]
"""A change of state, key by key; None removes a key (RFC 7396)."""


class Presence:
    """Remembers this client's own participant and the changes of its state that the server has accepted."""

    def __init__(self) -> None:
        self._last: Participant | None = None
        self._accepted: dict[str, Scalar | None] = {}

    def accept(self, changes: Changes) -> None:
        """Note changes that the server has accepted. The view may not show them yet."""
        self._accepted.update(changes)

    def remember(self, me: Participant | None) -> None:
        """Note the own participant as the view last showed it; None changes nothing."""
        if me is not None:
            self._last = me

    def restore(self, me: Participant | None) -> dict[str, Scalar | None]:
        """Return the changes that give `me`, who has just taken a seat, the state of the seat before, if another."""
        if self._last is None or me is None or self._last.id == me.id:
            return {}
        # "@now" became a time: a hand that is up keeps it.
        last = self._last.state
        accepted = {
            key: value for key, value in self._accepted.items() if value != NOW or not isinstance(last.get(key), str)
        }
        state = {**last, **accepted}
        return state if any(value is not None for value in state.values()) else {}


def hands(participants: Iterable[Participant]) -> list[Participant]:
    """Return those whose hands are up, in the order they went up. One without a time (of an older client) is last."""
    raised = [one for one in participants if one.state.get("handRaised")]
    return sorted(raised, key=lambda one: (not isinstance(one.state["handRaised"], str), str(one.state["handRaised"])))
