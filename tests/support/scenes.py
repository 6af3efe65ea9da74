"""A room with a host, a guest and clients that wait: in its waiting room, or for a free seat."""

import contextlib
from typing import Any

from tests.support.daemon import Client, Reachable

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}
FULL = "room_full"
LOBBY = "waiting_room"
ROOM_REQUESTS = {"update-room", "end-room", "get-room", "list-participants"}


class Scene:
    """A room with its host and a guest in it, which is full or has its waiting room on."""

    def __init__(self, daemon: Reachable, stack: contextlib.AsyncExitStack) -> None:
        self.daemon = daemon
        self.stack = stack

    async def set(self, why: str) -> "Scene":
        """Create the room, in which clients wait for the reason `why`, FULL or LOBBY, and have both join it."""
        self.code = (await self.daemon.room(maxParticipants=2 if why == FULL else 50, waitingRoom=why == LOBBY))["code"]
        self.why = why
        self.host = await self.connect("alice")
        await self.host.join(self.code)
        self.guest = await self.connect()
        await self.guest.ask("join-room", code=self.code, guestName="Joan")
        await self.do("admit-all")
        await self.guest.events()
        await self.host.events()
        return self

    async def connect(self, user: str | None = None) -> Client:
        """Connect a client, as a user or as a guest."""
        return await self.stack.enter_async_context(self.daemon.client(user))

    async def waiter(self, user: str | None = None) -> tuple[Client, dict[str, Any]]:
        """Connect a client and have it wait; return it, and the reply to its join."""
        client = await self.connect(user)
        return client, await self.wait(client)

    async def wait(self, client: Client, code: str | None = None) -> dict[str, Any]:
        """Join with `wait` and the id "join", by default this room; return the next frame."""
        await client.send("join-room", id="join", code=code or self.code, wait=True, **JANE)
        return await client.receive()

    async def do(self, type_: str, who: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Have the host send a request, about `who` waits if given; return its reply."""
        await self.host.events()
        if who is not None:
            fields["participantId"] = who["participantId"]
        return await self.host.ask(type_, **({"code": self.code} if type_ in ROOM_REQUESTS else {}), **fields)

    async def queue(self) -> list[str]:
        """Return who waits, as participant ids: the host joins again, and is sent the queue if anybody waits."""
        await self.host.events()
        await self.host.join(self.code)
        shown: list[str] = []
        for event in await events_of(self.host, "waiting-changed"):
            assert [one["position"] for one in event["waiting"]] == list(range(1, len(event["waiting"]) + 1))
            shown = [one["participantId"] for one in event["waiting"]]
        return shown

    async def free(self) -> None:
        """Let the first in the queue in: the guest leaves, or the host admits."""
        if self.why == FULL:
            await self.guest.events()
            await self.guest.ask("leave-room")
        else:
            assert await self.do("admit-participant", {"participantId": (await self.queue())[0]}) == OK


async def events_of(client: Client, *types: str) -> list[dict[str, Any]]:
    """Return the events of these types that were sent by now; take the others too."""
    return [event for event in await client.events() if event["type"] in types]


async def seated(client: Client) -> dict[str, Any]:
    """Receive the reply that gives a waiting client its seat, and the `room-state` after it; return both in one."""
    reply = await client.receive()
    assert (reply["type"], reply.pop("id")) == ("participant", "join"), reply
    reply["state"] = await client.receive()
    assert reply["participant"] in reply["state"]["participants"]
    return reply
