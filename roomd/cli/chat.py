"""The input of `roomd join`: text, which is sent as a message, and commands, which begin with a slash."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from roomd.cli.meeting_text import describe_event, list_people
from roomd.cli.output import plain
from roomd.client import Closed, Meeting, Refused, Unreachable

LONGEST_MESSAGE = 2000
"""The number of characters that a message may have (docs/protocol.md, section 8)."""


class CommandError(Exception):
    """A typed line cannot be executed. The text says why."""


class Person(NamedTuple):
    """A person whom a command can be about."""

    id: str
    """The participant id."""
    name: str
    """The name that others see."""


class ChatCommand(NamedTuple):
    """A command that can be typed."""

    usage: str
    """The arguments after the name of the command."""
    help: str
    """The description of the command."""
    run: "Callable[[Chat, str], Awaitable[list[str]]]"
    """Executes the command with the text after its name, and returns lines to print."""


class Chat:
    """Execute typed lines, one at a time. `on_leave` is called when the person leaves."""

    def __init__(self, meeting: Meeting, on_leave: Callable[[], None]) -> None:
        self._meeting = meeting
        self._on_leave = on_leave

    async def serve(self, line: str) -> list[str]:
        """Execute one line, and return the lines to print.

        Raises `CommandError` when it cannot be executed, also when the daemon refuses it.
        """
        name, _, rest = line.partition(" ")
        command = COMMANDS.get(name.lower()) if name.startswith("/") else COMMANDS["/say"]
        if command is None:
            raise CommandError("There is no such command; /help lists them. Use /say to send text that begins with /.")
        try:
            return await command.run(self, rest.strip() if name.startswith("/") else line)
        except Refused as refused:
            raise CommandError(f"{plain(refused.kind.code)}: {plain(refused.message)}") from None
        except (Closed, Unreachable):
            raise CommandError("Not done: the connection is lost.") from None

    async def _say(self, text: str) -> list[str]:
        await self._send(text, None)
        return []

    async def _msg(self, rest: str) -> list[str]:
        somebody, text = find_person(rest, self._people())
        await self._send(text, somebody.id)
        return []

    async def _send(self, text: str, to: str | None) -> None:
        if not 1 <= len(text) <= LONGEST_MESSAGE:
            raise CommandError(f"A message has 1 to {LONGEST_MESSAGE:,} characters.")
        if self._meeting.status == "waiting":
            raise CommandError("You cannot send messages while you wait.")
        await self._meeting.say(text, to=to)

    async def _who(self, _: str) -> list[str]:
        place = self._meeting.place
        return list_people(self._meeting) if place is None else describe_event(place, self._meeting)

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
            await self._meeting.admit(find_exact(rest, self._waiters()).id)
        return []

    async def _deny(self, rest: str) -> list[str]:
        await self._meeting.deny(find_exact(rest, self._waiters()).id)
        return []

    async def _mute(self, rest: str) -> list[str]:
        await self._meeting.mute(find_exact(rest, self._people()).id)
        return []

    async def _remove(self, rest: str) -> list[str]:
        somebody, reason = find_person(rest, self._people())
        await self._meeting.remove(somebody.id, reason=reason or None)
        return []

    async def _ban(self, rest: str) -> list[str]:
        somebody, reason = find_person(rest, self._people())
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

    def _people(self) -> list[Person]:
        """Return everyone else in the room."""
        me = self._meeting.me
        others = (one for one in self._meeting.participants.values() if me is None or one.id != me.id)
        return [Person(one.id, one.display_name) for one in others]

    def _waiters(self) -> list[Person]:
        return [Person(one.participant_id, one.display_name) for one in self._meeting.lobby]


def find_person(text: str, people: Iterable[Person]) -> tuple[Person, str]:
    """Find the person whose id, name or "name" is at the start of `text`. Return them and the text after it.

    Raises `CommandError` when there is nobody, or when the text can mean several people. Guests choose their own names,
    so a name may be the same as another name and the words after it.
    """
    fits = [(one, len(called)) for one in people for called in _forms_of_name(one) if _begins(text, called)]
    fits = [(one, length) for one, length in fits if text[:length] == one.id] or fits
    one, length = _choose_one(fits)
    return one, text[length:].strip()


def find_exact(text: str, people: Iterable[Person]) -> Person:
    """Find the person whose id, name or "name" is the whole `text`. Raises like `find_person`."""
    fits = [
        (one, len(called)) for one in people for called in _forms_of_name(one) if text.casefold() == called.casefold()
    ]
    return _choose_one([(one, length) for one, length in fits if text == one.id] or fits)[0]


def _forms_of_name(one: Person) -> tuple[str, str, str]:
    return one.id, one.name, f'"{one.name}"'


def _begins(text: str, called: str) -> bool:
    """Return whether a text begins with a name, in upper or lower case, followed by a space or the end."""
    return text[: len(called)].casefold() == called.casefold() and text[len(called) : len(called) + 1] in ("", " ")


def _choose_one(fits: list[tuple[Person, int]]) -> tuple[Person, int]:
    found = {one for one, _ in fits}
    if not found:
        raise CommandError("There is nobody else with that name; /who shows who is here.")
    if len(found) == 1:
        return fits[0]
    ids = ", ".join(sorted(plain(one.id) for one in found))
    if len({one.name.casefold() for one in found}) == 1:
        raise CommandError(f"Several people have that name; give an id: {ids}")
    names = ", ".join(f'"{plain(one.name)}" ({plain(one.id)})' for one in sorted(found, key=lambda one: len(one.name)))
    raise CommandError(f"That can mean several people; put the name in quotes, or give the id: {names}")


COMMANDS = {
    "/say": ChatCommand("TEXT", "send a message to everyone, like a line without a slash", Chat._say),
    "/msg": ChatCommand("NAME TEXT", 'send a message to one person, by name, "name" or id', Chat._msg),
    "/who": ChatCommand("", "show who is here", Chat._who),
    "/leave": ChatCommand("", "leave the room, like Ctrl-D and Ctrl-C", Chat._leave),
    "/help": ChatCommand("", "show this list", Chat._help),
    "/admit": ChatCommand("NAME|all", "host: admit somebody who waits, or all", Chat._admit),
    "/deny": ChatCommand("NAME", "host: deny somebody who waits", Chat._deny),
    "/mute": ChatCommand("NAME", "host: ask somebody to mute themselves", Chat._mute),
    "/remove": ChatCommand("NAME [REASON]", "host: remove somebody from the room", Chat._remove),
    "/ban": ChatCommand("NAME [REASON]", "host: remove somebody, and ban the user", Chat._ban),
    "/lock": ChatCommand("", "host: lock the room, so that nobody new can join", Chat._lock),
    "/unlock": ChatCommand("", "host: unlock the room", Chat._unlock),
    "/end": ChatCommand("", "host: end the room for everyone; it cannot be opened again", Chat._end),
}
