"""Those who sit in the room while the network fails: the Python client, and raw frames. JavaScript is in blips.js."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from roomd.client import Closed, Meeting, NoAnswer, Refused, Said, Token, Unreachable
from roomd.client.meeting import open_meeting
from roomd.client.settings import Settings
from roomd.protocol.requests import JoinRoom

LOST = (Closed, NoAnswer, Refused, Unreachable)


@dataclass(frozen=True)
class Cues:
    """What everyone waits for, in this order."""

    talk: asyncio.Event = field(default_factory=asyncio.Event)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)


class Report:
    """What somebody saw and did."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ids: list[str] = []
        """The participant ids it had, without repetitions."""
        self.status = "new"
        self.heard: list[tuple[str, str]] = []
        """The id and the text of each message, in the order they were told."""
        self.said: list[str] = []
        """The texts that were accepted."""
        self.unanswered = 0
        """Requests that have neither an answer nor an error."""

    def note_id(self, participant_id: str) -> None:
        """Note the own id."""
        if not self.ids or self.ids[-1] != participant_id:
            self.ids.append(participant_id)


class PythonAttendee:
    """The Python client."""

    def __init__(self, name: str, token: Token, random: Random, talk: float, speed: float) -> None:
        self.report = Report(name)
        self._token = token
        self._random = random
        self._talk = talk
        self._speed = speed
        self._tasks: set[asyncio.Task[None]] = set()

    async def attend(self, url: str, code: str, here: asyncio.Event, cues: Cues) -> None:
        """Join, say something now and then until it is to be quiet, and stay until the end."""
        settings = Settings(sleep=lambda seconds: asyncio.sleep(seconds / self._speed), patience=10 / self._speed)
        entry = JoinRoom(code=code, guest_name=self.report.name)
        async with open_meeting(url, entry, self._token, settings) as meeting:
            listening = asyncio.create_task(self._listen(meeting))
            here.set()
            try:
                await cues.talk.wait()
                number = 0
                while not cues.quiet.is_set():
                    number += 1
                    self._start(self._say(meeting, f"{self.report.name} {number}"))
                    self._start(self._wave(meeting, number))
                    await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._talk)
                await cues.end.wait()
            finally:
                listening.cancel()
                await asyncio.gather(listening, *self._tasks, return_exceptions=True)

    async def _listen(self, meeting: Meeting) -> None:
        if meeting.me is not None:
            self.report.note_id(meeting.me.id)
        self.report.heard += [(message.id, message.text) for message in meeting.messages]
        async for event in meeting:
            if isinstance(event, Said):
                self.report.heard.append((event.message.id, event.message.text))
            if meeting.me is not None:
                self.report.note_id(meeting.me.id)
            self.report.status = meeting.status

    def _start(self, doing: Awaitable[None]) -> None:
        async def do() -> None:
            self.report.unanswered += 1
            try:
                await doing
            finally:
                self.report.unanswered -= 1

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, meeting: Meeting, text: str) -> None:
        while meeting.over is None:
            with contextlib.suppress(*LOST):
                await meeting.say(text, client_id=text.replace(" ", "-"))
                self.report.said.append(text)
                return
            await asyncio.sleep(0.1)

    async def _wave(self, meeting: Meeting, number: int) -> None:
        with contextlib.suppress(*LOST):
            await meeting.update_state({"number": number})
        with contextlib.suppress(*LOST):
            await meeting.ice_servers()


