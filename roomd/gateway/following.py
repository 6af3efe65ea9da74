"""How a client follows the event log, whichever way it is read: which rooms it may see, and for how long.

`Follower` is one client's place in the log. It reads part after part, and checks before and after each that the client
may still read: its token is valid, and it is still the host of the rooms. `watch`, long polls and streams use it.
"""

import asyncio
from collections.abc import Sequence

from roomd.auth.tokens import Identity
from roomd.engine.ports import LoggedEvents
from roomd.gateway.client import Client
from roomd.limits.ledger import Use
from roomd.protocol.errors import NOT_HOST, TOKEN_EXPIRED, Refused
from roomd.rooms import commands

CHECK_EVERY = 30.0
"""The seconds after which it is checked again, at most, that the client may see what it follows."""


async def allowed_rooms(client: Client, codes: Sequence[str] | None) -> frozenset[str] | None:
    """Return the ids of the rooms that a client may follow by these codes; None for all rooms, without codes.

    Raises `Refused`: 401 `unauthenticated` without a valid token, 403 `not_host`, `wrong_room`, 404 `room_not_found`.
    """
    session, now = client.session, client.wall()
    session.identity(now)
    if codes is None:
        if not session.user(now).is_admin:
            raise Refused(NOT_HOST, "Only an admin may watch all rooms; give the rooms that you host")
        return None
    rooms = client.services.rooms
    asked = [
        await rooms.ask(code, commands.CheckHost(session.caller(code, client.wall())))
        for code in map(session.room_code, codes)
    ]
    return frozenset(asked)


class Follower:
    """One client's place in the event log; `open_follower` builds it.

    `codes` are the rooms that the client has named, None for all, and `rooms` their ids.
    """

    def __init__(self, client: Client, codes: Sequence[str] | None, rooms: frozenset[str] | None, after: int) -> None:
        self.after = after
        """The number up to which the log was read."""
        self._client = client
        self._codes = codes
        self._rooms = rooms
        self._identity = client.session.identity(client.wall())
        self._check_at = client.now() + CHECK_EVERY

    @property
    def position(self) -> str:
        """The position to read on from."""
        return self._client.services.feed.position(self.after)

    async def read(self, limit: int, wait: float = CHECK_EVERY) -> LoggedEvents:
        """Read the next events, at most `limit`. At the end of the log, wait for at most `wait` seconds.

        A host is charged what was looked at; an admin reads as fast as it can. The wait ends with the token. Raises
        `Refused` like `allowed_rooms` and `Feed.read`, and 401 `token_expired`; and `StorageFailed`.
        """
        client = self._client
        await self._check()
        wait = min(wait, CHECK_EVERY, client.session.valid_for(client.wall()))
        part = await client.services.feed.read(self.after, limit, wait, self._rooms)
        if part.events:
            await self._check()
        self.after = part.last
        if not self._identity.is_admin:
            client.charge_read(part.read)
        return part

    async def pause(self) -> None:
        """Wait until a host may read more."""
        client = self._client
        if not self._identity.is_admin and (wait := client.usage.take_own(Use.READ, 0, client.now())):
            await asyncio.sleep(wait)

    async def _check(self) -> None:
        """Check that the token is valid, and now and then, or with another token, that it still allows this.

        Raises `Refused` like `allowed_rooms`, and 401 `token_expired`.
        """
        client = self._client
        if client.session.valid_for(client.wall()) == 0:
            raise Refused(TOKEN_EXPIRED)
        identity: Identity = client.session.identity(client.wall())
        if identity is not self._identity or client.now() >= self._check_at:
            self._rooms = await allowed_rooms(client, self._codes)
            self._identity, self._check_at = identity, client.now() + CHECK_EVERY


async def open_follower(
    client: Client, codes: Sequence[str] | None, after: str | None, *, is_read_next: bool = False
) -> Follower:
    """Begin to follow the log after a position, or `latest`, or for None with the oldest event; see `Feed.start`.

    Raises `Refused` like `allowed_rooms` and `Feed.start`, and 429 `rate_limited`; and `StorageFailed`.
    """
    rooms = await allowed_rooms(client, codes)
    client.check_read()
    return Follower(client, codes, rooms, await client.services.feed.start(after, is_read_next=is_read_next))


def joined(part: LoggedEvents, before: bytes, after: bytes) -> bytes:
    """Return the events of a part with commas between them, and other bytes before and after them.

    A part is large, so it is copied once.
    """
    texts = list(part.events) or [b""]
    texts[0] = before + texts[0]
    texts[-1] += after
    return b",".join(texts)
