"""A client of roomd's server API for a backend: short tokens that it renews itself, and retries that wait."""

import json
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

RENEW_AFTER = 240
"""Seconds after which a new token is signed: a minute before one of 300 seconds is over."""
TRIES = 6
"""How often a request is sent. While roomd cannot be reached that takes half a minute."""


class Refused(Exception):
    """roomd refused a request. `frame` is its `error`: compare `frame["code"]`."""

    def __init__(self, frame: dict[str, Any]) -> None:
        super().__init__(f"{frame['code']}: {frame['message']}")
        self.frame = frame


class Roomd:
    """The server API at `url`, like `http://127.0.0.1:8765`. `sign` returns a token that is valid for 300 seconds."""

    def __init__(self, url: str, sign: Callable[[], str]) -> None:
        self._url, self._sign = url, sign
        self._token, self._signed_at = "", -float("inf")

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a request, like `ask("create-room", name="Weekly")`, and return the reply.

        While roomd restarts, or asks to wait, the request is sent again. Raises `Refused`, and `OSError` or
        `HTTPException` where roomd cannot be reached.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with urlopen(self._request(kind, fields), timeout=30) as response:
                    return dict(json.load(response))
            except HTTPError as error:
                frame, wait = _frame(error), int(error.headers.get("Retry-After", "1"))
                if error.code not in (429, 503) or attempt == TRIES:
                    raise Refused(frame) from None
            except (OSError, HTTPException):  # the connection, or the answer, was lost
                wait = 2 ** (attempt - 1)
                if attempt == TRIES:
                    raise
            time.sleep(wait)
        raise AssertionError

    def _request(self, kind: str, fields: dict[str, Any]) -> Request:
        if time.monotonic() > self._signed_at + RENEW_AFTER:
            self._token, self._signed_at = self._sign(), time.monotonic()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        return Request(f"{self._url}/api/v1/{kind}", json.dumps(fields).encode(), headers)


def _frame(error: HTTPError) -> dict[str, Any]:
    """Return the `error` in a response; a proxy, and what HTTP itself refuses, give a text in its place."""
    with error:
        try:
            return dict(json.load(error))
        except ValueError:
            return {"code": f"http_{error.code}", "message": error.reason}
