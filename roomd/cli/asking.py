"""One request to the daemon, or the requests for all pages of a list."""

import asyncio
from typing import TypeVar

import msgspec

from roomd import client
from roomd.cli.access import Access
from roomd.protocol.replies import BansReply, MessagesReply, ParticipantsReply, Reply, RoomsReply, WaitingListReply
from roomd.protocol.requests import ListBans, ListMessages, ListParticipants, ListRooms, ListWaiting, Request

R = TypeVar("R", bound=Reply)
Page = TypeVar("Page", RoomsReply, ParticipantsReply, MessagesReply, BansReply, WaitingListReply)
PAGE = 200
"""The number of items that are requested in one page: the most that the protocol allows."""


def ask(access: Access, request: Request, reply: type[R]) -> R:
    """Connect, send one request, and return its reply.

    Raises `Refused`, `client.Closed` and `client.Unreachable`.
    """

    async def exchange() -> R:
        async with client.connect(access.address, access.bearer()) as connection:
            return await connection.request(request, reply)

    return asyncio.run(exchange())


def all_pages(
    access: Access, request: ListRooms | ListParticipants | ListMessages | ListBans | ListWaiting, reply: type[Page]
) -> list[Page]:
    """Connect, and request every page of a list. Raises like `ask`."""

    async def read() -> list[Page]:
        pages: list[Page] = []
        async with client.connect(access.address, access.bearer()) as connection:
            while not pages or pages[-1].next_cursor is not None:
                cursor = pages[-1].next_cursor if pages else None
                pages.append(await connection.request(msgspec.structs.replace(request, cursor=cursor), reply))
        return pages

    return asyncio.run(read())
