"""Clients of the service in a machine: crowds who come back when they lose their connection, and a meeting of two."""

import asyncio
import contextlib
import json
import random
import statistics
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from roomd.protocol.timestamps import seconds_of
from tests.support.daemon import Client
from tests.support.processes import PATIENCE
from tests.support.systemd import LONG, Machine
from tests.support.units import CONFIG, ROOMD, URL, Service

CLIENTS = 200 if LONG else 20


class Attendee:
    """A client that comes back as docs/protocol.md says, and counts how often it is refused."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        """The id of its seat, each time it got it."""
        self.refused: list[str] = []
        self.outages: list[float] = []
        """The seconds from each loss of its connection until it had its seat again."""
        self._token = ""

    async def attend(self, code: str, seated: "asyncio.Queue[None]") -> None:
        """Join, and come back whenever the connection is lost, until cancelled. Each seat is put into `seated`."""
        lost, retry_after, attempts = 0.0, 0.0, 0
        while True:
            if lost:
                await asyncio.sleep(max(retry_after, random.uniform(0.5, 1) * 2**attempts))
            attempts, retry_after = attempts + 1, 0.0
            try:
                async with connect(f"ws{URL[4:]}/ws", ping_interval=None, open_timeout=PATIENCE, proxy=None) as socket:
                    self.ids.append(await self._sit_down(socket, code))
                    if lost:
                        self.outages.append(time.monotonic() - lost)
                    seated.put_nowait(None)
                    attempts = 0
                    async for text in socket:
                        retry_after = json.loads(text).get("retryAfter", retry_after)
            except (OSError, InvalidHandshake, EOFError) as exc:
                self.refused.append(repr(exc))
                continue
            except ConnectionClosed:
                pass
            lost = time.monotonic()

    async def _sit_down(self, socket: ClientConnection, code: str) -> str:
        request = {"type": "resume", "resumeToken": self._token}
        if not self._token:
            request = {"type": "join-room", "code": code, "guestName": "Jane"}
        await socket.send(json.dumps({**request, "id": 1}))
        reply = json.loads(await socket.recv())
        assert reply["type"] == "participant", reply
        self._token = reply["resumeToken"]
        return str(reply["participant"]["id"])


class Crowd:
    """Attendees of one room."""

    def __init__(self, size: int) -> None:
        self.attendees = [Attendee() for _ in range(size)]
        self._seated: asyncio.Queue[None] = asyncio.Queue()

    async def wait(self) -> None:
        """Wait until each has got a seat, once more."""
        async with asyncio.timeout(PATIENCE):
            for _ in self.attendees:
                await self._seated.get()

    @contextlib.asynccontextmanager
    async def meeting(self, code: str) -> AsyncIterator[None]:
        """Have all join; they stay, and come back, until the end of the block."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.attend(code, self._seated)) for one in self.attendees]
            await self.wait()
            yield
            for task in tasks:
                task.cancel()

    def refusals(self) -> int:
        return sum(len(one.refused) for one in self.attendees)

    def report(self, what: str) -> None:
        """Print the figures, which `pytest -rP` and `make systemd` show."""
        outages = [outage for one in self.attendees for outage in one.outages]
        print(
            f"{what}: {len(self.attendees)} clients, {self.refusals()} refused, outage "
            f"{min(outages):.2f} to {max(outages):.2f} s, median {statistics.median(outages):.2f} s"
        )


