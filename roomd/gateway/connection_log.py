"""The lines that the log has of one connection.

Anybody can connect and cause refusals at any rate. So who takes a seat has one line, which names the address too; and
one refused request is a line of the level debug: the numbers of them are one line for each connection, at its end and
each minute before.
"""

import logging

from roomd.protocol.errors import Refused
from roomd.protocol.objects import Participant

log = logging.getLogger("roomd.gateway.sitting")
limited = logging.getLogger("roomd.gateway.limited")


class ConnectionLog:
    """The lines of one connection. `address` is what the log shows of its address; None if that is nothing."""

    __slots__ = ("_address", "_codes", "_has_line", "number")

    def __init__(self, number: int, address: str | None = None) -> None:
        self.number = number
        """The number of the connection."""
        self._address = address
        self._has_line = False  # whether a line has named the address
        self._codes: dict[str, int] | None = None  # the refused requests that are not reported yet, by error code

    def connected(self) -> None:
        """Log that the client has connected, if it has taken no seat that a line tells."""
        if not self._has_line:
            self._has_line = True
            limited.info("connected", self._fields())

    def is_one_too_many(self) -> None:
        """Log that the connection is closed at once, because there are as many as there may be."""
        self._has_line = True
        limited.warning("at the connection limit", self._fields())

    def seated(self, event: str, participant: Participant) -> None:
        """Log that the client has taken a seat (`joined`) or a place in a queue (`waits`)."""
        self._has_line = True
        log.info(event, self._fields(room=participant.room_id, participant=participant.id))

    def refused(self, code: str) -> None:
        """Count a refused request by the code of its error."""
        limited.debug("refused", {"connection": self.number, "code": code})
        if self._codes is None:
            self._codes = {}
        self._codes[code] = self._codes.get(code, 0) + 1

    def token_refused(self, refused: Refused) -> None:
        """Log why a token is refused, but only the first time for each code. `refused` counts its request."""
        is_first = self._codes is None or refused.kind.code not in self._codes
        fields = {"connection": self.number, "code": refused.kind.code, "reason": refused.reason}
        limited.log(logging.INFO if is_first else logging.DEBUG, "token refused", fields)

    def report(self) -> None:
        """Log how many requests were refused since the last report, by error code, if there were any."""
        if self._codes is not None:
            limited.info("refusals", {"connection": self.number, "codes": self._codes})
            self._codes = None

    def _fields(self, **more: str) -> dict[str, object]:
        if self._address is None:
            return {"connection": self.number, **more}
        return {"connection": self.number, **more, "address": self._address}
