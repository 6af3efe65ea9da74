"""`roomd join`: join a room from a terminal, show its events, and send typed messages.

`roomd.client` reconnects after a lost connection. This module prints events as lines and makes requests of typed lines.
/leave, the end of the input and a signal set the same event, so that leaving works at any time.
"""

import asyncio
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer

from roomd import client
from roomd.cli.access import Access
from roomd.cli.chat import Chat, CommandError
from roomd.cli.event_lines import end_line, event_line, text_line
from roomd.cli.keyboard import typed_lines
from roomd.cli.meeting_text import describe_end, describe_event
from roomd.cli.options import RoomLink, room_link
from roomd.cli.output import plain, say, say_error
from roomd.client import AnyMeetingEvent, Dropped, Meeting, SeatLost

HELD = "The seat is held for a short time, then the daemon gives it up."
"""The text for a person whose leave was not answered."""

_EXPECTED_ENDS = frozenset({"left", "room_ended"})
"""The codes of meetings that ended without an error."""


class MeetingEnded(Exception):  # noqa: N818 - a result, not an error
    """The meeting was ended by others: the host, the daemon, or another connection. The text says why."""


def join(
    access: Access,
    room: Annotated[
        RoomLink,
        typer.Argument(
            metavar="CODE", parser=room_link, help="The room's code, like abc-def-ghi, or a link to the room."
        ),
    ],
    guest: Annotated[str | None, typer.Option(metavar="NAME", help="Join as a guest with this name.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a seat when the room is full.")] = False,
    seat: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Keep the resume token in this file. The command, started again with it, takes the same seat.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the events as JSON, one object a line.")] = False,
) -> None:
    """Join a room, show its events, and send typed messages.

    You join as a guest (--guest), with a token (--token), by the one-time ticket in a link, or as a user by the local
    secret (--as). Without a secret you are asked for a guest name. Typed lines are sent as messages; /help lists the
    commands. /leave, Ctrl-D and Ctrl-C give up the seat. A lost connection is resumed; with --seat FILE, also after the
    command was killed.
    """
    if guest is not None and (access.token is not None or access.user is not None):
        raise typer.BadParameter("give --guest, or --token (or ROOMD_TOKEN), or --as")
    if room.ticket is not None and any(given is not None for given in (guest, access.token, access.user)):
        raise typer.BadParameter("the link has a ticket: give no --guest, --token (or ROOMD_TOKEN) or --as")
    if guest is None and room.ticket is None and access.bearer() is None:
        guest = _ask_for_name()
    # A new token is minted for each connection; a given token is used as it is.
    token: client.Token = None if guest is not None else access.token or access.bearer
    if room.ticket is not None:
        token = asyncio.run(client.exchange(access.address, room.ticket))
    joining = client.join(access.address, room.code, guest, token, wait=wait, seat=_kept(seat))
    asyncio.run(TerminalMeeting(joining, json=json).run())


def _kept(file: Path | None) -> client.SeatFile | None:
    """Return the store in a file. Raises `typer.BadParameter` when the file could not be written."""
    if file is None:
        return None
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{file.parent} must be a folder in which you may write", param_hint="--seat")
    return client.SeatFile(file)


def _ask_for_name() -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no local secret to make a token with: give --guest or --token")
    name: str = typer.prompt("Your name")
    return name


class TerminalMeeting:
    """One person's meeting, with lines from a terminal or a pipe."""

    def __init__(self, joining: AbstractAsyncContextManager[Meeting], keyboard: int = 0, *, json: bool = False) -> None:
        """Prepare the meeting. `joining` opens it; `keyboard` is the file descriptor from which lines are read.

        `json` is whether events are printed for programs.
        """
        self._json = json
        self._joining = joining
        self._keyboard = keyboard
        self._meeting: Meeting | None = None
        self._leaving = asyncio.Event()
        self._is_leave_unanswered = False

    async def run(self) -> None:
        """Run the meeting until the person leaves or it is over.

        Raises `MeetingEnded`; for the first connection, also `Refused`, `client.Closed` and `client.Unreachable`.
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
            # Typed lines are read after the first events were shown, so the room is known when they are executed.
            typing = asyncio.get_running_loop().create_task(self._type(meeting))
            try:
                async for event in meeting:
                    self._show(event, meeting)
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
        if not typing.cancelled():
            typing.result()
        self._report(meeting)

    def _report(self, meeting: Meeting) -> None:
        """Print why the meeting is over.

        Raises `MeetingEnded` if others ended it.
        """
        over = meeting.over
        if over is None or self._is_leave_unanswered:
            return
        if self._json:
            say(end_line(over))
        if over.code not in _EXPECTED_ENDS:
            raise MeetingEnded(describe_end(over))
        if not self._json:
            say(describe_end(over))

    def _show(self, event: AnyMeetingEvent, meeting: Meeting) -> None:
        if self._json:
            say(event_line(event, meeting))
            return
        if isinstance(event, Dropped):
            say_error(f"{plain(event.reason)}; reconnecting in {event.delay:.1f} s.")
        elif isinstance(event, SeatLost):
            say_error("Your seat is no longer held; joining again.")
        for line in describe_event(event, meeting):
            say(line)

    async def _type(self, meeting: Meeting) -> None:
        """Execute the typed lines, one after the other, until the input ends."""
        chat = Chat(meeting, self._leaving.set)
        try:
            async for line in typed_lines(self._keyboard):
                await self._serve(chat, line)
                if self._leaving.is_set():
                    break
        finally:
            self._leaving.set()

    async def _serve(self, chat: Chat, line: str) -> None:
        try:
            for text in await chat.serve(line) if line else []:
                say(text_line(text) if self._json else text)
        except CommandError as mistyped:
            say_error(str(mistyped))

    async def _leave(self, visit: asyncio.Task[None]) -> None:
        """Give up the seat. Before there is one, cancel the join."""
        if self._meeting is None:
            visit.cancel()
            return
        was_away = self._meeting.status == "reconnecting"
        try:
            await self._meeting.leave()
        except (client.Closed, client.Unreachable):
            self._is_leave_unanswered = True
            say_error(HELD if was_away else f"The daemon did not answer. {HELD}")

    def _interrupted(self, number: int) -> None:
        """Leave the meeting. The same signal again ends the program at once."""
        self._leaving.set()
        asyncio.get_running_loop().remove_signal_handler(number)
