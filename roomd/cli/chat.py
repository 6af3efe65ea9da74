"""What can be typed in `roomd join`: text that is said, and commands that begin with a slash."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from roomd.cli.output import plain
from roomd.cli.words import tell, who
from roomd.client import Closed, Meeting, Refused, Unreachable

LONGEST_MESSAGE = 2000
"""Characters (docs/protocol.md, section 8)."""


class Mistyped(Exception):  # noqa: N818 - an outcome, not a mistake of the program
    """What was typed cannot be done; the text says why."""


class Somebody(NamedTuple):
    """Whom a command can be about."""

    id: str
    name: str


class Typed(NamedTuple):
    """A command: what follows its name, what it does, and how."""

    usage: str
    help: str
    do: "Callable[[Chat, str], Awaitable[list[str]]]"


class Chat:
    """Serves typed lines, one at a time."""

    def __init__(self, meeting: Meeting, on_leave: Callable[[], None]) -> None:
        self._meeting = meeting
        self._on_leave = on_leave

    async def serve(self, line: str) -> list[str]:
        """Do what a line asks for, and return lines to show for it.

        Raises `Mistyped` for what cannot be done, also where the daemon says so.
        """
        name, _, rest = line.partition(" ")
        command = _COMMANDS.get(name.lower()) if name.startswith("/") else _COMMANDS["/say"]
        if command is None:
            raise Mistyped("There is no such command; /help lists them. What begins with / is said by /say.")
        try:
            return await command.do(self, rest.strip() if name.startswith("/") else line)
        except Refused as refused:
            raise Mistyped(f"{plain(refused.kind.code)}: {plain(refused.message)}") from None
        except (Closed, Unreachable):
            raise Mistyped("Not done: the connection is lost just now.") from None

    async def _say(self, text: str) -> list[str]:
        await self._send(text, None)
        return []

    async def _msg(self, rest: str) -> list[str]:
        somebody, text = find(rest, self._people())
        await self._send(text, somebody.id)
        return []

    async def _send(self, text: str, to: str | None) -> None:
        if not 1 <= len(text) <= LONGEST_MESSAGE:
            raise Mistyped(f"A message has 1 to {LONGEST_MESSAGE:,} characters.")
        if self._meeting.status == "waiting":
            raise Mistyped("Nobody hears you while you wait.")
        await self._meeting.say(text, to=to)

    async def _who(self, _: str) -> list[str]:
        place = self._meeting.place
        return who(self._meeting) if place is None else tell(place, self._meeting)

    async def _help(self, _: str) -> list[str]:
        width = max(len(f"{name} {command.usage}") for name, command in _COMMANDS.items())
        return [f"  {f'{name} {one.usage}':<{width}}  {one.help}" for name, one in _COMMANDS.items()]

    async def _leave(self, _: str) -> list[str]:
        self._on_leave()
        return []

    async def _admit(self, rest: str) -> list[str]:
        if rest.lower() == "all":
            await self._meeting.admit_all()
        else:
            await self._meeting.admit(find(rest, self._waiters())[0].id)
        return []

    async def _deny(self, rest: str) -> list[str]:
        await self._meeting.deny(find(rest, self._waiters())[0].id)
        return []

    async def _mute(self, rest: str) -> list[str]:
        await self._meeting.mute(find(rest, self._people())[0].id)
        return []

    async def _remove(self, rest: str) -> list[str]:
        somebody, reason = find(rest, self._people())
        await self._meeting.remove(somebody.id, reason=reason or None)
        return []

    async def _ban(self, rest: str) -> list[str]:
        somebody, reason = find(rest, self._people())
        await self._meeting.remove(somebody.id, ban=True, reason=reason or None)
        return []

    async def _lock(self, _: str) -> list[str]:
        await self._meeting.update_room(is_locked=True)
        return []

    async def _unlock(self, _: str) -> list[str]:
        await self._meeting.update_room(is_locked=False)
        return []

    async def _end(self, _: str) -> list[str]:
        await self._meeting.end_room()
        return []

    def _people(self) -> list[Somebody]:
        return [Somebody(one.id, one.display_name) for one in self._meeting.participants]

    def _waiters(self) -> list[Somebody]:
        return [Somebody(one.participant_id, one.display_name) for one in self._meeting.lobby]


def find(text: str, people: Iterable[Somebody]) -> tuple[Somebody, str]:
    """Find whom `text` begins with, by id or name, the longest that fits; and return what follows.

    Raises `Mistyped` for nobody, and for several of the same name.
    """
    fits = [(len(name), one) for one in people for name in (one.id, one.name) if _begins(text, name)]
    longest = max((length for length, _ in fits), default=0)
    found = {one for length, one in fits if length == longest}
    if not found:
        raise Mistyped("There is nobody of that name; /who shows who is here.")
    if len(found) > 1:
        ids = ", ".join(sorted(plain(one.id) for one in found))
        raise Mistyped(f"Several people are called that; say which by the id: {ids}")
    return found.pop(), text[longest:].strip()


def _begins(text: str, name: str) -> bool:
    """Whether a text begins with a name, however it is capitalised, and with nothing less than the whole word."""
    return text[: len(name)].casefold() == name.casefold() and text[len(name) : len(name) + 1] in ("", " ")


_COMMANDS = {
    "/say": Typed("TEXT", "say it to everyone, as do lines without a slash", Chat._say),
    "/msg": Typed("NAME TEXT", "say it to one person, called by name or id", Chat._msg),
    "/who": Typed("", "show who is here", Chat._who),
    "/leave": Typed("", "go, as do Ctrl-D and Ctrl-C", Chat._leave),
    "/help": Typed("", "show this list", Chat._help),
    "/admit": Typed("NAME|all", "host: let in who waits", Chat._admit),
    "/deny": Typed("NAME", "host: send away who waits", Chat._deny),
    "/mute": Typed("NAME", "host: ask somebody to mute themselves", Chat._mute),
    "/remove": Typed("NAME [REASON]", "host: take somebody's seat away", Chat._remove),
    "/ban": Typed("NAME [REASON]", "host: the same, and a user cannot come back", Chat._ban),
    "/lock": Typed("", "host: let nobody new in", Chat._lock),
    "/unlock": Typed("", "host: let people in again", Chat._unlock),
    "/end": Typed("", "host: end the room for everyone, for good", Chat._end),
}
