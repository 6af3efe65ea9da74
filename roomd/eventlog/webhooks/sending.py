"""One attempt to deliver an event: a POST, and what came of it.

Redirects are not followed, proxies of the environment are not used, certificates are verified, and no more of a
response is read than lets the connection be kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpcore
import msgspec

from roomd import __version__
from roomd.eventlog.webhooks.network import RESPONSE_LIMIT, AddressRefused, Network

CONNECT_TIMEOUT = 5.0
"""The seconds to connect to one address, and the same for TLS."""
LONGEST_RETRY_AFTER = 3600.0
"""The seconds of a `Retry-After` that are honoured at most."""
PARTS_READ = 100
"""The parts of a response's body that are read, so that the connection can be kept; each takes some 60 µs."""
BODY_TIMEOUT = 1.0
"""The seconds that they may take; the attempt has its result before."""
KEPT = 60.0
"""The seconds for which an idle connection is kept."""
GONE = 410
"""The status by which an endpoint says that it wants no more webhooks (Standard Webhooks, "Delivery success and
failure")."""
_HEADERS = {"content-type": "application/json", "accept": "*/*", "user-agent": f"roomd/{__version__}"}


class Outcome(msgspec.Struct, frozen=True):
    """What came of one attempt."""

    status: int | None
    """The status of the response; None without one."""
    error: str
    """Why the event is not delivered, for people; empty when it is."""
    retry_after: float = 0.0
    """The seconds that the endpoint asks to wait."""


class Sender:
    """Sends to one endpoint. `timeout` is the seconds that an attempt may take in all."""

    def __init__(self, url: str, *, is_private: bool, timeout: float, tls: ssl.SSLContext) -> None:
        self._url = url
        self._timeout = timeout
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=2,  # a test may be sent meanwhile
            max_keepalive_connections=1,
            keepalive_expiry=KEPT,
            network_backend=Network(is_private),
        )

    async def post(self, body: bytes, headers: Mapping[str, str], now: float) -> Outcome:
        """Make one attempt. `now` is the time in seconds since the epoch."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(body, headers, now)
        except TimeoutError:
            return Outcome(None, f"no response within {self._timeout:g} seconds")
        except AddressRefused as exc:
            return Outcome(
                None, f"the address is not public ({exc}); if it is meant, set private = true for the endpoint"
            )
        except Exception as exc:  # noqa: BLE001 - the edge of a webhook: whatever it is, the event is not delivered
            return Outcome(None, _in_words(exc))

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _post(self, body: bytes, headers: Mapping[str, str], now: float) -> Outcome:
        async with self._pool.stream(
            "POST",
            self._url,
            headers=[*_HEADERS.items(), *headers.items()],
            content=body,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT}},
        ) as response:
            outcome = _judge(response, now)
            await _read_little(response)
            return outcome


async def _read_little(response: httpcore.Response) -> None:
    """Read a short body to its end. The library closes the connection of a body that was not read."""
    parts = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for _ in response.aiter_stream():
                parts += 1
                if parts == PARTS_READ:
                    return
    except Exception:  # noqa: BLE001 - the status has come, and it alone counts
        return


def _judge(response: httpcore.Response, now: float) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome(status, "")
    fields = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    note = "; redirects are not followed" if 300 <= status < 400 else ""
    return Outcome(status, f"status {status}{note}", _retry_after(fields.get(b"retry-after", ""), now))


def _retry_after(text: str, now: float) -> float:
    """Return the seconds of a `Retry-After`, which has seconds or a date (RFC 9110, section 10.2.3); 0 for others."""
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _in_words(exc: Exception) -> str:
    """Return what is wrong, on one line."""
    names = {
        "ConnectTimeout": f"no connection within {CONNECT_TIMEOUT:g} seconds",
        "RemoteProtocolError": "the response is not HTTP, or the connection was closed before it came",
        "ReadError": "the connection was closed before a response came",
        "WriteError": "the connection was closed before a response came",
        "ResponseTooLong": f"the response has no end within {RESPONSE_LIMIT:,} bytes",
    }
    if isinstance(exc, socket.gaierror):
        return f"the host has no address: {exc.strerror}"
    kind = type(exc).__name__
    return names.get(kind) or f"{kind}: {exc}"[:200]
