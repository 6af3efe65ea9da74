"""Handlers of requests about seats and those who have them: join, come back, leave, list, state, signals."""

import math

from roomd.auth.resume_tokens import ResumeToken, hash_secret
from roomd.gateway.askers import OkAsker
from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import PAGE, Work, handles
from roomd.limits.ledger import Use
from roomd.limits.usage import Charge
from roomd.protocol import replies, requests
from roomd.protocol.codec import size_of
from roomd.protocol.errors import NOT_ALLOWED, NOT_IN_ROOM, SEAT_EXPIRED, Refused
from roomd.protocol.events import SignalEvent
from roomd.protocol.objects import Participant
from roomd.protocol.paging import page
from roomd.protocol.text import clean_code
from roomd.rooms import commands
from roomd.rooms.rights import HIDDEN


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
def signal(client: Client, request: requests.Signal) -> Work | None:
    """Pass data to one other participant without reading it."""
    place = client.session.own_seat()
    if place.participant.is_hidden:
        raise Refused(NOT_ALLOWED, HIDDEN)
    client.charge(Use.TOLD, len(request.data))
    event = SignalEvent(sender=place.participant.id, data=request.data)
    return client.services.rooms.relay(place.code, request.to, event, OkAsker(client, request))
