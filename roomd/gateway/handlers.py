"""The handlers of a client's requests: read the request, submit a command or read the archive, and reply.

`@handles` registers a handler for its type of request. A handler replies before it returns, or before the future that
it returns is done. It is a coroutine only if it must await something before it can reply or submit a command. It raises
`Refused` for a request that it does not serve.
"""

import contextlib
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from roomd.auth.resume_tokens import ResumeToken, hash_secret
from roomd.auth.tokens import Identity
from roomd.gateway.client import Client
from roomd.gateway.refusals import close_for
from roomd.ice import ice_servers, time_left
from roomd.limits.ledger import Use
from roomd.limits.usage import Charge
from roomd.protocol import replies, requests
from roomd.protocol.codec import size_of
from roomd.protocol.errors import BAD_FRAME, NOT_IN_ROOM, SEAT_EXPIRED, WRONG_USER, Refused
from roomd.protocol.events import MuteRequested, SignalEvent
from roomd.protocol.objects import Admission, Ban, Participant, Room
from roomd.protocol.paging import page
from roomd.protocol.requests import Request
from roomd.protocol.text import LONGEST_USER_ID, clean_code, is_user_id
from roomd.protocol.timestamps import seconds_of, stamp
from roomd.rooms import commands
from roomd.rooms.answers import RoomAnswer
from roomd.rooms.commands.banning import ban_order
from roomd.rooms.commands.hosting import not_admitted
from roomd.rooms.settings import Settings

PAGE = 100
"""The number of items in a page when the request has no `limit`."""

MESSAGE_BYTES = 250
"""The approximate bytes of a `message` frame without its text."""
ROOM_BYTES = 1000
"""The approximate bytes of a room in the database, with its indexes."""
BAN_BYTES = 300
"""The same of a ban."""
_BAN_ID = re.compile("[0-9a-f]{24}")

Work = Awaitable[None] | None
"""What a handler returns: None when the request is answered, else an awaitable that is done when it is."""

R = TypeVar("R", bound=Request)
Handler = Callable[[Client, R], Work]

_HANDLERS: dict[type[Request], Handler[Any]] = {}


def handles(request: type[R]) -> Callable[[Handler[R]], Handler[R]]:
    """Register a handler for a type of request."""

    def register(handler: Handler[R]) -> Handler[R]:
        _HANDLERS[request] = handler
        return handler

    return register


def serve(client: Client, request: Request) -> Work:
    """Serve a request. Returns None when it is answered, else an awaitable that is done when it is.

    The function, and a returned coroutine, raise `Refused` for an error reply, `StorageFailed` for 503 `unavailable`,
    and `CloseConnection`. A returned future raises nothing.
    """
    return _HANDLERS[type(request)](client, request)


@handles(requests.Ping)
def ping(client: Client, request: requests.Ping) -> None:
    """Reply with `pong`."""
    client.send(replies.PongReply(id=request.id))


@handles(requests.Authenticate)
async def authenticate(client: Client, request: requests.Authenticate) -> None:
    """Verify a token or exchange a ticket, set the client's identity, and store its rights with the client's places.

    A bad token or ticket closes the connection.
    """
    identity, given = await _identify(client, request)
    client.authenticate(identity)
    for place in client.session.places:
        caller = client.session.caller_by_seat(place.code)
        with contextlib.suppress(Refused):  # storage failed: the seat keeps the rights that it had, and so do they
            await client.services.rooms.ask(place.code, commands.Renew(caller))
    expires_at = stamp(identity.expires_at)
    client.send(replies.AuthenticatedReply(id=request.id, user_id=identity.user_id, expires_at=expires_at, token=given))


async def _identify(client: Client, request: requests.Authenticate) -> tuple[Identity, str | None]:
    """Return the identity of a token or a ticket, and the token that is given for a ticket."""
    try:
        match request.token, request.ticket:
            case str(token), None:
                return await client.identify(token), None
            case None, str(ticket):
                return await client.exchange(ticket)
    except Refused as refused:
        if refused.kind is WRONG_USER:
            raise
        client.refuse(refused, request.id)
        raise close_for(refused) from None
    raise Refused(BAD_FRAME, f"{BAD_FRAME.message}: give token or ticket")


@handles(requests.CreateRoom)
async def create_room(client: Client, request: requests.CreateRoom) -> None:
    """Create a room with the caller as its host."""
    identity = client.session.user(client.wall())
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


