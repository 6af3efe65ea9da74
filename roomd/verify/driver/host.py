"""The host: makes, ends, lists and deletes the rooms of a run, over whatever fails meanwhile."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from roomd.client.connection import Closed, Connection, Unreachable, connect
from roomd.client.requests import room_of
from roomd.client.tokens import Token, Tokens
from roomd.protocol.errors import NOT_ADMIN, ROOM_INACTIVE, ROOM_NOT_FOUND, Refused
from roomd.protocol.replies import MessagesReply, OkReply, ParticipantsReply, Reply, RoomReply
from roomd.protocol.requests import CreateRoom, DeleteRoom, EndRoom, GetRoom, ListMessages, ListParticipants, Request
from roomd.verify.driver.lines import clock, text_of
from roomd.verify.records import OK, Final, History, Operation, Text

R = TypeVar("R", bound=Reply)

NAME = "roomd verify"
"""The name of the rooms."""
LEFT_OVER = 3600
"""Seconds after which an empty room ends by itself that could not be deleted."""
PAGE = 200
PAUSE = 0.2
"""Seconds between two attempts."""


class Host:
    """Sends requests to one node after another until one answers."""

    def __init__(self, history: History, nodes: Sequence[str], token: Token, run: str, patience: float) -> None:
        self.codes: list[str] = []
        """The codes of all rooms that were made, for the end."""
        self._history = history
        self._nodes = nodes
        self._token = token
        self._run = run
        self._patience = patience
        self._is_admin = True

    async def request(self, request: Request, reply: type[R], node: str | None = None) -> R:
        """Send a request until it is answered, and return the reply.

        Raises `Refused` for a refusal that does not pass, `Closed` or `Unreachable` when nobody answers for long.
        """
        end = clock() + 6 * self._patience
        while True:
            url = node or random.choice(self._nodes)  # noqa: S311 - any node will do
            try:
                token = await Tokens(self._token, self._patience, url).get()
                async with connect(url, token, self._patience) as connection:
                    return await self._ask(connection, request, reply)
            except Refused as refused:
                if refused.kind.status_code not in (429, 500, 503) or clock() > end:
                    raise
                await asyncio.sleep(refused.retry_after or PAUSE)
            except (Closed, Unreachable):
                if clock() > end:
                    raise
                await asyncio.sleep(PAUSE)

    async def reach(self, node: str) -> None:
        """Wait until a node answers. Raises `Closed` and `Unreachable`."""
        with contextlib.suppress(Refused):
            await self.request(GetRoom(code=self.codes[0]), RoomReply, node)

    async def _ask(self, connection: Connection, request: Request, reply: type[R]) -> R:
        if not isinstance(request, EndRoom):
            return await connection.request(request, reply)
        end = Operation(kind="end", room=request.code, person=NAME, connection=0, sent=clock())
        self._history.operations.append(end)
        answer = await connection.request(request, reply)
        end.answered, end.outcome = clock(), OK
        return answer

    async def make(self) -> str:
        """Make a room, and return its code."""
        request = CreateRoom(
            name=NAME,
            max_participants=self._history.limit,
            allow_guest_access=True,
            waiting_room=False,
            history_visible="all",
            metadata={NAME: self._run},
            end_when_empty=LEFT_OVER,
        )
        if self._is_admin:  # a request whose reply was lost is sent again, and makes no second room
            request = msgspec.structs.replace(request, external_id=f"verify-{self._run}-{len(self.codes)}")
        try:
            room = room_of(await self.request(request, RoomReply))
        except Refused as refused:
            if not self._is_admin or refused.kind.code != NOT_ADMIN.code:
                raise
            self._is_admin = False
            return await self.make()
        self.codes.append(room.code)
        return room.code

    async def end(self, code: str) -> None:
        """End a room for everyone."""
        try:
            await self.request(EndRoom(code=code), RoomReply)
        except Refused as refused:  # an attempt without an answer has ended it
            if refused.kind.code != ROOM_INACTIVE.code:
                raise

    async def people(self, code: str) -> dict[str, bool]:
        """Return who has a seat, and whether they are active."""
        reply = await self.request(ListParticipants(code=code, limit=PAGE), ParticipantsReply)
        return {one.id: one.is_active for one in reply.participants if one.left_at is None}

    async def final(self, code: str) -> Final:
        """Return every message and every stay of a room that has ended."""
        texts: list[Text] = []
        cursor: str | None = None
        while True:
            messages = await self.request(ListMessages(code=code, limit=PAGE, cursor=cursor), MessagesReply)
            texts += map(text_of, messages.messages)
            cursor = messages.next_cursor
            if cursor is None:
                break
        stays: dict[str, str | None] = {}
        while True:
            request = ListParticipants(code=code, history=True, limit=PAGE, cursor=cursor)
            people = await self.request(request, ParticipantsReply)
            stays |= {one.id: one.left_at for one in people.participants}
            cursor = people.next_cursor
            if cursor is None:
                return Final(texts, stays)

    async def delete(self, code: str) -> None:
        """Delete a room."""
        try:
            await self.request(DeleteRoom(code=code), OkReply)
        except Refused as refused:  # an attempt without an answer has deleted it
            if refused.kind.code != ROOM_NOT_FOUND.code:
                raise