class RawAttendee:
    """A client of fifty lines, as docs/protocol.md tells its author to write it."""

    def __init__(self, name: str, token: Callable[[], str] | None, random: Random, talk: float, speed: float) -> None:
        self.report = Report(name)
        self._token = token
        self._random = random
        self._talk = talk
        self._speed = speed
        self._resume_token: str | None = None
        self._unsaid: dict[str, str] = {}
        self._held_back: list[tuple[str, str]] | None = None
        self._websocket: ClientConnection | None = None
        self._handlers: dict[str, Callable[[dict[str, Any], str], Awaitable[None]]] = {
            "participant": self._seated,
            "room-state": self._entered,
            "messages": self._paged,
            "message": self._heard,
            "ok": self._answered,
            "error": self._refused,
        }

    async def attend(self, url: str, code: str, here: asyncio.Event, cues: Cues) -> None:
        """Join, say something now and then until it is to be quiet, and stay until the end."""
        visiting = asyncio.create_task(self._visit_again(url, code, here))
        number = 0
        try:
            await cues.talk.wait()
            while not cues.quiet.is_set():
                number += 1
                text = f"{self.report.name} {number}"
                self._unsaid[text.replace(" ", "-")] = text
                self.report.unanswered = len(self._unsaid)
                await self._say(text.replace(" ", "-"))
                await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._talk)
            await cues.end.wait()
        finally:
            visiting.cancel()
            await asyncio.gather(visiting, return_exceptions=True)

    async def _visit_again(self, url: str, code: str, here: asyncio.Event) -> None:
        while True:
            # Only a join needs the token: it may have expired since.
            token = self._token() if self._token is not None and self._resume_token is None else None
            options: dict[str, Any] = {
                "additional_headers": {"Authorization": f"Bearer {token}"} if token else {},
                "ping_interval": 2 / self._speed,
                "ping_timeout": 4 / self._speed,
                "open_timeout": 5,
                "close_timeout": 0.1,
            }
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                async with connect(url, **options) as socket:
                    self._websocket = socket
                    await self._visit(socket, code, here)
            self._websocket = None
            self.report.status = "reconnecting"
            await asyncio.sleep(self._random.uniform(0.3, 1.5) / self._speed)

    async def _visit(self, socket: ClientConnection, code: str, here: asyncio.Event) -> None:
        if self._resume_token is None:
            await self._send("join-room", id="seat", code=code, guestName=self.report.name)
        else:
            await self._send("resume", id="seat", resumeToken=self._resume_token)
        async for data in socket:
            frame = json.loads(data)
            take = self._handlers.get(frame["type"])
            if take is not None:
                await take(frame, code)
            if frame["type"] == "room-state":
                here.set()

    async def _seated(self, frame: dict[str, Any], _: str) -> None:
        self._resume_token = frame["resumeToken"]
        self.report.note_id(frame["participant"]["id"])

    async def _entered(self, frame: dict[str, Any], code: str) -> None:
        self.report.status = "joined"
        if not self.report.heard and not self._held_back:
            self.report.heard += [(one["id"], one["text"]) for one in frame["messages"]]
        self._held_back = []
        await self._page(code)
        for client_id in list(self._unsaid):
            await self._say(client_id)

    async def _page(self, code: str) -> None:
        cursor = self.report.heard[-1][0] if self.report.heard else None
        await self._send("list-messages", id="page", code=code, cursor=cursor, limit=200)

    async def _paged(self, frame: dict[str, Any], code: str) -> None:
        self._take([(one["id"], one["text"]) for one in frame["messages"]])
        if frame["nextCursor"] is not None:
            await self._page(code)
            return
        held, self._held_back = self._held_back or [], None
        self._take(held)

    async def _heard(self, frame: dict[str, Any], _: str) -> None:
        one = (frame["message"]["id"], frame["message"]["text"])
        if self._held_back is not None:
            self._held_back.append(one)
        else:
            self._take([one])

    def _take(self, messages: list[tuple[str, str]]) -> None:
        known = set(self.report.heard)
        self.report.heard += [one for one in messages if one not in known]

    async def _answered(self, frame: dict[str, Any], _: str) -> None:
        if text := self._unsaid.pop(str(frame.get("id")), None):
            self.report.said.append(text)
        self.report.unanswered = len(self._unsaid)

    async def _refused(self, frame: dict[str, Any], _: str) -> None:
        if frame.get("id") == "seat" and frame["statusCode"] < 500 and frame["statusCode"] != 429:
            self.report.status = f"over: {frame['code']}"
            self._resume_token = None  # joins again, which the check of the ids shows

    async def _say(self, client_id: str) -> None:
        if self.report.status == "joined":
            await self._send("send-message", id=client_id, text=self._unsaid[client_id], clientId=client_id)

    async def _send(self, type_: str, **fields: Any) -> None:
        if self._websocket is not None:
            with contextlib.suppress(WebSocketException):
                await self._websocket.send(json.dumps({"type": type_, **fields}))