@handles(requests.JoinRoom)
def join_room(client: Client, request: requests.JoinRoom) -> Work:
    """Take a seat in a room, or a place in its queue."""
    guest_name = client.session.guest_name(request.guest_name, request.code)
    code = client.session.room_code(request.code)
    secret = client.services.ids.new_secret()
    command = commands.Join(
        caller=client.session.caller(code, client.wall()),
        guest_name=guest_name,
        resume_hash=hash_secret(secret),
        claim=client.services.ids.new_claim(),
        wait=bool(request.wait),
        take_over=request.take_over is not False,
    )
    return client.take_seat(code, command, request, secret)


@handles(requests.Resume)
def resume(client: Client, request: requests.Resume) -> Work:
    """Take a seat, or a place in a queue, back by its resume token. The hold is the configured one again."""
    token = ResumeToken.parse(request.resume_token)
    if token is None or clean_code(token.code) != token.code:
        raise Refused(SEAT_EXPIRED)
    code = client.session.room_code(token.code)
    client.clean_hold = math.inf
    secret = client.services.ids.new_secret()
    command = commands.Resume(
        caller=client.session.caller_by_seat(code),
        participant_id=token.participant_id,
        token_hash=hash_secret(token.secret),
        resume_hash=hash_secret(secret),
        claim=client.services.ids.new_claim(),
    )
    return client.take_seat(code, command, request, secret)


@handles(requests.LeaveRoom)
def leave_room(client: Client, request: requests.LeaveRoom) -> Work:
    """Give up the seat; without one, the place in a queue."""
    place = client.session.seat or client.session.waiting
    if place is None:
        raise Refused(NOT_IN_ROOM)

    def reply(participant: Participant) -> replies.ParticipantReply:
        client.session.release(participant.id)
        return replies.ParticipantReply(id=request.id, participant=participant)

    return client.ask(place.code, commands.Leave(place.participant.id, place.claim), request, reply)


@handles(requests.UpdateConnection)
def update_connection(client: Client, request: requests.UpdateConnection) -> None:
    """Set the hold after a clean close of the connection."""
    client.clean_hold = request.hold
    client.acknowledge(request)


@handles(requests.ListParticipants)
async def list_participants(client: Client, request: requests.ListParticipants) -> None:
    """List who is in a room; with `history`, everyone who ever was."""
    code = client.session.room_code(request.code)
    limit = request.limit or PAGE
    caller = client.session.caller(code, client.wall())
    client.check_read()
    listed = await client.services.rooms.ask(code, commands.ListParticipants(caller, bool(request.history)))
    if request.history:
        people, cursor = await client.services.archive.history(listed.room_id, request.cursor, limit)
        client.charge_read(len(people))
    else:
        client.charge_read(len(listed.participants))  # all of them are looked at for a page
        later = (person for person in listed.participants if person.id > (request.cursor or ""))
        people, cursor = page(sorted(later, key=lambda person: person.id), limit)
    client.send(replies.ParticipantsReply(id=request.id, participants=people, next_cursor=cursor))


@handles(requests.UpdateParticipant)
def update_participant(client: Client, request: requests.UpdateParticipant) -> Work:
    """Change the caller's own state."""
    place = client.session.own_seat()
    size = size_of(place.participant) + size_of(request.state)  # others get the whole participant, not only the change
    charge = Charge(size * client.services.rooms.seats_in(place.code), size)  # one row, which is overwritten
    command = commands.UpdateState(place.participant.id, place.claim, request.state)
    return client.ask_charged(place, command, request, charge)


@handles(requests.Signal)
def signal(client: Client, request: requests.Signal) -> None:
    """Pass data to one other participant without reading it."""
    place = client.session.own_seat()
    client.charge(Use.TOLD, len(request.data))
    event = SignalEvent(sender=place.participant.id, data=request.data)
    client.services.rooms.relay(place.code, request.to, event)
    client.acknowledge(request)


@handles(requests.SendMessage)
def send_message(client: Client, request: requests.SendMessage) -> Work:
    """Send a message to everyone or to one participant."""
    place = client.session.own_seat()
    command = commands.SendMessage(
        place.participant.id, place.claim, request.text, request.to, client_id=request.client_id
    )
    size = MESSAGE_BYTES + size_of(request.text) + len(request.client_id or "")
    if request.to is None:
        charge = Charge(size * client.services.rooms.seats_in(place.code), size, command.bytes_stored())
    else:
        charge = Charge(2 * size, 0, command.bytes_stored())
    return client.ask_charged(place, command, request, charge)


@handles(requests.ListMessages)
async def list_messages(client: Client, request: requests.ListMessages) -> None:
    """List the messages that the caller may read."""
    code = client.session.room_code(request.code)
    caller = client.session.caller(code, client.wall())
    reader = await client.services.rooms.ask(code, commands.ListMessages(caller))
    client.check_read()
    messages, cursor, rows = await client.services.archive.messages(reader, request.cursor, request.limit or PAGE)
    client.charge_read(rows)
    client.send(replies.MessagesReply(id=request.id, messages=messages, next_cursor=cursor))


