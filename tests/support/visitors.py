"""Clients that join and leave at random until a signal ends the daemon, and keep what it sent them."""

import contextlib
import random
import time
from contextlib import AsyncExitStack
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.support.daemon import QUICK, Client, Daemon, error
from tests.support.views import Frame

RESTARTING = error("restarting", "The server is restarting", retryAfter=2.0) | {"statusCode": 503}


class Countdown:
    """Sends the daemon a signal when so many replies have been counted, whoever received them."""

    def __init__(self, daemon: Daemon, number: int, replies: int) -> None:
        self._daemon = daemon
        self._number = number
        self._left = replies
        self.sent_at = 0.0
        """When the signal was sent, in seconds since the epoch."""

    def count(self) -> None:
        """Count a reply, and send the signal at the last."""
        self._left -= 1
        if self._left == 0:
            self.sent_at = time.time()
            self._daemon.process.send_signal(self._number)


class Visitor:
    """A client that joins and leaves at random, and keeps what it was sent over restarts of the daemon."""

    def __init__(self, number: int, code: str, rng: random.Random) -> None:
        self.user = f"user-{number}" if number % 2 else None
        self.name = f"Guest {number}"
        self.code = code
        self.sent: dict[str, Frame] = {}
        """Each participant it has been, as the daemon last sent it, by id."""
        self.seat: Frame | None = None
        """The participant it is, unless it received that it left."""
        self.leaving = False
        """Whether it asked to leave and has received no reply yet."""
        self.restarting: Frame | None = None
        """The `server-restarting` event, if it came on this connection."""
        self.close_code: int | None = None
        self._token = ""
        self._asked = 0
        self._rng = rng
        self._client: Client | None = None

    async def connect(self, daemon: Daemon, stack: AsyncExitStack) -> None:
        """Open a connection."""
        self._client = await stack.enter_async_context(daemon.client(self.user, **QUICK))
        self.restarting = None

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            await self._client.websocket.close()

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply; events before it are received and not returned."""
        assert self._client is not None
        self._asked += 1
        await self._client.send(type_, id=self._asked, **fields)
        while (frame := await self.receive()).pop("id", None) != self._asked:
            pass
        return frame

    async def receive(self) -> Frame:
        """Receive the next frame, and keep what it holds."""
        assert self._client is not None
        frame = await self._client.receive()
        if frame["type"] == "participant":
            self._keep(frame["participant"], frame.get("resumeToken", ""))
        elif frame["type"] == "server-restarting":
            self.restarting = frame
        return frame

    def _keep(self, person: Frame, token: str) -> None:
        self.sent[person["id"]] = person
        self.seat = person if person["leftAt"] is None else None
        self._token = token
        self.leaving = self.leaving and self.seat is not None  # it may be admitted while its leave is on the way

    async def storm(self, countdown: Countdown) -> None:
        """Join and leave until the connection ends, and read what came before its end."""
        with contextlib.suppress(ConnectionClosed):
            await self._come_and_go(countdown)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.receive()
        assert self._client is not None
        self.close_code = self._client.websocket.close_code

    async def _come_and_go(self, countdown: Countdown) -> None:
        """Join and leave at random; return when the daemon refuses because it restarts."""
        while True:
            if self.seat is None:
                reply = await self.ask("join-room", code=self.code, guestName=self.name)
            elif self._rng.random() < 0.5:
                self.leaving = True
                reply = await self.ask("leave-room")
            else:
                await self.ask("ping")
                continue
            if reply["type"] == "participant":
                countdown.count()
            else:  # the daemon is stopping and changed nothing
                assert reply == RESTARTING
                self.leaving = False
                return

    async def resume(self) -> Frame:
        """Take the seat or the place in the queue back."""
        return await self.ask("resume", resumeToken=self._token)
