"""Handlers of requests about messages."""

from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import PAGE, Work, handles
from roomd.limits.ledger import Use
from roomd.limits.usage import Charge
from roomd.protocol import replies, requests
from roomd.protocol.codec import size_of
from roomd.rooms import commands

MESSAGE_BYTES = 250
"""The approximate bytes of a `message` frame without its text."""


@handles(requests.SendMessage)
def send_message(client: Client, request: requests.SendMessage) -> Work:
    """Send a message to everyone or to one participant: by the seat of this connection, or else from the service."""
    if request.code is not None:
        code = client.session.room_code(request.code)
        if client.session.seat is None or client.session.seat.code != code:
            return _send_from_service(client, request, code)
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


def _send_from_service(client: Client, request: requests.SendMessage, code: str) -> Work:
    """Send a message from outside the room. It is charged to the sender alone, who is a host or is refused."""
    caller = client.session.caller(code, client.wall())
    command = commands.SendMessage("", 0, request.text, request.to, request.client_id, caller)
    size = MESSAGE_BYTES + size_of(request.text) + len(request.client_id or "")
    client.charge(Use.TOLD, size * (client.services.rooms.seats_in(code) if request.to is None else 1))
    client.charge(Use.STORED, command.bytes_stored())
    return client.ask_ok(code, command, request)


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
