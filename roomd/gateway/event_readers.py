"""Read the event log by HTTP: `GET /api/v1/events`, a long poll or Server-Sent Events (docs/protocol.md, section 10).

An error before the response is its status and an `error` frame. A stream that has begun ends with an event `error`,
whose data are such a frame.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from functools import lru_cache, partial

from roomd.engine.ports import RETRY_AFTER, StorageFailed
from roomd.eventlog.feed import MOST_EVENTS, Feed
from roomd.gateway.api_client import ApiClient
from roomd.gateway.event_query import EVENT_STREAM, read_query
from roomd.gateway.following import Follower, joined, open_follower
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import Answer, Stream
from roomd.gateway.serving import RESTART_AFTER
from roomd.limits.ledgers import Ledgers
from roomd.protocol.codec import encode, error_reply
from roomd.protocol.errors import INTERNAL_ERROR, RESTARTING, Refused, rate_limited
from roomd.protocol.logged import POSITION, TYPE

log = logging.getLogger("roomd.gateway.events")

MOST_READERS = 200
"""The connections by which one user may read the log at the same time. Each may wait for events, or be a stream."""
READERS_RETRY = 5.0
"""The seconds after which a user who has all of them may try again."""
KEEP_ALIVE = 15.0
"""The seconds without an event after which a stream has a comment, so that no proxy takes it for dead."""
RETRY_HINT = (1000, 5000)
"""The range, in milliseconds, of the random time after which a client reconnects, so that not all come at once."""


class EventReaders:
    """Serve the requests for the event log. A connection that reads it counts for its user until it ends."""

    def __init__(self, feed: Feed, ledgers: Ledgers) -> None:
        self._feed = feed
        self._ledgers = ledgers
        self._reading: defaultdict[str, int] = defaultdict(int)  # the connections, by user id

    async def serve(self, connection: HttpConnection, client: ApiClient, request: Request) -> None:
        """Answer a request of a client whose token was verified.

        Raises `Refused` and `StorageFailed`; then there is no response yet.
        """
        query = read_query(request)
        if self._feed.is_stopping:
            raise Refused(RESTARTING, retry_after=RESTART_AFTER)
        follower = await open_follower(client, query.rooms, query.after, is_read_next=not query.is_stream)
        self._admit(connection, client)
        if query.is_stream:
            client.respond(Stream(self._parts(client, follower), EVENT_STREAM, headers=client.cors))
            return
        part = await follower.read(query.limit, query.wait)
        body = joined(part, b'{"events":[', b'],"next":"%b"}' % follower.position.encode())
        client.respond(Answer(200, body, client.cors, must_close=self._feed.is_stopping))

    def _admit(self, connection: HttpConnection, client: ApiClient) -> None:
        """Count the connection as one that reads: it does not give way to strangers, whose places are for newcomers.

        Raises `Refused` (429 `rate_limited`) when the user has too many.
        """
        if client.on_close is not None:
            return
        user = client.session.user_id or ""
        if self._reading[user] >= MOST_READERS:
            raise rate_limited(READERS_RETRY, f"{MOST_READERS} connections of this user read the event log already")
        self._reading[user] += 1
        client.on_close = partial(self._release, user)
        self._ledgers.remove_stranger(connection)

    def _release(self, user: str) -> None:
        self._reading[user] -= 1
        if not self._reading[user]:
            del self._reading[user]

    async def _parts(self, client: ApiClient, follower: Follower) -> AsyncGenerator[bytes, None]:
        """Yield the parts of a stream: events, and comments while there are none."""
        yield b"retry: %d\n\n" % random.randint(*RETRY_HINT)  # noqa: S311 - jitter
        try:
            while not self._feed.is_stopping:
                before = follower.position
                try:
                    part = await follower.read(MOST_EVENTS, KEEP_ALIVE)
                except StorageFailed:
                    yield b": storage failed\n"
                    await asyncio.sleep(RETRY_AFTER)
                    continue
                if part.events:
                    yield _frames(part.events)
                elif follower.position != before:  # events of other rooms were passed over
                    yield b"id: %b\n\n" % follower.position.encode()
                else:
                    yield b": keep-alive\n"
                await follower.pause()
            return
        except Refused as refused:
            end = refused
        except Exception as exc:  # the edge of a stream: a bug ends one of them
            log.exception("stream failed", {"connection": client.number, "error": type(exc).__name__})
            end = Refused(INTERNAL_ERROR)
        client.refuse(end, None)
        yield b"event: error\ndata: %b\n\n" % encode(error_reply(end, None))


def _frames(events: Sequence[bytes]) -> bytes:
    """Write events as Server-Sent Events. JSON of one event is one line. The events are copied once."""
    parts = [b"id: ", b"", b"", b"", b"\n\n"] * len(events)
    parts[1::5] = [event[POSITION] for event in events]
    parts[2::5] = [_between(event[TYPE]) for event in events]
    parts[3::5] = events
    return b"".join(parts)


@lru_cache  # few types are in a log
def _between(start: bytes) -> bytes:
    """Return what stands between the position and the event, from what begins with its type."""
    return b"\nevent: %b\ndata: " % start.partition(b'"')[0]
