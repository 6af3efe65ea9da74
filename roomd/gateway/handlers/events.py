"""The handler of the request that follows the event log."""

from roomd.gateway.client import Client
from roomd.gateway.handlers.registry import handles
from roomd.gateway.watching import Watch, allowed_rooms
from roomd.protocol import requests


@handles(requests.Watch)
async def watch(client: Client, request: requests.Watch) -> None:
    """Follow the event log: all rooms, or some. It ends a watch that the client has."""
    rooms = await allowed_rooms(client, request.rooms)
    client.check_read()
    after = await client.services.feed.start(request.after)
    if not client.has_ended:
        Watch(client, request.id, request.rooms, rooms, after).begin()
