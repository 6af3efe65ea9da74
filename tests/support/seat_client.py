"""A client by hand that takes a seat, and takes it back after its connection was lost."""

import asyncio
from random import Random
from typing import Any

from tests.support.attacks.line import Frame, Line, Lost, dial, handshake
from tests.support.daemon import Daemon

UNANSWERED = 5.0
"""Seconds after which a client gives up a connection."""
AGAIN = 0.05
"""Seconds until a client connects again."""


class SeatClient:
    """One client: a user for an odd number, else a guest. Each number has an address of its own."""

    def __init__(self, daemon: Daemon, code: str, number: int, random: Random) -> None:
        self.name = f"person-{number}"
        """The user id, or the guest's name."""
        self.code = code
        """The room that it joins."""
        self.seat = ""
        """Its participant id; empty without a seat, as far as it knows."""
        self.refused: list[str] = []
        """The codes of the errors that came."""
        self.random = random
        """What its choices come from."""
        self.is_user = number % 2 == 1
        """Whether it has a token."""
        self._daemon = daemon
        self._token = daemon.token(self.name, ttl=86_400) if self.is_user else None
        self._address = f"10.1.{number // 250}.{number % 250 + 1}"
        self._resume_token = ""
        self._line: Line | None = None

    @property
    def line(self) -> Line:
        """Its connection."""
        assert self._line is not None
        return self._line

    async def connect(self) -> None:
        """Open a connection; one there was stays as it is. Raises `Lost`, `OSError` and `TimeoutError`."""
        async with asyncio.timeout(UNANSWERED):
            self._line = await dial(self._daemon.port, handshake(self._address, self._token))
            if not await self._line.upgraded():
                raise Lost(self._line.status)

    async def come(self) -> None:
        """Connect, and take the seat back, or a new one. Raises `Lost`, `OSError` and `TimeoutError`."""
        await self.connect()
        if not (self.seat and await self.resume()):
            await self.join()

    async def join(self) -> None:
        """Take a seat. Raises `Lost` when that is refused."""
        self.sit(await self.ask("join-room", code=self.code, guestName=self.name))

    async def resume(self) -> bool:
        """Take the seat back, and return whether it was still there. Raises `Lost` for any other refusal."""
        reply = await self.ask("resume", resumeToken=self._resume_token)
        if reply.get("statusCode") in (409, 410):
            self.seat = ""
            return False
        self.sit(reply)
        return True

    def sit(self, reply: Frame) -> None:
        """Keep the seat of a reply. Raises `Lost` for an error."""
        if reply["type"] != "participant":
            raise Lost(reply["code"])
        self.seat, self._resume_token = reply["participant"]["id"], reply["resumeToken"]

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply. Raises `Lost`, also for a seat that is gone, and `TimeoutError`."""
        async with asyncio.timeout(UNANSWERED):
            reply = await self.line.ask(type_, **fields)
        if reply["type"] == "error":
            self.refused.append(reply["code"])
            if reply["code"] == "not_in_room":
                raise Lost(reply["code"])
        return reply

    def cut(self) -> None:
        """End the connection as a network that fails would."""
        if self._line is not None:
            self._line.cut()
            self._line = None
