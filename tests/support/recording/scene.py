"""Named clients of one daemon, and steps whose outcome is fixed.

A step sends something and then waits until every client has received all that comes of it: a request `ping` on each
connection, the sender's first, is answered after what was told before. What is told later than the reply, by a batch
of its own, is named by the step (`late`) and waited for.
"""

import asyncio
import contextlib
import itertools
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jwt

from tests.support.daemon import SECRET, Daemon
from tests.support.recording.transcript import Transcript
from tests.support.recording.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, Wire, frame

PATIENCE = 60.0
"""Seconds after which something awaited counts as not happening."""

LATEST = 4_102_444_800
"""The first second of the year 2100: when the tokens of the session expire."""
ISSUER, AUDIENCE = "https://issuer.example", "roomd"

_NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
_BARRIER = "everything so far"

Reply = dict[str, Any]
Late = str | Mapping[str, int]

PACE = 0.3
"""The seconds between two changes of a queue: so hosts are sent each of them."""


class Person:
    """One client."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.numbers = itertools.count(1)
        self.received = 0
        """Frames since the step began."""
        self.begun: list[int] = []
        """Ids of requests whose replies are still to come."""
        self.is_closing = False
        self.is_open = True


class Scene:
    """Everyone who is connected, by name; without `barriers` only the sender is read from."""

    def __init__(self, daemon: Daemon, transcript: Transcript, *, barriers: bool = True) -> None:
        self.daemon = daemon
        self.transcript = transcript
        self.barriers = barriers
        self.pace = 0.0
        """The seconds by which the clock of a steered daemon is moved before each request."""
        self._people: dict[str, Person] = {}
        self._crowd: list[Wire] = []

    def token(self, user: str, note: str = "", **claims: Any) -> str:
        """Make a token; a claim that is None is left out."""
        given = {"sub": user, "exp": LATEST, "iss": ISSUER, "aud": AUDIENCE, **claims}
        token = jwt.encode({name: value for name, value in given.items() if value is not None}, SECRET, "HS256")
        return self.transcript.alias(token, f"<token of {user}{', ' if note else ''}{note}>")

    # Coming.

    async def connect(self, name: str, user: str | None = None, *, token: str | None = None) -> None:
        """Connect as a guest, as a user or with the token given."""
        token = self.token(user) if user is not None else token
        await self.upgrade(name, *([("Authorization", f"Bearer {token}")] if token is not None else []))

    async def upgrade(self, name: str, *headers: tuple[str, str]) -> None:
        """Connect with headers of one's own."""
        assert name not in self._people, name
        said = ", ".join(f"{key}: {value}" for key, value in headers)
        async with asyncio.timeout(PATIENCE):
            wire = await Wire.open(self.daemon.port, headers)
        chosen = [line for line in wire.response.splitlines() if line.lower().startswith("sec-websocket-protocol")]
        self.transcript.sent(name, " ".join(["[upgrade]", *([said] if said else [])]))
        for line in chosen:
            self.transcript.received(name, f"[{line}]")
        self._people[name] = Person(wire)

    async def room(self, host: str, **settings: Any) -> str:
        """Make a room; answers with its code."""
        code: str = (await self.ask(host, "create-room", **settings))["room"]["code"]
        return code

    # Speaking.

    async def ask(self, name: str, type_: str, /, *, late: Late = "", **fields: Any) -> Reply:
        """Send a request with an id and wait for its reply, and for all that comes of it."""
        number = next(self._people[name].numbers)
        if self.pace:
            await asyncio.to_thread(self.daemon.advance, self.pace)
        await self._send(name, json.dumps({"type": type_, "id": number, **fields}))
        reply = await self._until_reply(name, number)
        await self.settle(name, late)
        return reply

    async def tell(self, name: str, type_: str, /, *, late: Late = "", **fields: Any) -> None:
        """Send a request without an id."""
        await self.say(name, json.dumps({"type": type_, **fields}), late=late)

    async def say(self, name: str, text: str, *, late: Late = "") -> None:
        """Send a text message as it is."""
        await self._send(name, text)
        await self.settle(name, late)

    async def pieces(self, name: str, *parts: str, between: bytes = b"") -> None:
        """Send a text message in fragments, with bytes between them."""
        self._begin(name, f"[in {len(parts)} fragments] {'|'.join(parts)}")
        wire = self._people[name].wire
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            await wire.send(frame(part.encode(), TEXT if number == 0 else CONTINUATION, fin=last))
            await wire.send(b"" if last else between)
        await self.settle(name)

    async def raw(self, name: str, note: str, data: bytes) -> None:
        """Send bytes as they are, and read on until nothing more comes of them."""
        self._begin(name, f"[{note}]")
        await self._people[name].wire.send(data)
        await self.settle(name)

    async def begin(self, name: str, type_: str, /, **fields: Any) -> None:
        """Send a request that cannot be answered yet, one for a client, and see to it that the server has read it.

        `settle` waits for the replies.
        """
        number = next(self._people[name].numbers)
        self._people[name].begun.append(number)
        await self._send(name, json.dumps({"type": type_, "id": number, **fields}))
        await self._people[name].wire.send(frame(b"read", PING))  # the server answers it past what waits
        answer = await asyncio.wait_for(self._people[name].wire.read(), PATIENCE)
        assert answer is not None
        assert (answer.opcode, answer.payload) == (PONG, b"read"), answer

    async def exhaust(self, name: str, count: int) -> None:
        """Send so many requests that are answered; they are not recorded."""
        self.transcript.note(f"{name} sends {count} requests `ping`, and all are answered")
        person = self._people[name]
        await person.wire.send(frame(b'{"type": "ping"}') * count)
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                assert await person.wire.read() == Frame(TEXT, b'{"type":"pong"}', True)

    async def first_refusal(self, name: str, type_: str, /, *, pause: float = 0.0, **fields: Any) -> Reply:
        """Send a request again and again until it is refused; only the last reply is recorded, and nobody's else."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self._people[name].wire.send(frame(json.dumps({"type": type_, **fields}).encode()))
                answer = await self._people[name].wire.read()
                assert answer is not None
                reply: Reply = json.loads(answer.payload)
                if reply["type"] == "error":
                    break
                await asyncio.sleep(pause)
        self.transcript.sent(name, "[again and again] " + json.dumps({"type": type_, **fields}))
        self._record(name, answer)
        return reply

    # Hearing.

    async def settle(self, first: str = "", late: Late = "") -> None:
        """Read from every client all that was told up to now."""
        waited = {late: 1} if isinstance(late, str) else late
        order = [first, *(name for name in self._people if name != first)] if first else list(self._people)
        for name in order if self.barriers else ():
            for number in self._people[name].begun:
                await self._until_reply(name, number)
            self._people[name].begun.clear()
        for name in order:
            person = self._people[name]
            while person.is_open and person.received < waited.get(name, 0):
                await self.hear(name)
            if self.barriers:
                await self._drain(name)
        for name in [name for name, person in self._people.items() if not person.is_open]:
            del self._people[name]
        for person in self._people.values():
            person.received = 0

    async def hear(self, name: str) -> Frame | None:
        """Wait for a client's next frame; None for the end of its connection.

        The ping that asks whether a resume token has arrived comes with a tick of the server, so it is not recorded.
        """
        person = self._people[name]
        async with asyncio.timeout(PATIENCE):
            while (got := await person.wire.read()) is not None and got.opcode == PING and got.payload:
                await person.wire.send(frame(got.payload, PONG))
        if got is None:
            self.transcript.received(name, "[cut off]")
            self._end(person)
            return None
        person.received += 1
        if got.opcode == TEXT and got.is_plain and json.loads(got.payload).get("id") == _BARRIER:
            return got
        self._record(name, got)
        if got.opcode == PING:
            await person.wire.send(frame(got.payload, PONG))
        elif got.opcode == CLOSE:
            await self._see_out(person, got)
        return got

    async def until_closed(self, name: str) -> None:
        """Read a client's frames until the server closes its connection."""
        while await self.hear(name) is not None and self._people[name].is_open:
            pass
        del self._people[name]

    async def until_cut_off(self, name: str) -> None:
        """Read a silent client's frames until it is cut off; of its pings one is recorded, and none answered."""
        pings = 0
        async with asyncio.timeout(PATIENCE):
            while (got := await self._people[name].wire.read()) is not None:
                pings += got.opcode == PING
                if got.opcode != PING or pings == 1:
                    self._record(name, got)
        self.transcript.received(name, "[cut off]")
        self._end(self._people[name])

    async def close_of(self, name: str) -> None:
        """Read a client's frames until the server closes its connection, and record only the close."""
        person = self._people[name]
        async with asyncio.timeout(PATIENCE):
            while (got := await person.wire.read()) is not None and got.opcode != CLOSE:
                pass
        assert got is not None, "cut off"
        self._record(name, got)
        await self._see_out(person, got)
        del self._people[name]

    # A crowd, of whom nothing is recorded.

    async def guests_wait(self, count: int, code: str) -> None:
        """Connect so many guests and have them wait for the host."""
        self.transcript.note(f"{count} guests join {code} and wait")
        for number in range(count):
            wire = await asyncio.wait_for(Wire.open(self.daemon.port), PATIENCE)
            self._crowd.append(wire)
            await wire.send(frame(json.dumps({"type": "join-room", "code": code, "guestName": f"{number}"}).encode()))
            got = await asyncio.wait_for(wire.read(), PATIENCE)
            assert got is not None
            assert json.loads(got.payload)["position"] == number + 1, got

    async def guests_hear(self) -> list[str]:
        """Read a frame of everyone in the crowd; answers with what differs among these frames."""
        got = [await asyncio.wait_for(wire.read(), PATIENCE) for wire in self._crowd]
        return sorted({describe(one) if one is not None else "nothing" for one in got})

    # Going.

    async def hang_up(self, name: str, code: int | None = 1000, *, late: Late = "") -> None:
        """Close a connection with a code; without one, cut it."""
        person = self._people[name]
        if code is None:
            self.transcript.sent(name, "[cuts the connection]")
            self._end(person)
        else:
            await self._send_close(name, person, code)
            while await self.hear(name) is not None and person.is_open:
                pass
        await self.settle("", late)

    def everybody_goes(self) -> None:
        """Cut all connections; what comes of it nobody hears."""
        self.transcript.note("everybody goes")
        self.close()

    def close(self) -> None:
        """Cut all connections."""
        for person in self._people.values():
            self._end(person)
        self._people.clear()
        for wire in self._crowd:
            wire.cut()
        self._crowd.clear()

    # Storage.

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Lock the database, as another program could."""
        with contextlib.closing(sqlite3.connect(self.daemon.database, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            self.transcript.note("the database is locked")
            yield
            db.execute("ROLLBACK")
            self.transcript.note("the database is free")

    def _begin(self, name: str, text: str) -> None:
        for person in self._people.values():
            person.received = 0
        self.transcript.sent(name, text)

    async def _send(self, name: str, text: str) -> None:
        self._begin(name, text)
        await self._people[name].wire.send(frame(text.encode()))

    async def _send_close(self, name: str, person: Person, code: int) -> None:
        self._begin(name, f"[close {code}]")
        person.is_closing = True
        await person.wire.send(frame(code.to_bytes(2), CLOSE))

    async def _until_reply(self, name: str, number: int) -> Reply:
        while (got := await self.hear(name)) is not None:
            reply: Reply = json.loads(got.payload) if got.opcode == TEXT else {}
            if reply.get("id") == number or not self._people[name].is_open:
                return reply
        return {}

    async def _drain(self, name: str) -> None:
        """Read what was told to a client up to now."""
        person = self._people[name]
        if not person.is_open:
            return
        await person.wire.send(frame(json.dumps({"type": "ping", "id": _BARRIER}).encode()))
        while person.is_open:
            got = await self.hear(name)
            if got is None or (got.opcode == TEXT and json.loads(got.payload).get("id") == _BARRIER):
                return

    async def _see_out(self, person: Person, got: Frame) -> None:
        """Answer a close, and check that the connection ends with it."""
        if not person.is_closing:
            await person.wire.send(frame(got.payload, CLOSE))
        async with asyncio.timeout(PATIENCE):
            after = await person.wire.read()
        assert after is None, after
        self._end(person)

    def _end(self, person: Person) -> None:
        person.is_open = False
        person.wire.cut()

    def _record(self, name: str, got: Frame) -> None:
        self.transcript.received(name, describe(got))


def describe(got: Frame) -> str:
    """Write a frame as the recording has it: a plain text frame as its text, anything else in brackets."""
    if got.opcode == TEXT and got.is_plain:
        return got.payload.decode()
    words: Sequence[str] = [_NAMES.get(got.opcode, f"opcode {got.opcode}")]
    if got.opcode == CLOSE and got.payload:
        words = [*words, str(int.from_bytes(got.payload[:2])), got.payload[2:].decode()]
    elif got.payload:
        words = [*words, repr(got.payload)]
    return f"[{' '.join(word for word in [*words, '' if got.is_plain else 'not plain'] if word)}]"