def inside(machine: Machine, scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene on a loop in a thread of its own, in the machine's network."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with machine.network():
                asyncio.run(scene)
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread of the test
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def room(machine: Machine) -> str:
    """Create a room by the command line, as root, who may read the secret."""
    files = ("--config", CONFIG, "--database", "/var/lib/roomd/roomd.db")
    command = (ROOMD, "room", "create", "--max", str(CLIENTS), "--as", "alice", "--json")
    created: dict[str, Any] = json.loads(machine.run(*command, *files))
    return str(created["room"]["code"])


@contextlib.asynccontextmanager
async def client(token: str = "") -> AsyncIterator[Client]:
    """Connect to the service, as the user of a token or as a guest. Call it in the machine's network."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    patient: dict[str, Any] = {"max_queue": None, "open_timeout": PATIENCE, "ping_interval": None}
    async with connect(f"ws{URL[4:]}/ws", additional_headers=headers, proxy=None, **patient) as socket:
        yield Client(socket)


class Meeting:
    """A room with two users, alice, who is the host, and jane. They talk. Use it in the machine's network."""

    def __init__(self, service: Service) -> None:
        self.code = ""
        self.room_id = ""
        self.joined: set[str] = set()
        """The ids of the participants that were acknowledged."""
        self.said: list[str] = []
        """The texts that were acknowledged, in the order in which they were sent."""
        self._people: dict[str, tuple[Client, dict[str, Any]]] = {}
        self._service = service
        self._stack = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator["Meeting"]:
        """Create the room, and have both join; they drop in the end."""
        async with self._stack:
            alice = await self._connect("alice")
            room = (await alice.ask("create-room", maxParticipants=1000))["room"]
            self.code, self.room_id = room["code"], room["id"]
            self._people["alice"] = alice, await alice.join(self.code)
            jane = await self._connect("jane")
            self._people["jane"] = jane, await jane.join(self.code)
            self.joined |= {joined["participant"]["id"] for _, joined in self._people.values()}
            yield self

    async def _connect(self, name: str) -> Client:
        token = self._service.token(name, time.time() + 86_400)
        return await self._stack.enter_async_context(client(token))

    async def say(self, name: str = "alice") -> dict[str, Any]:
        """Have somebody say something; return the reply."""
        text = f"{name} {len(self.said)}"
        reply = await self._ask(name, "send-message", text=text)
        if reply["type"] == "ok":
            self.said.append(text)
        return reply

    async def talk(self) -> float:
        """Have each say something, which the other hears; return when that was, by the service's clock."""
        for name, other in (("alice", "jane"), ("jane", "alice")):
            assert await self.say(name) == {"type": "ok"}
            messages = [one["message"] for one in await self._people[other][0].events() if one["type"] == "message"]
            assert messages[-1]["text"] == self.said[-1]
        return seconds_of(messages[-1]["sentAt"])

    async def newcomer(self) -> dict[str, Any]:
        """Have a guest join, and drop; return the reply."""
        async with client() as guest:
            reply = await guest.ask("join-room", code=self.code, guestName="Newcomer")
            if reply["type"] == "participant":
                self.joined.add(reply["participant"]["id"])
            return reply

    async def tried(self, token: str) -> str:
        """Connect with a token; return the code of the error, or the type of the answer."""
        async with client(token) as user:
            reply = await user.ask("ping")
            return str(reply.get("code", reply["type"]))

    async def another_room(self) -> str:
        """Have the host create another room; return its id."""
        reply = await self._ask("alice", "create-room")
        assert reply["type"] == "room", reply
        return str(reply["room"]["id"])

    async def drop_jane(self) -> None:
        """Cut the connection of jane, and wait until alice sees that the seat is held."""
        client, joined = self._people["jane"]
        client.websocket.transport.abort()
        changed: list[dict[str, Any]] = []
        while not any(one["id"] == joined["participant"]["id"] and not one["isActive"] for one in changed):
            changed = (await self._people["alice"][0].receive()).get("updated", [])

    async def come_back(self, *names: str) -> None:
        """Have people connect again, and resume: each has the own seat."""
        for name in names:
            old, joined = self._people[name]
            with contextlib.suppress(ConnectionClosed):
                await old.websocket.close()
            new = await self._connect(name)
            again = await new.ask("resume", resumeToken=joined["resumeToken"])
            assert again["type"] == "participant", again
            assert again["participant"]["id"] == joined["participant"]["id"]
            self._people[name] = new, again

    async def messages(self) -> list[dict[str, Any]]:
        """List every message of the room."""
        return await self._list("messages", limit=200)

    async def participants(self) -> set[str]:
        """Return the ids of all who ever joined."""
        return {one["id"] for one in await self._list("participants", history=True)}

    async def _list(self, what: str, **fields: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = await self._ask("alice", f"list-{what}", code=self.code, **fields)
            found += page[what]
            if page["nextCursor"] is None:
                return found
            fields["cursor"] = page["nextCursor"]

    async def _ask(self, name: str, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a request, and return its reply; events that come before it are left out."""
        one = self._people[name][0]
        await one.send(type_, id="meeting", **fields)
        while (frame := await one.receive()).get("id") != "meeting":
            pass
        del frame["id"]
        return frame
