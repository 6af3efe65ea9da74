"""Which appends share a transaction."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from roomd.storage.group_commit import Conflict, GroupCommit, RoomChanges


async def test_the_first_append_begins_at_once_and_those_behind_it_share_the_next() -> None:
    """A transaction begins before the event loop does anything else. Who comes meanwhile waits for the next one."""
    written: list[list[str]] = []
    may_end = asyncio.Event()

    def write(batch: Sequence[RoomChanges]) -> Awaitable[Mapping[int, Conflict]]:
        written.append([one.room_id for one in batch])
        return end()

    async def end() -> Mapping[int, Conflict]:
        await may_end.wait()
        return {}

    commits = GroupCommit(write)
    appends = [commits.add(RoomChanges("first", []))]
    assert written == [["first"]]
    appends += [commits.add(RoomChanges(name, [])) for name in ("second", "third")]
    assert written == [["first"]]
    may_end.set()
    await asyncio.gather(*appends)
    assert written == [["first"], ["second", "third"]]
    await commits.finish()
