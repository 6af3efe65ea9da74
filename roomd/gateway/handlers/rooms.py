"""Handlers of requests about rooms: create, change, look, list, end and delete."""

import asyncio
import contextlib

import msgspec

from roomd.engine.ports import RETRY_AFTER, ExternalIdTaken
from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import PAGE, Work, handles
from roomd.limits.ledger import Use
from roomd.protocol import replies, requests
from roomd.protocol.errors import BAD_FRAME, NOT_ADMIN, ROOM_NOT_FOUND, UNAVAILABLE, Refused
from roomd.protocol.objects import Admission, Room
from roomd.rooms import commands
from roomd.rooms.answers import RoomAnswer
from roomd.rooms.commands.hosting import not_admitted
from roomd.rooms.settings import Settings, metadata_bytes

ROOM_BYTES = 1000
"""The approximate bytes of a room in the database, with its indexes, without its metadata."""
ATTEMPTS = 3
"""How often a room is looked for and created when others create and delete one with the same external id."""


@handles(requests.CreateRoom)
async def create_room(client: Client, request: requests.CreateRoom) -> None:
    """Create a room, by default with the caller as its host, or return the room that has the external id."""
    identity = client.session.creator(client.wall())
    for key, value in (("externalId", request.external_id), ("hostId", request.host_id)):
        if value is not None and not identity.is_admin:
            raise Refused(NOT_ADMIN, f"Only an admin can set {key}")
    for _ in range(ATTEMPTS):
        room = await _find(client, request.external_id) if request.external_id is not None else None
        if room is None:
            client.charge(Use.STORED, ROOM_BYTES + metadata_bytes(request.metadata or {}))
            with contextlib.suppress(ExternalIdTaken):
                room = await client.services.rooms.create(_settings(request), identity.user_id, request.external_id)
        if room is not None:
            client.send(replies.RoomReply(id=request.id, room=room))
            return
    raise Refused(UNAVAILABLE, retry_after=RETRY_AFTER)  # each time, the room was made and deleted meanwhile


@handles(requests.UpdateRoom)
def update_room(client: Client, request: requests.UpdateRoom) -> Work:
    """Change a room's settings."""
    code = client.session.room_code(request.code)
    caller = client.session.caller(code, client.wall())
    client.charge(Use.TOLD, 0)
    if request.metadata:
        client.charge(Use.STORED, metadata_bytes(request.metadata))
    settings = msgspec.structs.replace(_settings(request), is_locked=request.is_locked)

    def reply(room: Room) -> replies.RoomReply:
        if room.metadata:  # everybody in the room gets it again
            client.charge_told(metadata_bytes(room.metadata) * room.participant_count)
        return replies.RoomReply(id=request.id, room=room)

    return client.ask(code, commands.UpdateRoom(caller, settings), request, reply)


def _settings(request: requests.CreateRoom | requests.UpdateRoom) -> Settings:
    return Settings(
        name=request.name,
        max_participants=request.max_participants,
        allow_guest_access=request.allow_guest_access,
        waiting_room=request.waiting_room,
        history_visible=request.history_visible,
        host_id=request.host_id,
        metadata=request.metadata,
        expires_at=request.expires_at,
        end_when_empty=request.end_when_empty,
    )


@handles(requests.GetRoom)
def get_room(client: Client, request: requests.GetRoom) -> Work:
    """Return a room, and whether the caller could join it. With an expired token it could not."""
    if (request.code is None) == (request.external_id is None):
        raise Refused(BAD_FRAME, f"{BAD_FRAME.message}: give code or externalId")
    if request.external_id is not None:
        return _get_by_external_id(client, request, request.external_id)
    return _get_by_code(client, request, client.session.room_code(request.code or ""))


async def _get_by_external_id(client: Client, request: requests.GetRoom, external_id: str) -> None:
    identity = client.session.user(client.wall())
    room = await _find(client, external_id)
    if room is None or not (identity.is_admin or room.host_id == identity.user_id):
        raise Refused(ROOM_NOT_FOUND)
    await _get_by_code(client, request, room.code)


def _get_by_code(client: Client, request: requests.GetRoom, code: str) -> asyncio.Future[None]:
    expired = client.session.expiry(code, client.wall())

    def reply(seen: RoomAnswer) -> replies.RoomReply:
        admission: Admission = not_admitted(expired) if expired is not None else seen.admission
        return replies.RoomReply(id=request.id, room=seen.room, admission=admission)

    return client.ask(code, commands.GetRoom(client.session.caller_by_seat(code)), request, reply)


async def _find(client: Client, external_id: str) -> Room | None:
    """Return the room with an external id; None when there is none. The caller must check who may see it."""
    rooms, _ = await _read_rooms(client, None, None, None, 1, external_id)
    return rooms[0] if rooms else None


async def _read_rooms(
    client: Client,
    host_id: str | None,
    is_active: bool | None,
    cursor: str | None,
    limit: int,
    external_id: str | None,
) -> tuple[list[Room], str | None]:
    """Read a page of rooms, with their participant counts, and charge it."""
    client.check_read()
    archive, seats_in = client.services.archive, client.services.rooms.seats_in
    found, following = await archive.rooms_of(host_id, is_active, cursor, limit, external_id)
    client.charge_read(len(found))
    return [msgspec.structs.replace(room, participant_count=seats_in(room.code)) for room in found], following


@handles(requests.ListRooms)
async def list_rooms(client: Client, request: requests.ListRooms) -> None:
    """List the caller's rooms; for an admin, all rooms."""
    identity = client.session.user(client.wall())
    host_id = None if identity.is_admin else identity.user_id
    rooms, cursor = await _read_rooms(
        client, host_id, request.is_active, request.cursor, request.limit or PAGE, request.external_id
    )
    client.send(replies.RoomsReply(id=request.id, rooms=rooms, next_cursor=cursor))


@handles(requests.EndRoom)
def end_room(client: Client, request: requests.EndRoom) -> Work:
    """End a room for everyone."""
    code = client.session.room_code(request.code)

    def reply(room: Room) -> replies.RoomReply:
        return replies.RoomReply(id=request.id, room=room)

    return client.ask(code, commands.EndRoom(client.session.caller(code, client.wall())), request, reply)


@handles(requests.DeleteRoom)
def delete_room(client: Client, request: requests.DeleteRoom) -> Work:
    """End a room and delete it."""
    code = client.session.room_code(request.code)
    return client.ask_ok(code, commands.DeleteRoom(client.session.caller(code, client.wall())), request)