@handles(requests.GetIceServers)
def get_ice_servers(client: Client, request: requests.GetIceServers) -> None:
    """Return the STUN and TURN servers, with credentials for this participant."""
    participant, ice, now = client.session.own_seat().participant, client.services.ice, client.wall()
    joined = seconds_of(participant.joined_at)
    servers, ttl = ice_servers(ice, participant.id, joined, now), time_left(ice, joined, now)
    client.send(replies.IceServersReply(id=request.id, ice_servers=servers, ttl=ttl))


@handles(requests.RemoveParticipant)
def remove_participant(client: Client, request: requests.RemoveParticipant) -> Work:
    """Remove a participant, and ban the user if the request says so."""
    code, caller = client.room_and_caller(request)
    if request.ban:
        client.charge(Use.STORED, BAN_BYTES)
    command = commands.RemoveParticipant(caller, request.participant_id, bool(request.ban), request.reason)
    return client.ask_ok(code, command, request)


@handles(requests.BanPerson)
async def ban(client: Client, request: requests.BanPerson) -> None:
    """Ban a user, or somebody who is or was in the room."""
    user_id, participant_id = request.user_id, request.participant_id
    if (user_id is None) == (participant_id is None):
        raise Refused(BAD_FRAME, f"{BAD_FRAME.message}: give userId or participantId")
    if user_id is not None and not is_user_id(user_id, LONGEST_USER_ID):
        raise Refused(BAD_FRAME, f"{BAD_FRAME.message}: userId is no user id")
    code, caller = client.room_and_caller(request)
    client.charge(Use.STORED, BAN_BYTES)
    archive = client.services.archive
    past = await archive.past_stay(code, participant_id) if participant_id is not None else None
    await client.services.rooms.ask(code, commands.BanPerson(caller, user_id, participant_id, past, request.reason))
    client.acknowledge(request)


@handles(requests.MuteParticipant)
async def mute_participant(client: Client, request: requests.MuteParticipant) -> None:
    """Ask a participant's client to mute itself."""
    code, caller = client.room_and_caller(request)
    rooms = client.services.rooms
    await rooms.ask(code, commands.CheckMute(caller, request.participant_id))
    rooms.relay(code, request.participant_id, MuteRequested())
    client.acknowledge(request)


@handles(requests.ListBans)
async def list_bans(client: Client, request: requests.ListBans) -> None:
    """List the bans of a room."""
    code, caller = client.room_and_caller(request)
    client.check_read()
    listed: list[Ban] = await client.services.rooms.ask(code, commands.ListBans(caller))
    client.charge_read(len(listed))  # all of them are sorted for each page
    limit = request.limit or PAGE
    later = [ban for ban in listed if ban_order(ban) > (request.cursor or "")]
    cursor = ban_order(later[limit - 1]) if len(later) > limit else None
    client.send(replies.BansReply(id=request.id, bans=later[:limit], next_cursor=cursor))


@handles(requests.Unban)
def unban(client: Client, request: requests.Unban) -> Work:
    """Lift the ban of a user, or a ban by its id."""
    ban_id = request.ban_id
    if request.user_id is None and ban_id is None and isinstance(request.id, str) and _BAN_ID.fullmatch(request.id):
        ban_id = request.id
    if (request.user_id is None) == (ban_id is None):
        raise Refused(BAD_FRAME, f"{BAD_FRAME.message}: give userId or banId")
    code, caller = client.room_and_caller(request)
    return client.ask_ok(code, commands.Unban(caller, request.user_id, ban_id), request)


@handles(requests.AdmitParticipant)
def admit_participant(client: Client, request: requests.AdmitParticipant) -> Work:
    """Admit somebody from the waiting room."""
    code, caller = client.room_and_caller(request)
    return client.ask_ok(code, commands.Admit(caller, request.participant_id), request)


@handles(requests.AdmitAll)
def admit_all(client: Client, request: requests.AdmitAll) -> Work:
    """Admit everybody from the waiting room."""
    code, caller = client.room_and_caller(request)
    return client.ask_ok(code, commands.Admit(caller, None), request)


@handles(requests.DenyParticipant)
def deny_participant(client: Client, request: requests.DenyParticipant) -> Work:
    """Deny somebody in the queue a seat."""
    code, caller = client.room_and_caller(request)
    return client.ask_ok(code, commands.Deny(caller, request.participant_id), request)
