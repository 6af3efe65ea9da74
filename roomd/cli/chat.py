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
        command = COMMANDS.get(name.lower()) if name.startswith("/") else COMMANDS["/say"]
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
        width = max(len(f"{name} {command.usage}") for name, command in COMMANDS.items())
        return [f"  {f'{name} {one.usage}':<{width}}  {one.help}" for name, one in COMMANDS.items()]

    async def _leave(self, _: str) -> list[str]:
        self._on_leave()
        return []

    async def _admit(self, rest: str) -> list[str]:
        if rest.lower() == "all":
            await self._meeting.admit_all()
        else:
            await self._meeting.admit(find_whole(rest, self._waiters()).id)
        return []

    async def _deny(self, rest: str) -> list[str]:
        await self._meeting.deny(find_whole(rest, self._waiters()).id)
        return []

    async def _mute(self, rest: str) -> list[str]:
        await self._meeting.mute(find_whole(rest, self._people()).id)
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
        """Everyone else: nobody talks to themselves, or removes themselves."""
        me = self._meeting.me
        others = (one for one in self._meeting.participants.values() if me is None or one.id != me.id)
        return [Somebody(one.id, one.display_name) for one in others]

    def _waiters(self) -> list[Somebody]:
        return [Somebody(one.participant_id, one.display_name) for one in self._meeting.lobby]


def find(text: str, people: Iterable[Somebody]) -> tuple[Somebody, str]:
    """Find whom `text` begins with, by id, by name or by "name"; and return what follows.

    Raises `Mistyped` for nobody, and where several people can be meant: the names are the guests' own choice, so that
    somebody may be called what another's name and the words after it come to.
    """
    fits = [(one, len(called)) for one in people for called in _ways_to_call(one) if _begins(text, called)]
    fits = [(one, length) for one, length in fits if text[:length] == one.id] or fits
    one, length = _only(fits)
    return one, text[length:].strip()


def find_whole(text: str, people: Iterable[Somebody]) -> Somebody:
    """Find whom `text` calls, with nothing after it; raises like `find`."""
    fits = [
        (one, len(called)) for one in people for called in _ways_to_call(one) if text.casefold() == called.casefold()
    ]
    return _only([(one, length) for one, length in fits if text == one.id] or fits)[0]


def _ways_to_call(one: Somebody) -> tuple[str, str, str]:
    return one.id, one.name, f'"{one.name}"'


def _begins(text: str, called: str) -> bool:
    """Whether a text begins with a name, however it is capitalised, and with nothing less than the whole word."""
    return text[: len(called)].casefold() == called.casefold() and text[len(called) : len(called) + 1] in ("", " ")


def _only(fits: list[tuple[Somebody, int]]) -> tuple[Somebody, int]:
    found = {one for one, _ in fits}
    if not found:
        raise Mistyped("There is nobody else of that name; /who shows who is here.")
    if len(found) == 1:
        return fits[0]
    ids = ", ".join(sorted(plain(one.id) for one in found))
    if len({one.name.casefold() for one in found}) == 1:
        raise Mistyped(f"Several people are called that; say which by the id: {ids}")
    names = ", ".join(f'"{plain(one.name)}" ({plain(one.id)})' for one in sorted(found, key=lambda one: len(one.name)))
    raise Mistyped(f"That can be several people; put the name in quotes, or give the id: {names}")


COMMANDS = {
    "/say": Typed("TEXT", "say it to everyone, as do lines without a slash", Chat._say),
    "/msg": Typed("NAME TEXT", 'say it to one person, called by name, "name" or id', Chat._msg),
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
