"""Askers that are no client: they keep the answer, submit again when storage failed, or need no answer."""

from collections.abc import Callable
from typing import Generic, TypeVar

from roomd.protocol.errors import Refused

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


class RetryingAsker:
    """An asker that has its command submitted again, by `retry`, when storage failed."""

    def __init__(self, retry: Callable[[], None]) -> None:
        self._retry = retry

    def answered(self, answer: object) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Submit again after a failure of the server; after any other refusal there is nothing left to do."""
        if refused.kind.status_code >= 500:
            self._retry()


class IgnoringAsker:
    """An asker that needs no answer."""

    def answered(self, answer: object) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Do nothing."""
