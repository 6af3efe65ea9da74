"""`roomd room …`: create, show, change, end and delete rooms, by requests to the daemon."""

from typing import Annotated

import typer

from roomd.cli import moderation
from roomd.cli.access import Access
from roomd.cli.asking import PAGE, all_pages, ask
from roomd.cli.options import (
    Code,
    CodeOrNone,
    EndWhenEmpty,
    ExpiresAt,
    ExternalId,
    HostId,
    Json,
    MetadataOption,
    connected,
    example,
)
from roomd.cli.output import (
    bans_table,
    messages_table,
    participants_table,
    plain,
    room_sheet,
    rooms_table,
    say_reply,
)
from roomd.client.requests import room_of
from roomd.protocol.errors import Refused
from roomd.protocol.replies import BansReply, MessagesReply, OkReply, ParticipantsReply, RoomReply, RoomsReply
from roomd.protocol.requests import (
    CreateRoom,
    DeleteRoom,
    EndRoom,
    GetRoom,
    ListBans,
    ListMessages,
    ListParticipants,
    ListRooms,
    Unban,
    UpdateRoom,
)


def room_commands() -> typer.Typer:
    """Build the group `roomd room`."""
    app = typer.Typer(help="Create, show, change, end and delete rooms.", no_args_is_help=True)
    for name, command, line in (
        ("create", create, "roomd room create --name 'Weekly meeting' --max 20"),
        ("list", list_rooms, "roomd room list --active"),
        ("show", show, "roomd room show abc-def-ghi --json"),
        ("update", update, "roomd room update abc-def-ghi --waiting-room --max 50"),
        ("lock", lock, "roomd room lock abc-def-ghi"),
        ("unlock", unlock, "roomd room unlock abc-def-ghi"),
        ("end", end, "roomd room end abc-def-ghi --as alice"),
        ("delete", delete, "roomd room delete abc-def-ghi"),
        ("participants", participants, "roomd room participants abc-def-ghi --history"),
        ("messages", messages, "roomd room messages abc-def-ghi --as alice"),
        ("bans", bans, "roomd room bans abc-def-ghi"),
        ("say", moderation.say_to_room, "roomd room say abc-def-ghi 'The recording starts in a minute'"),
        ("waiting", moderation.waiting, "roomd room waiting abc-def-ghi"),
        ("admit", moderation.admit, "roomd room admit abc-def-ghi 'Jane Smith'"),
        ("deny", moderation.deny, "roomd room deny abc-def-ghi 'Jane Smith'"),
        ("mute", moderation.mute, "roomd room mute abc-def-ghi bob"),
        ("remove", moderation.remove, "roomd room remove abc-def-ghi bob --reason spam"),
        ("ban", moderation.ban, "roomd room ban abc-def-ghi bob --reason spam"),
        ("unban", unban, "roomd room unban abc-def-ghi bob"),
    ):
        app.command(name, epilog=example(line))(connected(command))
    return app


def create(
    access: Access,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The name of the room, 1 to 100 characters.")] = None,
    seats: Annotated[
        int | None, typer.Option("--max", metavar="N", min=2, help="The number of seats; by default 100.")
    ] = None,
    no_guests: Annotated[bool, typer.Option("--no-guests", help="Allow only people with a token.")] = False,
    waiting_room: Annotated[
        bool, typer.Option("--waiting-room", help="Newcomers wait until the host admits them.")
    ] = False,
    external_id: ExternalId = None,
    metadata: MetadataOption = None,
    host_id: HostId = None,
    expires_at: ExpiresAt = None,
    end_when_empty: EndWhenEmpty = None,
    json: Json = False,
) -> None:
    """Create a room and print its code. You become its host, unless an admin names another one.

    With --external-id, the room that has this id is printed if there is one, and it stays as it is.
    """
    request = CreateRoom(
        external_id=external_id,
        metadata=metadata,
        host_id=host_id,
        expires_at=expires_at,
        end_when_empty=end_when_empty,
        name=name,
        max_participants=seats,
        allow_guest_access=False if no_guests else None,
        waiting_room=waiting_room or None,
    )
    reply = ask(access, request, RoomReply)
    say_reply(reply, json, room_of(reply).code)


def list_rooms(
    access: Access,
    active: Annotated[
        bool | None, typer.Option("--active/--ended", help="List only active or only ended rooms; by default, both.")
    ] = None,
    external_id: ExternalId = None,
    json: Json = False,
) -> None:
    """List the rooms whose host you are; for an admin, all rooms."""
    request = ListRooms(is_active=active, external_id=external_id, limit=PAGE)
    pages = all_pages(access, request, RoomsReply)
    rooms = [room for page in pages for room in page.rooms]
    say_reply(RoomsReply(rooms=rooms, next_cursor=None), json, rooms_table(rooms))


