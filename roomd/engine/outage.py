"""Send members away while no room can be served for a long time (rule 7 of docs/decisions/0034).

Without this they would sit in front of rooms that do nothing. With it they go to another node, or come back when the
database is there again. Their seats are held from when that can be stored.
"""

import asyncio
from collections.abc import Awaitable, Callable

from roomd.engine.ports import Clock

PATIENCE = 5.0
"""The seconds for which rooms may not be served before members are sent away."""
LOOK_EVERY = 1.0
"""The seconds between two looks whether they can be."""


class OutageWatch:
    """Looks whether rooms can be served: `why` returns why not, or None.

    `note` is called with that after each look, `send_away` with it as long as it has lasted for `PATIENCE`.
    """

    def __init__(
        self,
        why: Callable[[], Awaitable[str | None]],
        note: Callable[[str | None], None],
        send_away: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._why = why
        self._note = note
        self._send_away = send_away
        self._clock = clock

    async def run(self) -> None:
        """Look, again and again, until cancelled."""
        since: float | None = None
        while True:
            began = self._clock.monotonic()
            reason = await self._why()
            self._note(reason)
            if reason is None:
                since = None
            else:
                since = began if since is None else since
                if self._clock.monotonic() - since >= PATIENCE:
                    self._send_away(reason)
            due = asyncio.Event()
            timer = self._clock.call_later(LOOK_EVERY, due.set)
            try:
                await due.wait()
            finally:
                timer.cancel()
