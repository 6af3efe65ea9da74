"""The clients: they join, drop, come back, take over, leave, talk and look, each one thing after another."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import msgspec

from roomd.protocol.errors import NOT_IN_ROOM, ROOM_INACTIVE, ROOM_NOT_FOUND, SEAT_EXPIRED, TAKEN_OVER
from roomd.protocol.replies import ParticipantReply, RoomReply
from roomd.protocol.requests import GetRoom, JoinRoom, LeaveRoom, Resume, SendMessage
from roomd.verify.driver.lines import Line, Lost
from roomd.verify.records import History, Kind, Operation

ODDS = {"say": 40, "leave": 14, "drop": 12, "lapse": 6, "take over": 10, "look": 12, "join again": 6}
"""What somebody does who has a seat."""
TWICE = 0.1
"""How many messages are sent once more: the server keeps and tells them once."""
AGAIN = 0.2
"""Seconds, on average, until somebody whose connection was lost comes back."""

UserToken = Callable[[str], Awaitable[str]]
"""Returns a token for a user id."""


class World(msgspec.Struct):
    """What all clients share."""

    history: History
    nodes: Sequence[str]
    rooms: list[str]
    """The codes of the open rooms."""
    user_token: UserToken | None
    """None: everybody is a guest."""
    patience: float
    pause: float
    """Seconds between two requests of a client, on average."""
    run: str
    connections: int = 0
    """The number of connections that were opened."""
    is_over: bool = False


class Client:
    """One person: a guest, or every second one a user where there are tokens."""

    def __init__(self, world: World, number: int, random: Random) -> None:
        self.seat: str | None = None
        """The participant id; None without a seat, as far as it knows."""
        self.room = ""
        self.line: Line | None = None
        self._world = world
        self._random = random
        self._is_guest = world.user_token is None or number % 2 == 0
        self._base = f"verify-{world.run}-{number}"
        self._name = self._base
        self._joins = 0
        self._resume_token = ""
        self._said = 0
        self._unanswered: list[SendMessage] = []

    async def live(self) -> None:
        """Act until the run is over. A connection and a seat that are there then stay."""
        while not self._world.is_over:
            try:
                await self.come()
                while not self._world.is_over:
                    await self._sleep(self._world.pause)
                    await self._act()
            except Lost:
                await self.close()
                await self._sleep(AGAIN)

    async def close(self) -> None:
        """End the connection."""
        line, self.line = self.line, None
        if line is not None:
            await line.close()

    async def come(self) -> None:
        """Connect, and take the seat back, or another one if there is one. Raises `Lost`."""
        if self.line is None or not self.line.is_open:
            await self.close()
            self.line = await self._open()
        if self.seat is not None:
            await self.come_back(self.line)
        if self.seat is None:
            await self._join(self.line)

    async def come_back(self, line: Line) -> None:
        """Take the seat back on a connection. Without one afterwards, it is gone. Raises `Lost`."""
        if not self._is_guest and self._random.random() < 0.5:
            await self._join(line, self.room)
            return
        line.enter(self.room, self._name)
        operation = self._operation("resume", line, seat=self.seat)
        reply = await line.ask(Resume(resume_token=self._resume_token), operation)
        if isinstance(reply, ParticipantReply):
            operation.given = reply.participant.id
            self._resume_token = reply.resume_token or ""
            await self._say_again(line)
        elif operation.outcome == TAKEN_OVER.code and not self._is_guest:
            await self._join(line, self.room)
        elif operation.outcome in (SEAT_EXPIRED.code, TAKEN_OVER.code):
            self.seat = None
        else:
            raise Lost(operation.outcome)

    async def join_again(self) -> None:
        """Ask for the state of the room on the connection that has the seat. Raises `Lost`."""
        if self.line is None:
            raise Lost("not connected")
        await self._join(self.line, self.room)

    async def _open(self) -> Line:
        world = self._world
        world.connections += 1
        line = Line(world.history, world.connections, self._name, self._random.choice(world.nodes))
        token = await world.user_token(self._base) if world.user_token is not None and not self._is_guest else None
        await line.open(token, world.patience)
        return line

    async def _join(self, line: Line, room: str | None = None) -> None:
        is_new = room is None or self.seat is None
        if room is None:
            room = self._random.choice(self._world.rooms)
        if is_new and self._is_guest:  # a name of its own for each seat that may come of it
            self._joins += 1
            self._name = f"{self._base}-{self._joins}"
        self.room = room
        line.enter(room, self._name)
        operation = self._operation("join", line)
        reply = await line.ask(JoinRoom(code=room, guest_name=self._name if self._is_guest else None), operation)
        if isinstance(reply, ParticipantReply):
            operation.seat = reply.participant.id
            if operation.seat != self.seat:
                self._unanswered.clear()
            self.seat, self._resume_token = operation.seat, reply.resume_token or ""
            await self._say_again(line)
        elif operation.outcome in (ROOM_INACTIVE.code, ROOM_NOT_FOUND.code):
            self.seat = None
        elif self.seat is not None:
            raise Lost(operation.outcome)

    async def _act(self) -> None:
        line = self.line
        if line is None or not line.is_open:
            raise Lost("closed")
        if self.seat is not None and self.room not in self._world.rooms:  # the room has ended
            self.seat = None
        if self.seat is None:
            await (self._join(line) if self._random.random() < 0.8 else self._look(line))
            return
        match self._random.choices(list(ODDS), list(ODDS.values()))[0]:
            case "say":
                await self._say(line)
            case "leave":
                await self._leave(line)
            case "drop":
                raise Lost("dropped")
            case "lapse":
                self.seat = None
                raise Lost("dropped")
            case "take over":
                await self._take_over(line)
            case "look":
                await self._look(line)
            case "join again":
                await self.join_again()

    async def _say(self, line: Line) -> None:
        self._said += 1
        client_id = f"{self._base}-{self._said}"
        message = SendMessage(text=client_id, client_id=client_id)
        self._unanswered.append(message)
        await self._send(line, message)
        if self._random.random() < TWICE:
            self._unanswered.append(message)
            await self._send(line, message)

    async def _say_again(self, line: Line) -> None:
        """Send every message again that has no answer: it is kept and told once."""
        for message in list(self._unanswered):
            await self._send(line, message)

    async def _send(self, line: Line, message: SendMessage) -> None:
        operation = self._operation("say", line, seat=self.seat, client_id=message.client_id or "")
        await line.ask(message, operation)
        self._unanswered.remove(message)
        if operation.outcome == NOT_IN_ROOM.code:
            raise Lost(operation.outcome)

    async def _leave(self, line: Line) -> None:
        if await line.ask(LeaveRoom(), self._operation("leave", line, seat=self.seat)) is not None:
            self.seat = None

    async def _look(self, line: Line) -> None:
        operation = self._operation("look", line)
        reply = await line.ask(GetRoom(code=self.room), operation)
        if isinstance(reply, RoomReply) and reply.room is not None and reply.room.is_active:
            operation.count = reply.room.participant_count
            operation.is_full = reply.admission is not None and reply.admission.code == "room_full"

    async def _take_over(self, first: Line) -> None:
        """Take the seat from a second connection, and see that the first one can do nothing more with it."""
        self.line = await self._open()
        try:
            seat = self.seat
            await self.come_back(self.line)
            if self.seat == seat is not None:
                self._said += 1
                text = f"{self._base}-{self._said}"
                operation = self._operation("say", first, seat=seat, client_id=text)
                with contextlib.suppress(Lost):  # the server has closed it with 4409
                    await first.ask(SendMessage(text=text, client_id=text), operation)
        finally:
            await first.close()

    def _operation(self, kind: Kind, line: Line, *, seat: str | None = None, client_id: str = "") -> Operation:
        return Operation(
            kind=kind, room=self.room, person=self._name, connection=line.number, is_guest=self._is_guest, sent=0.0,
            seat=seat, client_id=client_id,
        )  # fmt: skip

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(self._random.uniform(0.5, 1.5) * seconds)
