"""What a client's socket needs of the part that serves its messages."""

import asyncio
from typing import Protocol

from roomd.limits.usage import Usage


class MessageHandler(Protocol):
    """The part that serves the messages of a socket. Each of its methods may close the socket."""

    usage: Usage
    """The counter of received frames."""

    def text(self, message: str) -> asyncio.Future[None] | None:
        """Serve a text message. The next message waits until the returned future is done; None means now."""
        ...

    def binary(self) -> None:
        """Refuse a binary message."""

    def overhead(self, pong: bytes = b"") -> None:
        """Count a frame without a message: a ping, a pong with its payload, every fourth fragment of a message."""

    def drained(self) -> None:
        """Handle that everything was sent that waited for the client, after more than the transport's limit waited."""

    def closed(self) -> None:
        """Handle the end, once: the client has closed or failed, and all its messages were answered."""

    def lost(self, code: int) -> None:
        """Handle the loss of the connection, once. `code` is the close code, 1006 without one.

        Messages that were read before may still be served after it.
        """