def show(access: Access, code: CodeOrNone = None, external_id: ExternalId = None, json: Json = False) -> None:
    """Show a room, and whether you could join it now."""
    if (code is None) == (external_id is None):
        raise typer.BadParameter("give a code or --external-id")
    reply = ask(access, GetRoom(code=code, external_id=external_id), RoomReply)
    say_reply(reply, json, room_sheet(reply.room, reply.admission))


def update(
    access: Access,
    code: Code,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The name of the room, 1 to 100 characters.")] = None,
    seats: Annotated[int | None, typer.Option("--max", metavar="N", min=2, help="The number of seats.")] = None,
    guests: Annotated[bool | None, typer.Option("--guests/--no-guests", help="Allow people without a token.")] = None,
    waiting_room: Annotated[
        bool | None,
        typer.Option("--waiting-room/--no-waiting-room", help="Newcomers wait until the host admits them."),
    ] = None,
    host_id: HostId = None,
    metadata: MetadataOption = None,
    expires_at: ExpiresAt = None,
    end_when_empty: EndWhenEmpty = None,
    json: Json = False,
) -> None:
    """Change a room's settings. Only the given settings change. With --host-id the room is handed over."""
    request = UpdateRoom(
        code=code,
        name=name,
        max_participants=seats,
        allow_guest_access=guests,
        waiting_room=waiting_room,
        host_id=host_id,
        metadata=metadata,
        expires_at=expires_at,
        end_when_empty=end_when_empty,
    )
    if request == UpdateRoom(code=code):
        raise typer.BadParameter("give a setting to change")
    reply = ask(access, request, RoomReply)
    say_reply(reply, json, room_sheet(room_of(reply), None))


def lock(access: Access, code: Code, json: Json = False) -> None:
    """Lock a room: nobody new can join it."""
    _change(access, UpdateRoom(code=code, is_locked=True), json, "is locked")


def unlock(access: Access, code: Code, json: Json = False) -> None:
    """Unlock a room: people can join it again."""
    _change(access, UpdateRoom(code=code, is_locked=False), json, "is open")


def end(access: Access, code: Code, json: Json = False) -> None:
    """End a room for everyone. It cannot be opened again."""
    _change(access, EndRoom(code=code), json, "has ended")


def delete(access: Access, code: Code, json: Json = False) -> None:
    """End a room and delete it, with its messages, its participants and its bans."""
    say_reply(ask(access, DeleteRoom(code=code), OkReply), json, f"{code} is deleted")


def participants(
    access: Access,
    code: Code,
    history: Annotated[bool, typer.Option("--history", help="List also those who have left.")] = False,
    json: Json = False,
) -> None:
    """List who is in a room."""
    request = ListParticipants(code=code, history=history, limit=PAGE)
    pages = all_pages(access, request, ParticipantsReply)
    people = [one for page in pages for one in page.participants]
    say_reply(ParticipantsReply(participants=people, next_cursor=None), json, participants_table(people))


def messages(access: Access, code: Code, json: Json = False) -> None:
    """List the public messages of a room, and your own private ones."""
    pages = all_pages(access, ListMessages(code=code, limit=PAGE), MessagesReply)
    said = [one for page in pages for one in page.messages]
    names = {} if json or all(one.to is None for one in said) else _names(access, code)
    say_reply(MessagesReply(messages=said, next_cursor=None), json, messages_table(said, names))


def bans(access: Access, code: Code, json: Json = False) -> None:
    """List who is banned from a room. The id of a ban is for `roomd room unban --id`."""
    pages = all_pages(access, ListBans(code=code, limit=PAGE), BansReply)
    banned = [one for page in pages for one in page.bans]
    say_reply(BansReply(bans=banned, next_cursor=None), json, bans_table(banned))


def unban(
    access: Access,
    code: Code,
    user_id: Annotated[str | None, typer.Argument(metavar="USER", help="The user id.", show_default=False)] = None,
    ban_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The id of a ban, as `roomd room bans` shows it.")
    ] = None,
) -> None:
    """Lift the ban of a user, or a ban by its id."""
    if (user_id is None) == (ban_id is None):
        raise typer.BadParameter("give a user id or --id")
    ask(access, Unban(code=code, user_id=user_id, ban_id=ban_id), OkReply)


def _change(access: Access, request: UpdateRoom | EndRoom, json: bool, outcome: str) -> None:
    reply = ask(access, request, RoomReply)
    room = room_of(reply)
    say_reply(reply, json, f"{room.code} ({plain(room.name)}) {outcome}")


def _names(access: Access, code: str) -> dict[str, str]:
    """Return people's names by id: for a host, of all who were ever in the room; else of those who are in it."""
    for history in (True, False):
        request = ListParticipants(code=code, history=history, limit=PAGE)
        try:
            pages = all_pages(access, request, ParticipantsReply)
        except Refused:
            continue
        return {one.id: one.display_name for page in pages for one in page.participants}
    return {}
