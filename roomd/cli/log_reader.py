"""Read the event log of the daemon by HTTP, over restarts of the daemon (docs/protocol.md, section 10)."""

import contextlib
import http.client
import random
import socket
import time
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

import msgspec

from roomd import client
from roomd.cli.access import Access
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.openapi import EVENTS, MOST_EVENTS, MOST_SECONDS
from roomd.protocol.replies import ErrorReply

PATIENCE = 10.0
"""The seconds to wait for a response, beside those for which it waits for events."""
FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0
"""The longest time before the first attempt after a failure, in seconds; it doubles up to the second one."""


class LogPage(msgspec.Struct):
    """A part of the event log."""

    events: list[msgspec.Raw]
    """The events, each as JSON."""
    next: str
    """The position to read on from."""


class LogReader:
    """Reads the log part after part. With `is_patient` it tries again while the daemon cannot be reached.

    `rooms` are the codes of the rooms; none for all.
    """

    def __init__(self, access: Access, rooms: Sequence[str], *, is_patient: bool) -> None:
        self._access = access
        self._rooms = rooms
        self._is_patient = is_patient
        self._url = access.address
        self._token: str | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._has_read = False
        self._failures = 0

    def read(self, after: str | None, wait: int) -> LogPage:
        """Read the events after a position, from the oldest on for None. Wait for at most `wait` seconds for some.

        Raises `Refused`, `ConfigError`, and `client.Unreachable` unless the reader is patient and has read before.
        """
        token_is_new = False
        while True:
            if self._token is None:
                self._token, token_is_new = self._access.bearer(), True
            try:
                page = self._ask(after, wait)
            except Refused as refused:
                self.close()
                if refused.kind.status_code == HTTPStatus.UNAUTHORIZED and not token_is_new and not self._access.token:
                    self._token = None  # a token of the local secret is valid for a short time
                elif refused.kind.status_code != HTTPStatus.TOO_MANY_REQUESTS and not self._may_wait(refused):
                    raise
                else:
                    self._delay(refused.retry_after)
            except (OSError, http.client.HTTPException, msgspec.MsgspecError) as exc:
                self.close()
                if not (self._is_patient and self._has_read):
                    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
                    raise client.Unreachable(self._url, reason) from None
                self._delay(None)
            else:
                self._has_read, self._failures = True, 0
                return page

    def _may_wait(self, refused: Refused) -> bool:
        return self._is_patient and refused.kind.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR

    def _delay(self, retry_after: float | None) -> None:
        """Wait before the next attempt: a random time that grows, and at least as long as the daemon has said."""
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._failures, 16))
        self._failures += 1
        time.sleep(max(longest * random.uniform(0.5, 1.0), retry_after or 0.0))  # noqa: S311 - jitter

    def _ask(self, after: str | None, wait: int) -> LogPage:
        query = {"limit": MOST_EVENTS, "wait": wait, "room": self._rooms, **({"after": after} if after else {})}
        url = urlsplit(self._url)
        if self._connection is None:
            kind = http.client.HTTPSConnection if url.scheme == "wss" else http.client.HTTPConnection
            self._connection = kind(url.netloc, timeout=PATIENCE + MOST_SECONDS)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        path = url.path.rpartition("/")[0] + EVENTS
        self._connection.request("GET", f"{path}?{urlencode(query, doseq=True)}", headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status == HTTPStatus.OK:
            return msgspec.json.decode(body, type=LogPage)
        raise _refusal(response.status, body)

    def close(self) -> None:
        """End the connection. Closing twice is fine."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None


def _refusal(status: int, body: bytes) -> Refused:
    """Return the refusal in a response; of one that does not come from roomd, but from a proxy, only the status."""
    try:
        error = msgspec.json.decode(body, type=ErrorReply)
    except msgspec.MsgspecError:
        return Refused(ErrorKind(status, f"http_{status}", "The answer is not that of roomd; look at --url"))
    message = error.message if error.oldest is None else f"{error.message}: --after {error.oldest}"
    return Refused(ErrorKind(status, error.code, message), retry_after=error.retry_after)
