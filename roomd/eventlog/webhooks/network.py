"""Connections to endpoints: where they may go, and how much of a response is read."""

import asyncio
import socket
import ssl
from collections.abc import Iterable

import httpcore

from roomd.eventlog.webhooks.addresses import is_public

RESPONSE_LIMIT = 16_384
"""The bytes of a response that are read: interim responses, the header, and as much of the body."""
READ_AT_ONCE = 1_024
"""The bytes that are parsed before the event loop serves others: some milliseconds when they are very small parts."""


class AddressRefused(Exception):  # noqa: N818 - a state, not a mistake
    """The host has no address that may be connected to."""


class ResponseTooLong(Exception):  # noqa: N818 - what happened to the response
    """The response has no end within `RESPONSE_LIMIT` bytes."""


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that gives little at once, and no more than `RESPONSE_LIMIT` bytes for a request."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = RESPONSE_LIMIT

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as below
        """Read some bytes.

        Raises `ResponseTooLong`.
        """
        if not self._left:
            raise ResponseTooLong
        data = await self._stream.read(min(max_bytes, READ_AT_ONCE, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as below
        """Send a part of a request."""
        self._left = RESPONSE_LIMIT
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as below
    ) -> httpcore.AsyncNetworkStream:
        """Go on with TLS."""
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> object:
        """Return what the connection knows of itself."""
        return self._stream.get_extra_info(info)


class Network(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are allowed. The address that is checked is the one that is connected to."""

    def __init__(self, is_private: bool) -> None:
        self._is_private = is_private
        self._connections = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of the library
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's allowed addresses that accepts."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        failure: Exception = AddressRefused(", ".join(addresses))
        for address in addresses:
            if self._is_private or is_public(address):
                try:
                    stream = await self._connections.connect_tcp(address, port, timeout, local_address, socket_options)
                    return _Stream(stream)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                    failure = exc
        raise failure
