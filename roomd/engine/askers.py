"""Askers that are no client: they keep the answer, submit again when storage failed, or need no answer."""

import asyncio
from typing import Generic, Protocol, TypeVar

from roomd.engine.ports import RETRY_AFTER, Asker, Clock
from roomd.protocol.errors import Refused
from roomd.rooms.room import Command

A = TypeVar("A")


class KeptAnswer(Generic[A]):
    """An asker that keeps the answer for a coroutine."""

    def __init__(self) -> None:
        self._answers: list[A] = []
        self._refused: Refused | None = None

    def answered(self, answer: A) -> None:
        """Store the answer."""
        self._answers.append(answer)

    def refused(self, refused: Refused) -> None:
        """Store the refusal."""
        self._refused = refused

    def get(self) -> A:
        """Return the answer.

        Raises `Refused` when the command was refused.
        """
        if self._refused is not None:
            raise self._refused
        return self._answers[0]


class IgnoringAsker:
    """An asker that needs no answer."""

    def answered(self, answer: object) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Do nothing."""


class Submits(Protocol):
    """The rooms, as far as commands are submitted to them."""

    @property
    def is_stopping(self) -> bool:
        """Whether the daemon stops."""
        ...

    def submit(self, code: str, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        """Submit a command to the room `code`."""
        ...


def submit_until_stored(rooms: Submits, clock: Clock, code: str, command: Command[object]) -> None:
    """Submit a command whose answer nobody needs, and again whenever storage failed, unless the daemon stops.

    The command gets as old as it has waited (`Command.delayed`).
    """
    rooms.submit(code, command, _RetryingAsker(rooms, clock, code, command, clock.monotonic()))


class _RetryingAsker:
    """An asker that submits its command again after a failure of the server."""

    def __init__(self, rooms: Submits, clock: Clock, code: str, command: Command[object], began: float) -> None:
        self._rooms = rooms
        self._clock = clock
        self._code = code
        self._command = command
        self._began = began

    def answered(self, answer: object) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Submit again later; after any other refusal than of the server's there is nothing left to do."""
        if refused.kind.status_code >= 500 and not self._rooms.is_stopping:
            self._clock.call_later(RETRY_AFTER, self._again)

    def _again(self) -> None:
        self._rooms.submit(self._code, self._command.delayed(self._clock.monotonic() - self._began), self)
