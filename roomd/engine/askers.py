"""Askers that are no client: they keep the answer, submit again when storage failed, or need no answer."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from roomd.engine.moving import Moved
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


def _nothing() -> None:
    """Do nothing."""


def submit_until_stored(
    rooms: Submits, clock: Clock, code: str, command: Command[object], then: Callable[[], None] = _nothing
) -> None:
    """Submit a command whose answer nobody needs, and again whenever storage failed, unless the daemon stops.

    When another process has the room of a hub, that is the end of it: it holds what is to be held as it loads the room.
    The command gets as old as it has waited (`Command.delayed`). `then` is called in its place among the answers of the
    batch that has stored it.
    """
    rooms.submit(code, command, _RetryingAsker(rooms, clock, code, command, clock.monotonic(), then))


class _RetryingAsker:
    """An asker that submits its command again after a failure of the server."""

    def __init__(
        self,
        rooms: Submits,
        clock: Clock,
        code: str,
        command: Command[object],
        began: float,
        then: Callable[[], None],
    ) -> None:
        self._rooms = rooms
        self._clock = clock
        self._code = code
        self._command = command
        self._began = began
        self._then = then

    def answered(self, answer: object) -> None:  # noqa: ARG002 - nobody needs it
        """Note that it is stored."""
        self._then()

    def refused(self, refused: Refused) -> None:
        """Submit again later; after any other refusal than of the server's there is nothing left to do."""
        is_failure = refused.kind.status_code >= 500 and not isinstance(refused, Moved)
        if is_failure and not self._rooms.is_stopping:
            self._clock.call_later(RETRY_AFTER, self._again)

    def _again(self) -> None:
        self._rooms.submit(self._code, self._command.delayed(self._clock.monotonic() - self._began), self)
