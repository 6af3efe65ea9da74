"""Group commit: what arrives while one transaction runs is stored by the next one, without a timer.

An append that finds no transaction running is written at once, alone. A store says how the changes of a batch are
written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from roomd.engine.ports import AlreadySent, ExternalIdTaken, StorageFailed
from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change

Conflict = AlreadySent | ExternalIdTaken
"""Why the changes of a room were not stored: something that must be there once is there already."""


class ConstraintBroken(StorageFailed):
    """Changes break a constraint of the schema. Nothing was written; those of other rooms may be, without them."""


class RoomChanges(NamedTuple):
    """Changes of one room that are stored together."""

    room_id: str
    """The id of the room."""
    changes: Sequence[Change]
    """The changes, in their order."""
    events: Sequence[LogEvent] = ()
    """Their log events, in their order."""


class _Append(NamedTuple):
    """An append that waits for its transaction."""

    changes: RoomChanges
    """The changes to store."""
    done: asyncio.Future[None]
    """The future that is done when they are stored, or fails with `StorageFailed`."""


Write = Callable[[Sequence[RoomChanges]], Awaitable[Mapping[int, Conflict]]]
"""Write the changes of a batch in one transaction. The awaitable returns the conflicts by their index in the batch.

If there are any, or when it raises, nothing was written. The call may already begin. It raises only when the store is
closed.
"""


class GroupCommit:
    """Collects appends, and has `write` store them."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[_Append] = []
        self._committer: asyncio.Task[None] | None = None

    def add(self, changes: RoomChanges) -> asyncio.Future[None]:
        """Add changes to the next transaction. The future is done when they are stored; a failed one fails it.

        Cancelling it cancels no transaction.
        """
        one = _Append(changes, asyncio.get_running_loop().create_future())
        if self._committer is None:
            # The transaction begins now, and not when the task does: meanwhile the event loop reads from clients.
            self._committer = asyncio.create_task(self._commit_from([one], self._write([changes])))
        else:
            self._waiting.append(one)
        return one.done

    async def finish(self) -> None:
        """Return when no append waits any more."""
        while self._committer is not None:
            await self._committer

    async def _commit_from(self, batch: list[_Append], written: Awaitable[Mapping[int, Conflict]]) -> None:
        """Finish a batch that is being written, and then write those that wait, until none does."""
        try:
            await self._finish(batch, written)
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._committer = None

    async def _commit(self, batch: list[_Append]) -> None:
        await self._finish(batch, self._write([one.changes for one in batch]))

    async def _finish(self, batch: list[_Append], written: Awaitable[Mapping[int, Conflict]]) -> None:
        failure: Exception | None = None
        conflicts: Mapping[int, Conflict] = {}
        try:
            conflicts = await written
        except Exception as exc:  # noqa: BLE001 - the edge of a transaction: every append that waits must fail
            failure = exc
        if conflicts:  # nothing was written: only the appends with these conflicts fail
            for index, conflict in conflicts.items():
                if not batch[index].done.done():
                    batch[index].done.set_exception(conflict)
            if left := [one for index, one in enumerate(batch) if index not in conflicts]:
                await self._commit(left)
            return
        if len(batch) > 1 and isinstance(failure, ConstraintBroken):
            for one in batch:  # only the append that broke a constraint fails, not the others
                await self._commit([one])
            return
        for one in batch:
            if one.done.done():  # the caller of `append` was cancelled
                continue
            if failure is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(failure)
