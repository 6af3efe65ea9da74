"""Send a response whose body is made while it is sent, no faster than the client takes it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, Protocol

from roomd.gateway.http.responses import LAST_CHUNK, chunk

log = logging.getLogger("roomd.gateway.http")

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts a task and owns it."""


class Transport(Protocol):
    """The part of an asyncio transport that a sender needs."""

    def write(self, data: bytes, /) -> None:
        """Queue bytes for the client."""

    def writelines(self, list_of_data: Iterable[bytes], /) -> None:
        """Queue bytes for the client."""


class Sender:
    """Write the parts of a stream, each when the client has taken enough of those before.

    `done` is called at the end, unless `close` comes first: with whether all parts were written. `is_chunked` is
    whether the body is written in the chunked coding (RFC 9112, section 7.1).
    """

    __slots__ = ("_done", "_is_chunked", "_may_write", "_parts", "_task", "_transport")

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        transport: Transport,
        done: Callable[[bool], None],
        spawn: Spawn,
        *,
        is_chunked: bool,
    ) -> None:
        self._parts = parts
        self._transport = transport
        self._done = done
        self._is_chunked = is_chunked
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._task = spawn(self._run())

    def pause(self) -> None:
        """Ask for no further part: the client does not take what was written."""
        self._may_write.clear()

    def resume(self) -> None:
        """Go on: the client has taken what was written."""
        self._may_write.set()

    def close(self) -> None:
        """Stop, and close the generator of the parts. Closing twice is fine."""
        self._done = _nothing
        self._task.cancel()

    async def _run(self) -> None:
        try:
            async with contextlib.aclosing(self._parts) as parts:
                async for part in parts:
                    if part:
                        self._transport.writelines(chunk(part) if self._is_chunked else (part,))
                    await self._may_write.wait()
        except Exception as exc:
            log.exception("stream failed", {"error": type(exc).__name__})
            self._done(False)
            return
        if self._is_chunked:
            self._transport.write(LAST_CHUNK)
        self._done(True)


def _nothing(_: bool) -> None:
    """Do nothing."""
