"""The end of a run: after the last fault everybody has a seat or knows that there is none, and the server agrees."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from roomd.protocol.errors import Refused
from roomd.verify.driver.clients import Client, World
from roomd.verify.driver.host import Host
from roomd.verify.driver.lines import Lost, clock
from roomd.verify.driver.log_readers import LogReader
from roomd.verify.records import Ended, Gone, Listing, Seated, State

CHECK_EVERY = 0.05
"""Seconds between two looks at whether something has come true."""
MOST_LOOKS = 100
"""The looks for a `room-state` that follows a reply."""


class Settling:
    """What must come true at the end of a run."""

    def __init__(
        self, host: Host, world: World, clients: Sequence[Client], readers: Sequence[LogReader], patience: float
    ) -> None:
        """`patience` is the number of seconds within which each step must come true."""
        self._host = host
        self._world = world
        self._clients = clients
        self._readers = readers
        self._patience = patience
        self._history = world.history

    async def settle(self) -> None:
        """Wait until everything is as it must be. What is not is added to `History.unsettled`.

        Raises `Refused`, `Closed` and `Unreachable` where the host is not served.
        """
        for node in self._world.nodes:
            await self._host.reach(node)
        await asyncio.gather(*(self._return(client) for client in self._seated()))
        await asyncio.gather(*(self._list_room(code) for code in self._world.rooms))
        for code in self._world.rooms:
            await self._host.end(code)
        await asyncio.gather(
            *(self._until(f"the end of {one.room} for a client", partial(_has_ended, one)) for one in self._seated()),
            *(
                self._until(f"the end of each room in the log of {one.record.node}", partial(self._has_read, one))
                for one in self._readers
            ),
        )

    def _seated(self) -> Sequence[Client]:
        return [client for client in self._clients if client.seat is not None]

    async def _list_room(self, code: str) -> None:
        """Compare the list of a room with the state that one of its clients has."""
        here = [client for client in self._seated() if client.room == code]
        if here:
            await self._until(f"{code}: the list of participants", partial(self._list, code, here[0]))

    async def _until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        end = clock() + self._patience
        while not await condition():
            if clock() > end:
                self._history.unsettled.append(f"within {self._patience:g} s there was not {what}")
                return
            await asyncio.sleep(CHECK_EVERY)

    async def _return(self, client: Client) -> None:
        """Have a client that believes to have a seat see its room anew."""

        async def is_back() -> bool:
            try:
                if client.line is not None and client.line.is_open:
                    await client.join_again()
                else:
                    await client.come()
            except Lost:
                await client.close()
                return False
            return True

        if client.room in self._world.rooms:
            await self._until("a seat, or a refusal, for a client", is_back)
        else:
            client.seat = None

    async def _list(self, code: str, client: Client) -> bool:
        """List a room between two equal states of a client, and return whether that worked."""
        if client.line is None or client.seat is None:
            return True
        try:
            await client.join_again()
            before = await self._state(client)
            people = await self._host.people(code)
            await client.join_again()
            after = await self._state(client)
        except Lost:
            await self._return(client)
            return False
        except Refused:  # the room has ended
            return True
        if before is None or after is None or (before.epoch, before.seq) != (after.epoch, after.seq):
            return False
        self._history.listings.setdefault(code, []).append(Listing(after.epoch, after.seq, people))
        return True

    async def _state(self, client: Client) -> State | None:
        """Return the state that a client was sent last, once it has come."""
        for _ in range(MOST_LOOKS):
            if client.line is not None and client.line.track.entries:
                last = client.line.track.entries[-1]
                if isinstance(last, State):
                    return last
            await asyncio.sleep(CHECK_EVERY)
        return None

    async def _has_read(self, reader: LogReader) -> bool:
        return reader.refusal is not None or reader.ended >= set(self._host.codes)


async def _has_ended(client: Client) -> bool:
    """Return whether a client was told of the end of its room, or has lost its connection."""
    entries = client.line.track.entries if client.line is not None else []
    last = next((one for one in reversed(entries) if isinstance(one, Ended | Gone | Seated)), None)
    return not isinstance(last, Seated)
