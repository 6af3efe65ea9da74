"""`roomd join`: sit in a room, see who comes and goes, talk, and come back after a drop.

`roomd.client` does the coming back; here is the person's side of it: events become lines, lines become requests, and
leaving (/leave, the end of the input, a signal) is one event, whatever is being waited for.
"""

import asyncio
import signal
import sys
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer

from roomd import client
from roomd.cli.access import Access
from roomd.cli.chat import Chat, Mistyped
from roomd.cli.keyboard import typed_lines
from roomd.cli.options import Code
from roomd.cli.output import complain, plain, say
from roomd.cli.words import end, tell
from roomd.client import AnyMeetingEvent, Dropped, Meeting, SeatLost

HELD = "The daemon gives the seat up by itself after a while."

_AS_WISHED = frozenset({"left", "room_ended"})
"""Ends that are no failure."""


class SentAway(Exception):  # noqa: N818 - an outcome, not a mistake
    """The meeting is over for this person, against their will; the text says why."""


def join(
    access: Access,
    code: Code,
    guest: Annotated[str | None, typer.Option(metavar="NAME", help="Join as a guest with this name.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="When the room is full, wait for a seat.")] = False,
) -> None:
    """Join a room, talk, and watch who comes, goes, drops and returns.

    Joins as a guest (--guest), by a token (--token), or as a user by the local secret (--as); where there is no
    secret, it asks for a guest name. What is typed is said; /help lists what else can be typed. /leave, Ctrl-D and
    Ctrl-C give the seat up; a lost connection is resumed.
    """
    if guest is not None and (access.token is not None or access.user is not None):
        raise typer.BadParameter("give --guest, or --token (or ROOMD_TOKEN), or --as")
    if guest is None and access.bearer() is None:
        guest = _ask_for_name()
    # A token made here is fresh for each connection, a given one is what it is.
    token = None if guest is not None else access.token or access.bearer
    asyncio.run(Attendance(client.join(access.address, code, guest, token, wait=wait)).run())


def _ask_for_name() -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no local secret to make a token with: give --guest or --token")
    name: str = typer.prompt("Your name")
    return name


class Attendance:
    """One person's stay in one room, at a terminal or a pipe."""

    def __init__(self, joining: AbstractAsyncContextManager[Meeting], keyboard: int = 0) -> None:
        """`keyboard` is the descriptor to read lines from."""
        self._joining = joining
        self._keyboard = keyboard
        self._meeting: Meeting | None = None
        self._leaving = asyncio.Event()
        self._untold = False

    async def run(self) -> None:
        """Stay until the person leaves or the meeting is over.

        Raises `SentAway`, and for the first connection `Refused`, `client.Closed` and `client.Unreachable`.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted, number)
        visit = loop.create_task(self._visit())
        leaving = loop.create_task(self._leaving.wait())
        try:
            await asyncio.wait({visit, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not visit.done():
                await self._leave(visit)
            await asyncio.wait({visit})
        finally:
            visit.cancel()
            leaving.cancel()
            await asyncio.gather(visit, leaving, return_exceptions=True)
        if not visit.cancelled():
            visit.result()

    async def _visit(self) -> None:
        async with self._joining as meeting:
            self._meeting = meeting
            # It begins when the first events have been shown, so lines that wait in a pipe are about a known room.
            typing = asyncio.get_running_loop().create_task(self._type(meeting))
            try:
                async for event in meeting:
                    _show(event, meeting)
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
        if not typing.cancelled():
            typing.result()
        self._report(meeting)

    def _report(self, meeting: Meeting) -> None:
        """Say why it is over.

        Raises `SentAway`.
        """
        over = meeting.over
        if over is None or self._untold:
            return
        if over.code not in _AS_WISHED:
            raise SentAway(end(over))
        say(end(over))

    async def _type(self, meeting: Meeting) -> None:
        """Serve what is typed, line after line, until there is no more."""
        chat = Chat(meeting, self._leaving.set)
        try:
            async for line in typed_lines(self._keyboard):
                await _serve(chat, line)
                if self._leaving.is_set():
                    break
        finally:
            self._leaving.set()

    async def _leave(self, visit: asyncio.Task[None]) -> None:
        """Give the seat up; while there is none yet, take back that it was asked for."""
        if self._meeting is None:
            visit.cancel()
            return
        was_away = self._meeting.status == "reconnecting"
        try:
            await self._meeting.leave()
        except (client.Closed, client.Unreachable):
            self._untold = True
            complain(HELD if was_away else f"The daemon did not answer. {HELD}")

    def _interrupted(self, number: int) -> None:
        """Leave; the same signal again ends the program at once."""
        self._leaving.set()
        asyncio.get_running_loop().remove_signal_handler(number)


async def _serve(chat: Chat, line: str) -> None:
    try:
        for text in await chat.serve(line) if line else []:
            say(text)
    except Mistyped as mistyped:
        complain(str(mistyped))


def _show(event: AnyMeetingEvent, meeting: Meeting) -> None:
    if isinstance(event, Dropped):
        complain(f"{plain(event.reason)}; coming back in {event.delay:.1f} s.")
    elif isinstance(event, SeatLost):
        complain("Your seat is no longer held, joining anew.")
    for line in tell(event, meeting):
        say(line)
