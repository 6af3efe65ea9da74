"""The people: they join, leave, drop, come back, take over and move, remove each other as admins, and end rooms."""

import asyncio
import contextlib
from collections import Counter
from random import Random

from tests.support.attacks.line import Frame, Line, Lost, dial, handshake
from tests.support.daemon import Daemon
from tests.support.readers.truth import Notes
from tests.support.seat_client import AGAIN, UNANSWERED, SeatClient

MOST = 100
"""The seats of a room, more than there are people: nobody is displaced."""
ODDS = {"leave": 25, "drop": 25, "take over": 20, "move": 15, "remove": 12, "end": 3}
"""What people do who have a seat."""
LAPSES = 0.4
"""How many of those who drop do not come back for their seat."""


class World:
    """The rooms, what was asked of them, and how much is still to be done."""

    def __init__(self, daemon: Daemon, actions: int, random: Random) -> None:
        self.daemon = daemon
        self.random = random
        self.notes = Notes()
        self.codes: list[str] = []
        """The codes of the rooms, each of which is replaced when it has ended."""
        self.done: Counter[str] = Counter()
        """The actions by kind."""
        self.returns = 0
        """How often people came back for their seats because the daemon had ended."""
        self.has_ended = False
        """Whether there were enough actions."""
        self._acts = asyncio.Condition()
        self._left = actions
        self._token = daemon.token("root", ttl=86_400, roomd={"admin": True})
        self._line: Line | None = None
        self._connecting, self._replacing = asyncio.Lock(), asyncio.Lock()

    async def open(self, rooms: int) -> None:
        """Make the rooms."""
        for _ in range(rooms):
            self.codes.append(await self._new_room())

    async def count(self, action: str) -> None:
        """Count an action that is about to be made. Raises `Lost` when there were enough."""
        is_one_more = self._left > 0
        if is_one_more:
            self._left -= 1
            self.done[action] += 1
        else:
            self.has_ended = True
        async with self._acts:
            self._acts.notify_all()
        if not is_one_more:
            raise Lost("there were enough actions")

    async def passes(self, actions: float) -> bool:
        """Wait until so many more are made, the last of which is about to be; return False if there were enough."""
        until = self.done.total() + actions
        async with self._acts:
            await self._acts.wait_for(lambda: self.has_ended or self.done.total() >= until)
        return not self.has_ended

    async def remove(self) -> None:
        """Remove somebody, whoever it is, connected or not."""
        if self.notes.here:
            seat, code = self.random.choice(sorted(self.notes.here.items()))
            self.notes.ask(seat, "removed")
            reply = await self._ask("remove-participant", code=code, participantId=seat)
            self.notes.answer(seat, "removed", is_done=reply["type"] == "ok")
            self.notes.here.pop(seat, None)

    async def end(self) -> None:
        """End a room for everyone."""
        code = self.random.choice(self.codes)
        await self._ask("end-room", code=code)
        await self.replace(code)

    async def replace(self, code: str) -> None:
        """Make a room in place of one that has ended."""
        async with self._replacing:
            if code in self.codes:
                new = await self._new_room()
                self.codes[self.codes.index(code)] = new
                self.notes.end(code)

    def close(self) -> None:
        """End the connection."""
        if self._line is not None:
            self._line.cut()

    async def _new_room(self) -> str:
        reply = await self._ask("create-room", maxParticipants=MOST)
        if reply["type"] != "room":
            raise Lost(reply["code"])
        return str(reply["room"]["code"])

    async def _ask(self, type_: str, **fields: str | int) -> Frame:
        """Ask as an admin without a seat. Raises `Lost`, `OSError` and `TimeoutError`."""
        async with asyncio.timeout(UNANSWERED):
            async with self._connecting:
                if self._line is None or not self._line.is_open:
                    self._line = await dial(self.daemon.port, handshake("10.0.0.1", self._token))
                    await self._line.upgraded()
            return await self._line.ask(type_, **fields)


class Person(SeatClient):
    """One of the people."""

    def __init__(self, world: World, number: int, pause: float) -> None:
        super().__init__(world.daemon, world.codes[0], number, Random(world.random.random()))
        self._world = world
        self._pause = pause
        self._has_dropped = False

    async def live(self) -> None:
        """Act until there were enough actions. The connection stays."""
        while not self._world.has_ended:
            with contextlib.suppress(Lost, OSError, TimeoutError):
                await self.come()
                while True:
                    await self._sleep(self._pause)
                    await self._act()
            if not self._world.has_ended:
                self.cut()
                await self._sleep(AGAIN)

    async def come(self) -> None:
        """Connect, and take the seat back, or another one."""
        await self.connect()
        if self.seat:
            if self._has_dropped:
                await self._world.count("resume")
            self._world.returns += not self._has_dropped
            self._has_dropped = False
            if await self.resume():
                return
        await self.join()

    async def join(self) -> None:
        """Join a room, without a seat."""
        await self._world.count("join")
        await self._enter(self._world.codes)

    async def resume(self) -> bool:
        """Take the seat back, and return whether it was still there."""
        before = self.seat
        if await super().resume():
            return True
        self._world.notes.here.pop(before, None)
        return False

    def sit(self, reply: Frame) -> None:
        """Keep the seat of a reply, also for the comparison."""
        super().sit(reply)
        self._world.notes.sit(self.seat, self.name, self.code)

    async def _act(self) -> None:
        if not self.line.is_open:
            raise Lost(self.line.code)
        if not self.seat or self.code not in self._world.codes:  # the room has ended
            self._give_up()
            await self.join()
            return
        action = self.random.choices(list(ODDS), list(ODDS.values()))[0]
        await self._world.count(action)
        match action:
            case "leave":
                await self._leave()
            case "drop":
                self.cut()
                self._has_dropped = self.random.random() >= LAPSES
                if not self._has_dropped:
                    self._give_up()
                raise Lost(action)
            case "take over":
                await self._take_over()
            case "move":
                await self._enter([code for code in self._world.codes if code != self.code])
            case "remove":
                await self._world.remove()
            case "end":
                await self._world.end()

    async def _enter(self, codes: list[str]) -> None:
        """Join one of these rooms. Whoever has a seat leaves it then."""
        code, before = self.random.choice(codes), self.seat
        notes = self._world.notes
        if before:
            notes.ask(before, "took-another-room")
        reply = await self.ask("join-room", code=code, guestName=self.name)
        if reply["type"] == "participant":
            self.code = code
            notes.here.pop(before, None)
        elif before:
            notes.answer(before, "took-another-room", is_done=False)
        if reply.get("code") == "room_inactive":  # the reply to its end was lost
            await self._world.replace(code)
        self.sit(reply)

    async def _leave(self) -> None:
        notes, seat = self._world.notes, self.seat
        notes.ask(seat, "left")
        reply = await self.ask("leave-room")
        notes.answer(seat, "left", is_done=reply["type"] == "participant" and reply["participant"]["id"] == seat)
        self._give_up()

    def _give_up(self) -> None:
        """Go on without the seat."""
        self._world.notes.here.pop(self.seat, None)
        self.seat = ""

    async def _take_over(self) -> None:
        """Take the seat from a second connection: while the first is open, or just after it was cut."""
        first = self.line
        try:
            await self.connect()
            if self.random.random() < 0.5:
                first.cut()
            if self.is_user:
                self.sit(await self.ask("join-room", code=self.code))
            else:
                await self.resume()
        finally:
            first.cut()

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.random.uniform(0.5, 1.5) * seconds)
