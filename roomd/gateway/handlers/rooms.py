"""Handlers of requests about rooms: create, change, look, list and end."""

import msgspec

from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import PAGE, Work, handles
from roomd.limits.ledger import Use
from roomd.protocol import replies, requests
from roomd.protocol.objects import Admission, Room
from roomd.rooms import commands
from roomd.rooms.answers import RoomAnswer
from roomd.rooms.commands.hosting import not_admitted
from roomd.rooms.settings import Settings

ROOM_BYTES = 1000
"""The approximate bytes of a room in the database, with its indexes."""


@handles(requests.CreateRoom)
async def create_room(client: Client, request: requests.CreateRoom) -> None:
    """Create a room with the caller as its host."""
    identity = client.session.creator(client.wall())
    client.charge(Use.STORED, ROOM_BYTES)
    settings = Settings(
        name=request.name,
        max_participants=request.max_participants,
        allow_guest_access=request.allow_guest_access,
        waiting_room=request.waiting_room,
        history_visible=request.history_visible,
    )
    room = await client.services.rooms.create(settings, identity.user_id)
    client.send(replies.RoomReply(id=request.id, room=room))


@handles(requests.UpdateRoom)
def update_room(client: Client, request: requests.UpdateRoom) -> Work:
    """Change a room's settings."""
    code = client.session.room_code(request.code)
    settings = Settings(
        name=request.name,
        is_locked=request.is_locked,
        max_participants=request.max_participants,
        allow_guest_access=request.allow_guest_access,
        waiting_room=request.waiting_room,
        history_visible=request.history_visible,
    )
    command = commands.UpdateRoom(client.session.caller(code, client.wall()), settings)
    return client.ask(code, command, request, lambda room: replies.RoomReply(id=request.id, room=room))


@handles(requests.GetRoom)
def get_room(client: Client, request: requests.GetRoom) -> Work:
    """Return a room, and whether the caller could join it. With an expired token it could not."""
    code = client.session.room_code(request.code)
    expired = client.session.expiry(code, client.wall())

    def reply(seen: RoomAnswer) -> replies.RoomReply:
        admission: Admission = not_admitted(expired) if expired is not None else seen.admission
        return replies.RoomReply(id=request.id, room=seen.room, admission=admission)

    return client.ask(code, commands.GetRoom(client.session.caller_by_seat(code)), request, reply)


@handles(requests.ListRooms)
async def list_rooms(client: Client, request: requests.ListRooms) -> None:
    """List the caller's rooms; for an admin, all rooms."""
    identity = client.session.user(client.wall())
    host_id = None if identity.is_admin else identity.user_id
    client.check_read()
    found, cursor = await client.services.archive.rooms_of(
        host_id, request.is_active, request.cursor, request.limit or PAGE
    )
    client.charge_read(len(found))
    seats_in = client.services.rooms.seats_in
    rooms = [msgspec.structs.replace(room, participant_count=seats_in(room.code)) for room in found]
    client.send(replies.RoomsReply(id=request.id, rooms=rooms, next_cursor=cursor))


@handles(requests.EndRoom)
def end_room(client: Client, request: requests.EndRoom) -> Work:
    """End a room for everyone."""
    code = client.session.room_code(request.code)

    def reply(room: Room) -> replies.RoomReply:
        return replies.RoomReply(id=request.id, room=room)

    return client.ask(code, commands.EndRoom(client.session.caller(code, client.wall())), request, reply)
