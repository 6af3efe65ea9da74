"""`roomd join`: sit in a room, see who comes and goes, and come back after a drop.

One visit is one connection. The first joins, the later ones resume; when the seat is gone they join anew. Between
visits the client waits: as long as the server asked for, else twice as long each time, with jitter, so that a
restart does not bring everyone back in the same moment. Leaving is one event that ends whatever is being waited for.
"""

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar

import typer

from roomd.cli import client
from roomd.cli.access import Access
from roomd.cli.keyboard import Keyboard
from roomd.cli.options import Code
from roomd.cli.output import complain, say
from roomd.cli.roster import Roster
from roomd.errors import SEAT_EXPIRED, Close, Refused
from roomd.frames import Event, JoinRoom, LeaveRoom, ParticipantReply, Resume, RoomState, ServerRestarting

T = TypeVar("T")

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
LATER_DELAY = 5.0
"""Seconds to wait at least after a close that means "later" (1013, 4429)."""
LEAVE_TIMEOUT = 3.0

_LATER = frozenset({Close.CONNECTION_LIMIT, Close.RATE_LIMITED})
_FINAL = {
    Close.TAKEN_OVER: "Your seat was taken over by another connection of yours.",
    Close.BAD_TOKEN: "The daemon does not accept the token any more.",
    4403: "The host removed you from the room.",
    1003: "The daemon did not understand this client.",
    1007: "The daemon did not understand this client.",
    1009: "The daemon did not understand this client.",
}
"""Closes after which coming back would be wrong or useless."""

_HELD = "The daemon gives the seat up by itself after a while."
_HELP = "Type /who to see who is here, /leave (or Ctrl-D) to go."


class Over(Exception):  # noqa: N818 - an outcome, not a mistake
    """The visit has ended for good, against the person's will; the text says why."""


class _Leaving(Exception):  # noqa: N818 - an outcome, not a mistake
    """The person wants to go."""


def join(
    access: Access,
    code: Code,
    guest: Annotated[str | None, typer.Option(metavar="NAME", help="Join as a guest with this name.")] = None,
) -> None:
    """Join a room and watch who comes, goes, drops and returns.

    Joins as a guest (--guest), by a token (--token), or as a user by the local secret (--as); where there is no
    secret, it asks for a guest name. Type /who to see who is here. /leave, Ctrl-D and Ctrl-C give the seat up; a lost
    connection is resumed.
    """
    if guest is not None and (access.token is not None or access.user is not None):
        raise typer.BadParameter("give --guest, or --token (or ROOMD_TOKEN), or --as")
    if guest is None and access.bearer() is None:
        guest = _ask_for_name()
    bearer = access.bearer if guest is None else lambda: None
    asyncio.run(Attendance(access.address, bearer, JoinRoom(code=code, guest_name=guest)).run())


def _ask_for_name() -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no local secret to make a token with: give --guest or --token")
    name: str = typer.prompt("Your name")
    return name


