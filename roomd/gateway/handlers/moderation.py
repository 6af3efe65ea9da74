"""Handlers of requests of hosts: remove, ban, mute, list the queue, admit and deny."""

import re

from roomd.gateway.askers import OkAsker
from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import PAGE, Work, handles
from roomd.limits.ledger import Use
from roomd.protocol import replies, requests
from roomd.protocol.errors import BAD_FRAME, Refused
from roomd.protocol.events import MuteRequested
from roomd.protocol.lengths import LONGEST_USER_ID
from roomd.protocol.objects import Ban, Waiting
from roomd.protocol.text import is_user_id
from roomd.rooms import commands
from roomd.rooms.commands.banning import ban_order

BAN_BYTES = 300
"""The approximate bytes of a ban in the database."""
_BAN_ID = re.compile("[0-9a-f]{24}")


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
    relayed = rooms.relay(code, request.participant_id, MuteRequested(), OkAsker(client, request))
    if relayed is not None:
        await relayed


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


@handles(requests.ListWaiting)
async def list_waiting(client: Client, request: requests.ListWaiting) -> None:
    """List who waits. The order of the ids is that in which they came."""
    code, caller = client.room_and_caller(request)
    client.check_read()
    listed: list[Waiting] = await client.services.rooms.ask(code, commands.ListWaiting(caller))
    client.charge_read(len(listed))
    limit = request.limit or PAGE
    later = [one for one in listed if one.participant_id > (request.cursor or "")]
    cursor = later[limit - 1].participant_id if len(later) > limit else None
    client.send(replies.WaitingListReply(id=request.id, waiting=later[:limit], next_cursor=cursor))


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
