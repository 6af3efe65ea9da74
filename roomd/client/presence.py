"""The state that a participant gave itself, kept so that a new seat gets it too.

A seat that is resumed keeps its state on the server. When the held seat has expired, the client joins again and the
new participant starts with an empty state: the client then sends the old one once more. No I/O.
"""

from collections.abc import Mapping

from roomd.protocol.objects import Participant, Scalar

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
        state = {**self._last.state, **self._accepted}
        return state if any(value is not None for value in state.values()) else {}