def backoff(attempt: int, jitter: float) -> float:
    """Say how many seconds to wait before the attempt, the first being 0; `jitter` is between 0 and 1."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt, 16))
    return longest * (0.5 + jitter / 2)


class Attendance:
    """One person's stay in one room, over as many connections as it takes."""

    def __init__(self, url: str, bearer: Callable[[], str | None], entry: JoinRoom, keyboard: int = 0) -> None:
        """`bearer` gives a token for each connection; `keyboard` is the descriptor to read lines from."""
        self._url = url
        self._bearer = bearer
        self._entry = entry
        self._roster = Roster()
        self._resume_token: str | None = None
        self._attempt = 0
        self._leaving = asyncio.Event()
        self._descriptor = keyboard
        self._keyboard: Keyboard | None = None

    async def run(self) -> None:
        """Stay until the person leaves or the room ends.

        Raises `Over`, and for the first connection `Refused`, `client.Closed` and `client.Unreachable`.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted, number)
        try:
            while not self._roster.ended:
                await self._visit_and_wait()
        except _Leaving:
            pass
        finally:
            if self._keyboard is not None:
                self._keyboard.close()

    async def _visit_and_wait(self) -> None:
        """Visit once; when the connection is lost, wait until it is time to come back."""
        try:
            await self._visit()
        except Refused as refused:
            if refused.kind.code == SEAT_EXPIRED.code:
                self._resume_token = None
                complain("Your seat is no longer held, joining anew.")
                return
            if self._roster.me is None or refused.retry_after is None:
                raise
            await self._wait(refused.kind.message, refused.retry_after)
        except client.Closed as closed:
            if closed.code in _FINAL:
                raise Over(_FINAL[closed.code]) from None
            if self._roster.me is None:
                raise
            await self._wait("Connection lost", closed.retry_after, LATER_DELAY if closed.code in _LATER else 0.0)
        except client.Unreachable as unreachable:
            if self._roster.me is None:
                raise
            await self._wait(f"Cannot reach the daemon: {unreachable.reason}", None)

    async def _wait(self, why: str, asked: float | None, at_least: float = 0.0) -> None:
        """Wait before the next visit: as long as the server `asked` for, else longer every time."""
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        delay = max(at_least, backoff(self._attempt, jitter)) if asked is None else asked
        self._attempt += 1
        complain(f"{why}; coming back in {delay:.1f} s.")
        try:
            await self._unless_leaving(asyncio.sleep(delay))
        except _Leaving:
            complain(_HELD)
            raise

    async def _visit(self) -> None:
        """Connect, take the seat, and watch until the room ends, the connection does, or the person leaves."""
        async with AsyncExitStack() as stack:
            opening = stack.enter_async_context(client.connect(self._url, self._bearer()))
            connection = await self._unless_leaving(opening)
            try:
                await self._unless_leaving(self._enter(connection))
                await self._unless_leaving(self._watch(connection))
            except _Leaving:
                await self._leave(connection)
                raise

    async def _enter(self, connection: client.Client) -> None:
        back = self._resume_token is not None
        request = Resume(resume_token=self._resume_token) if self._resume_token is not None else self._entry
        reply = await connection.request(request, ParticipantReply)
        self._roster.me = reply.participant
        self._resume_token = reply.resume_token
        self._attempt = 0
        say("You are back." if back else f"You are in. {_HELP}")

    async def _watch(self, connection: client.Client) -> None:
        while not self._roster.ended:
            frame = await connection.receive()
            if isinstance(frame, ServerRestarting):
                say("* The daemon restarts.")
            elif isinstance(frame, Event):
                for line in self._roster.apply(frame):
                    say(line)
            # Only now, so that lines that wait in a pipe already are about a room that is known.
            if self._keyboard is None and isinstance(frame, RoomState):
                self._keyboard = Keyboard(self._descriptor, self._typed, self._leaving.set)

    async def _leave(self, connection: client.Client) -> None:
        """Give the seat up."""
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await connection.request(LeaveRoom(), ParticipantReply)
        except Refused:
            pass  # there is no seat to give up: the join had not been served yet, or the room has ended
        except (client.Closed, client.Unreachable, TimeoutError):
            complain(f"The daemon did not answer. {_HELD}")
        else:
            say("You left.")

    def _typed(self, line: str) -> None:
        match line.split():
            case []:
                pass
            case ["/leave"]:
                self._leaving.set()
            case ["/who"]:
                say("\n".join(self._roster.who()))
            case _:
                say(_HELP)

    def _interrupted(self, number: int) -> None:
        """Leave; the same signal again ends the program at once."""
        self._leaving.set()
        asyncio.get_running_loop().remove_signal_handler(number)

    async def _unless_leaving(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`; when the person leaves first, stop it and raise `_Leaving`."""
        task = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                raise _Leaving
            return task.result()
        finally:
            task.cancel()
            leaving.cancel()
            await asyncio.gather(task, leaving, return_exceptions=True)
