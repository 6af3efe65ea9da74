"""The handler of the request that follows the event log."""

from roomd.gateway.client import Client
from roomd.gateway.following import open_follower
from roomd.gateway.handlers.registry import handles
from roomd.gateway.watching import Watch
from roomd.protocol import requests


@handles(requests.Watch)
async def watch(client: Client, request: requests.Watch) -> None:
    """Follow the event log: all rooms, or some. It ends a watch that the client has."""
    follower = await open_follower(client, request.rooms, request.after)
    if not client.has_ended:
        Watch(client, request.id, follower).begin()
