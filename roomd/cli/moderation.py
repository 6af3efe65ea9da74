"""`roomd room …`: what hosts do about people, from outside the room."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer

from roomd.cli.access import Access
from roomd.cli.asking import PAGE, all_pages, ask
from roomd.cli.chat import LONGEST_MESSAGE
from roomd.cli.options import Code, Json
from roomd.cli.output import plain, say_reply, waiting_table
from roomd.protocol.errors import PARTICIPANT_NOT_FOUND, Refused
from roomd.protocol.objects import Waiting
from roomd.protocol.replies import OkReply, ParticipantsReply, WaitingListReply
from roomd.protocol.requests import (
    AdmitAll,
    AdmitParticipant,
    BanPerson,
    DenyParticipant,
    ListParticipants,
    ListWaiting,
    MuteParticipant,
    RemoveParticipant,
    SendMessage,
)

Who = Annotated[
    str,
    typer.Argument(
        metavar="WHO", help="A participant id, or the user id or the name of one person.", show_default=False
    ),
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="The reason, at most 200 characters.")]


class Person(NamedTuple):
    """Somebody whom a command can be about."""

    id: str
    """The participant id."""
    user_id: str | None
    """The user id; None for a guest."""
    name: str
    """The name that others see."""


def remove(access: Access, code: Code, who: Who, reason: Reason = None) -> None:
    """Remove somebody from a room. They can come back; `roomd room ban` keeps them out."""
    request = RemoveParticipant(code=code, participant_id=_in_room(access, code, who), reason=reason)
    ask(access, request, OkReply)


def ban(
    access: Access,
    code: Code,
    user_id: Annotated[str | None, typer.Argument(metavar="USER", help="The user id.", show_default=False)] = None,
    participant: Annotated[
        str | None,
        typer.Option("--participant", metavar="ID", help="A participant id, for a guest, instead of a user id."),
    ] = None,
    reason: Reason = None,
) -> None:
    """Ban a user, or somebody who is or was in the room. Guests are kept out by their network address, for a while."""
    if (user_id is None) == (participant is None):
        raise typer.BadParameter("give a user id or --participant")
    ask(access, BanPerson(code=code, user_id=user_id, participant_id=participant, reason=reason), OkReply)


def mute(access: Access, code: Code, who: Who) -> None:
    """Ask somebody's client to mute itself."""
    ask(access, MuteParticipant(id=1, code=code, participant_id=_in_room(access, code, who)), OkReply)


def waiting(access: Access, code: Code, json: Json = False) -> None:
    """List who waits for the host, or for a seat."""
    queue = _queue(access, code)
    say_reply(WaitingListReply(waiting=queue, next_cursor=None), json, waiting_table(queue))


def admit(
    access: Access,
    code: Code,
    who: Annotated[
        str | None,
        typer.Argument(
            metavar="WHO", help="A participant id, or the user id or the name of one person.", show_default=False
        ),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Admit everybody who waits for the host.")] = False,
) -> None:
    """Admit somebody who waits for the host."""
    if (who is None) != everybody:
        raise typer.BadParameter("give a person or --all")
    if who is None:
        ask(access, AdmitAll(code=code), OkReply)
    else:
        ask(access, AdmitParticipant(code=code, participant_id=_in_queue(access, code, who)), OkReply)


def deny(access: Access, code: Code, who: Who) -> None:
    """Deny somebody who waits a seat."""
    ask(access, DenyParticipant(code=code, participant_id=_in_queue(access, code, who)), OkReply)


def say_to_room(
    access: Access,
    code: Code,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The message, 1 to 2,000 characters.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Only to this person: a participant id, a user id or a name."),
    ] = None,
) -> None:
    """Send a message to a room, from outside. It has the name of the token, and no participant."""
    if not 1 <= len(text) <= LONGEST_MESSAGE:
        raise typer.BadParameter(f"a message has 1 to {LONGEST_MESSAGE:,} characters")
    addressee = _in_room(access, code, to) if to is not None else None
    ask(access, SendMessage(id=1, code=code, text=text, to=addressee), OkReply)


def _in_room(access: Access, code: str, who: str) -> str:
    """Return the participant id of somebody with a seat. Raises like `find_person`, and like `ask`."""
    pages = all_pages(access, ListParticipants(code=code, limit=PAGE), ParticipantsReply)
    return find_person(who, [Person(p.id, p.user_id, p.display_name) for page in pages for p in page.participants])


def _in_queue(access: Access, code: str, who: str) -> str:
    """Return the participant id of somebody who waits. Raises like `find_person`, and like `ask`."""
    queue = _queue(access, code)
    return find_person(who, [Person(one.participant_id, one.user_id, one.display_name) for one in queue])


def _queue(access: Access, code: str) -> list[Waiting]:
    pages = all_pages(access, ListWaiting(code=code, limit=PAGE), WaitingListReply)
    return [one for page in pages for one in page.waiting]


def find_person(who: str, people: Sequence[Person]) -> str:
    """Return the participant id of the one person with this id, user id or name; an id and a user id come first.

    Guests choose their names, so a name can be that of somebody else. Raises `Refused` (404 `participant_not_found`)
    when there is nobody, `typer.BadParameter` when several people have the name.
    """
    named = [one.id for one in people if who in (one.id, one.user_id)]
    named = named or [one.id for one in people if one.name == who]
    if not named:
        raise Refused(PARTICIPANT_NOT_FOUND)
    if len(named) > 1:
        raise typer.BadParameter(f"several people have the name {plain(who)!r}; give an id: {', '.join(named)}")
    return named[0]
