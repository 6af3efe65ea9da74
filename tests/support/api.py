"""The server API without a network: a listener on steerable fakes, and what a client writes and reads, byte by byte."""

import asyncio
import json
from typing import Any, NamedTuple

from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import mint
from roomd.config import Config, LimitsConfig, ServerConfig
from roomd.engine.hub import Hub
from roomd.eventlog.feed import Feed
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.listener import Listener
from roomd.gateway.outbox import encode_frame
from roomd.rooms.settings import Rules, Settings
from roomd.system.ids import Ids
from tests.support.fake_log import FakeLog
from tests.support.fakes import SECRET, START, FakeClock, FakeKeys, FakeStore
from tests.support.services import services
from tests.support.sockets import SocketTransport

JSON = {"Host": "x", "Content-Type": "application/json"}


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def frame(self) -> dict[str, Any]:
        """The body, which is JSON."""
        frame: dict[str, Any] = json.loads(self.body)
        return frame


class ApiStage:
    """A listener that does not listen, and a room of Alice's."""

    def __init__(self, origins: tuple[str, ...] = (), **limits: Any) -> None:
        self.store, self.clock, self.keys = FakeStore(), FakeClock(), FakeKeys()
        self.hub = Hub(self.store, Rules(30.0, 100), self.clock, Ids(), encode_frame)
        self.services = services(self.hub, self.store, self.keys, self.clock, **limits)
        self.log = FakeLog()
        self.services.feed = Feed(self.log)
        self.log.on_events = self.services.feed.committed
        self.config = config = Config(
            server=ServerConfig(allowed_origins=origins, demo=False), limits=LimitsConfig(**limits)
        )
        self.listener = Listener(config, self.services, self.hub)
        self.code = ""

    async def open(self) -> "ApiStage":
        await self.services.feed.open()
        self.code = (await self.hub.create(Settings(), "alice")).code
        return self

    def token(self, user: str = "alice", ttl: float = 3600, **grants: Any) -> str:
        return mint(SECRET, TokenOrder(user=user, ttl=ttl, **grants), START)

    def connect(self) -> "ApiClient":
        return ApiClient(self)

    async def idle(self) -> None:
        """Wait until no request is under way."""
        for _ in range(20):
            await asyncio.sleep(0)
        while self.hub._tasks or self.listener._tasks:
            await asyncio.wait(self.hub._tasks | self.listener._tasks, timeout=5)
            for _ in range(5):
                await asyncio.sleep(0)


class ApiClient:
    """The client at the other end of a connection."""

    def __init__(self, stage: ApiStage) -> None:
        self.stage = stage
        self.transport = SocketTransport()
        self.connection = HttpConnection(stage.listener)
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(self.transport.as_transport())

    async def send(self, *data: bytes) -> list[Answer]:
        """Send bytes, each argument by itself, and return the responses."""
        for one in data:
            self.transport.receive(one)
        await self.stage.idle()
        return parse(self.transport.written())

    async def post(self, kind: str, /, token: str | None = None, **fields: Any) -> Answer:
        """Send a request and return its response."""
        token = token if token is not None else self.stage.token()
        (answer,) = await self.send(request(kind, token, json.dumps(fields).encode()))
        return answer

    @property
    def is_kept(self) -> bool:
        """Whether the connection is open and serves another request."""
        return not (self.transport.has_ended or self.transport.is_closing())


def request(kind: str, token: str | None, body: bytes = b"{}", **headers: str) -> bytes:
    """Write a request of the API."""
    fields = {
        **JSON,
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    lines = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return f"POST /api/v1/{kind} HTTP/1.1\r\n{lines}\r\n".encode() + body


def parse(data: bytes) -> list[Answer]:
    """Parse whole responses, with a length or none; interim ones have no body."""
    found = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        assert mark, head
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers.get("Content-Length", "0"))
        assert len(data) >= size, "a whole body"
        found.append(Answer(int(first.split()[1]), headers, data[:size]))
        data = data[size:]
    return found
