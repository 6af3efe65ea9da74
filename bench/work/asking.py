"""(k): the same question on a WebSocket and by HTTP, on connections that stay open.

100 users ask for a room of their own, `get-room`, each again as soon as it has the answer: on their WebSockets, then by
`POST /api/v1/get-room`, each way twice.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from bench.clients import Client, Crowd, Kind
from bench.processes import Usage
from bench.rig import Figure, Rig

USERS = 100
"""So many that none of them exceeds `limits.request_rate`."""
SEATS = 4
"""Of each room."""
WARM_UP = 0.2
"""Seconds before each measurement."""
TURNS = 2
"""How often each way is measured."""


class Way:
    """One way of asking, for all users."""

    def __init__(self) -> None:
        self.asks: list[Callable[[], None]] = []
        """Each sends the question of one user."""
        self.answers = 0
        """How many answers were counted."""
        self.usages: list[Usage] = []
        """What each turn cost."""
        self._waiting = 0
        self._over: asyncio.Future[None] | None = None  # nobody asks again; done when all have their last answer

    def answered(self, ask: Callable[[], None]) -> None:
        """Count an answer, and ask again."""
        self.answers += 1
        if self._over is None:
            ask()
            return
        self._waiting -= 1
        if not self._waiting:
            self._over.set_result(None)

    async def turn(self, rig: Rig, crowd: Crowd, seconds: float) -> None:
        """Have everybody ask for so long, and then get their last answers, which do not count."""
        self._over, self._waiting = None, len(self.asks)
        before = self.answers
        for ask in self.asks:
            ask()
        await crowd.until_later(WARM_UP)
        self.answers, start = before, rig.server.clock()
        await crowd.until_later(seconds)
        self.usages.append(start.until(rig.server.clock()))
        counted, self._over = self.answers, asyncio.get_running_loop().create_future()
        await crowd.until(self._over)
        self.answers = counted

    def rate(self) -> float:
        """Return the answers per second in all turns."""
        return self.answers / sum(usage.seconds for usage in self.usages)


class Poster(asyncio.Protocol):
    """A user who asks by HTTP."""

    def __init__(self, token: str, code: str, way: Way, fail: Callable[[str], None]) -> None:
        body = f'{{"code":"{code}"}}'
        self._request = (
            "POST /api/v1/get-room HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._way = way
        self._fail = fail
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def ask(self) -> None:
        """Send the question."""
        assert self._transport is not None
        self._transport.write(self._request)

    def close(self) -> None:
        """Drop the connection."""
        assert self._transport is not None
        self._fail = lambda _: None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Report the loss, unless `close` was called."""
        self._fail("connection lost")

    def data_received(self, data: bytes) -> None:
        """Find the end of an answer."""
        self._received = data = self._received + data
        head, end, body = data.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            return
        self._received = b""
        if head.startswith(b"HTTP/1.1 200 "):
            self._way.answered(self.ask)
        else:
            self._fail(f"refused: {data[:500].decode(errors='replace')}")


async def measure(rig: Rig, seconds: float) -> list[Figure]:
    """Measure answers per second on WebSockets and by HTTP, in turns, and the ratio."""
    codes = await rig.create_rooms(USERS, SEATS)
    tokens = [rig.token(f"user{number}") for number in range(USERS)]
    host, _, port = rig.server.host.rpartition(":")
    posters: list[Poster] = []
    ways = {"socket": Way(), "http": Way()}
    socket, http = ways.values()
    async with Crowd(lambda number: rig.client(tokens[number])) as crowd:
        for client, code in zip(await crowd.open(USERS), codes, strict=True):
            _ask_on_socket(client, code, socket, crowd)
        for token, code in zip(tokens, codes, strict=True):
            poster = Poster(token, code, http, crowd.fail)
            await asyncio.get_running_loop().create_connection(partial(_same, poster), host, int(port))
            http.asks.append(poster.ask)
            posters.append(poster)
        for _ in range(TURNS):
            for way in ways.values():
                await way.turn(rig, crowd, seconds / TURNS)
        for poster in posters:
            poster.close()
    figures = [Figure(f"k-{name}", way.rate(), way.usages[-1]) for name, way in ways.items()]
    return [*figures, Figure("k-ratio", http.rate() / socket.rate())]


def _same(poster: Poster) -> Poster:
    return poster


def _ask_on_socket(client: Client, code: str, way: Way, crowd: Crowd) -> None:
    """Have a client ask on its WebSocket."""
    ask = partial(client.send, f'{{"type":"get-room","id":1,"code":"{code}"}}'.encode())

    def on_frame(kind: Kind, payload: bytes) -> None:
        if kind is Kind.OTHER:
            way.answered(ask)
        else:
            crowd.fail(f"refused: {payload[:500].decode(errors='replace')}")

    client.on_frame = on_frame
    way.asks.append(ask)
