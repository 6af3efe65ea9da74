"""Tickets: what a link carries in place of a token (docs/protocol.md, section 2)."""

from roomd.client.connection import PATIENCE, Unreachable, connect
from roomd.protocol.replies import AuthenticatedReply
from roomd.protocol.requests import Authenticate


async def exchange(url: str, ticket: str, patience: float = PATIENCE) -> str:
    """Exchange a ticket, which is good once, for a token. `patience` is in seconds.

    Raises `Refused`, `Closed` or `Unreachable`. After these the ticket may be used up.
    """
    async with connect(url, None, patience) as connection:
        reply = await connection.request(Authenticate(ticket=ticket), AuthenticatedReply)
        if reply.token is None:
            raise Unreachable(url, "the server gives no token for a ticket")
        return reply.token
