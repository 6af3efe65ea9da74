"""Handlers of requests about the connection: its identity, its hold, and what it needs to connect to others."""

import contextlib

from roomd.auth.tokens import Identity
from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import handles
from roomd.gateway.refusals import close_for
from roomd.ice import ice_servers, time_left
from roomd.protocol import replies, requests
from roomd.protocol.errors import BAD_FRAME, WRONG_USER, Refused
from roomd.protocol.timestamps import seconds_of, stamp
from roomd.rooms import commands


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


@handles(requests.UpdateConnection)
def update_connection(client: Client, request: requests.UpdateConnection) -> None:
    """Set the hold after a clean close of the connection."""
    client.clean_hold = request.hold
    client.acknowledge(request)


@handles(requests.GetIceServers)
def get_ice_servers(client: Client, request: requests.GetIceServers) -> None:
    """Return the STUN and TURN servers, with credentials for this participant."""
    participant, ice, now = client.session.own_seat().participant, client.services.ice, client.wall()
    joined = seconds_of(participant.joined_at)
    servers, ttl = ice_servers(ice, participant.id, joined, now), time_left(ice, joined, now)
    client.send(replies.IceServersReply(id=request.id, ice_servers=servers, ttl=ttl))
