"""The handlers of a client's requests: read the request, submit a command or read the archive, and reply.

Each module has those of one subject; importing this package registers all of them.
"""

from roomd.gateway.handlers import connection, events, messages, moderation, rooms, seats
from roomd.gateway.handlers.registry import serve

__all__ = ["connection", "events", "messages", "moderation", "rooms", "seats", "serve"]
