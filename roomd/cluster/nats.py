"""The bus over core NATS. Only this module uses nats-py.

A node subscribes to `PREFIX.node.NAME`. A message names a subject to reply to, `PREFIX.absent.SENDER.RECEIVER`, to
which the server itself answers when nobody is subscribed. One that is larger than the server takes is sent in pieces;
if one of them is lost, so is the message.
"""

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from roomd.cluster.credentials import Credentials
from roomd.cluster.ports import BusFailed, Receiver

log = logging.getLogger("roomd.cluster.nats")

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0
"""The seconds in which a server must be found at the start. One that is found and refuses ends the start."""
RECONNECT_WAIT = 0.25
"""The seconds between two attempts to connect to the same server again."""
OPEN_AGAIN = 1.0
"""The seconds between two attempts after a server has ended the connection with an error."""
CLOSE_TIMEOUT = 2.0
"""The seconds that the end of a connection may take."""
PING_INTERVAL = 2
"""The seconds between two pings of the server: after two without an answer the connection is lost."""
MOST_WAITING = 4096
"""The messages that wait to be written; more are lost, as the bus may lose them."""

_PIECE = 8
"""The bytes before each piece: the number of the message, the index of the piece, and the number of pieces."""
_WHOLE = b"\0\0\0\1"
"""The index and the number of the only piece of a message."""


class NatsSettings(NamedTuple):
    """How to reach NATS."""

    servers: list[str]
    """URLs, like nats://10.0.0.1:4222."""
    prefix: str = "roomd"
    """What all subjects begin with."""
    tls: ssl.SSLContext | None = None
    """With it, only servers with TLS are used; None uses TLS where a server requires it."""
    credentials: Credentials | None = None
    """The file of credentials; None without one."""


class NatsBus:
    """The bus of one node. It implements `cluster.ports.Bus`."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._client = Client()
        self._failure: BusFailed | None = None  # why no server could be used
        self._is_encrypted = False  # whether the connection that is being made, or was made, has TLS
        self._is_closing = False
        self._deadline = math.inf  # of the first connection, on the clock of the event loop
        self._opening: asyncio.Task[None] | None = None
        if settings.tls is not None:
            settings.tls.sslobject_class = _noticed(self._encrypted)
        self._name = ""
        self._receiver: Receiver
        self._waiting: deque[tuple[str, bytes]] = deque()  # for the nodes of these names
        self._has_waiting = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._subscriptions: list[Subscription] = []
        self._number = 0
        self._pieces: dict[str, list[bytes]] = {}  # of the messages that have not arrived in full, by their senders
        self.lost = 0
        """The messages that were not sent, because the bus was not there or too many waited."""

    async def open(self, name: str, receiver: Receiver) -> None:
        """Connect, and receive the messages for the node `name`. Raises `BusFailed`."""
        self._name, self._receiver = name, receiver
        self._deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._connect()
        except (TimeoutError, OSError, nats.errors.Error) as exc:
            await self.close()
            raise self._failure or self._explained(exc) from None
        self._writer = asyncio.create_task(self._write(), name="write to NATS")

    async def _connect(self) -> None:
        settings, credentials = self._settings, self._settings.credentials
        self._is_encrypted = False
        self._client = Client()
        await self._client.connect(
            settings.servers,
            name=f"roomd {self._name}",
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]  # it is only slept for
            ping_interval=PING_INTERVAL,
            allow_reconnect=True,
            no_echo=True,  # what is for an earlier run of this node is for nobody
            tls=settings.tls,
            user_jwt_cb=credentials and partial(_of_file, credentials.jwt),
            signature_cb=credentials and partial(self._sign, credentials),
        )
        self._check_encryption()
        prefix = settings.prefix
        self._subscriptions = [
            await self._client.subscribe(f"{prefix}.node.{self._name}", cb=self._arrived),
            await self._client.subscribe(f"{prefix}.absent.{self._name}.*", cb=self._not_delivered),
        ]
        await self._client.flush()

    def send(self, to: str, data: bytes) -> None:
        """Send a message to the node of a name, if the bus is there."""
        if not self._client.is_connected or len(self._waiting) >= MOST_WAITING:
            self.lost += 1
            return
        self._number += 1
        size = self._client.max_payload - _PIECE
        number = (self._number & 0xFFFFFFFF).to_bytes(4)
        if len(data) <= size:
            self._waiting.append((to, number + _WHOLE + data))
        else:
            count = -(-len(data) // size)
            for index in range(count):
                head = number + index.to_bytes(2) + count.to_bytes(2)
                self._waiting.append((to, head + data[index * size : (index + 1) * size]))
        self._has_waiting.set()

    async def answers(self) -> None:
        """Return when the server has answered a ping. Raises `BusFailed`."""
        if not self._client.is_connected:
            raise BusFailed("not connected")
        try:
            await self._client.flush(PING_INTERVAL)
        except (TimeoutError, OSError, nats.errors.Error) as exc:
            raise BusFailed(str(exc) or type(exc).__name__) from None

    async def close(self) -> None:
        """Send what waits, and disconnect. Closing twice is fine."""
        self._is_closing = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        writer, self._writer = self._writer, None
        if writer is not None:
            while self._waiting and self._client.is_connected:
                await self._write_next()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        if self._client.is_closed:
            return
        with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
            if self._client.is_connected:
                for subscription in self._subscriptions:
                    await subscription.unsubscribe()
                await self._client.flush(PING_INTERVAL)  # from now on others are told that this node is not there
        await self._close_client()

    async def _close_client(self) -> None:
        """Disconnect. The client waits without end for a connection whose certificate it has refused."""
        with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.close()

    async def _write(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while self._waiting:
                await self._write_next()

    async def _write_next(self) -> None:
        if not self._waiting:
            return
        to, piece = self._waiting.popleft()
        prefix = self._settings.prefix
        try:
            await self._client.publish(f"{prefix}.node.{to}", piece, reply=f"{prefix}.absent.{self._name}.{to}")
        except (OSError, nats.errors.Error) as exc:
            self.lost += 1
            log.warning("message not sent", {"node": to, "reason": str(exc) or type(exc).__name__})

    async def _arrived(self, message: Msg) -> None:
        data = message.data
        if data[4:_PIECE] == _WHOLE:
            self._receive(data[_PIECE:])
            return
        index, count = int.from_bytes(data[4:6]), int.from_bytes(data[6:8])
        pieces = self._pieces.pop(message.reply, [])
        if index != len(pieces) or (pieces and pieces[0][:4] != data[:4]):
            pieces = []  # one before was lost
        if index == len(pieces):
            pieces.append(data)
        if len(pieces) == count:
            self._receive(b"".join(piece[_PIECE:] for piece in pieces))
        elif pieces:
            self._pieces[message.reply] = pieces

    def _receive(self, data: bytes) -> None:
        try:
            self._receiver.received(data)
        except Exception as exc:  # the edge of a message
            log.exception("message not served", {"error": type(exc).__name__})

    async def _not_delivered(self, message: Msg) -> None:
        self._receiver.absent(message.subject.rpartition(".")[2])

    async def _failed(self, exc: Exception) -> None:
        failure = self._explained(exc)
        if self._failure is None or failure.is_lasting:  # after a refusal the client also fails to write
            self._failure = failure
        if not self._client.is_connected:
            self._is_encrypted = False
        log.warning("bus failed", {"reason": str(failure)})
        is_late = (
            asyncio.get_running_loop().time() >= self._deadline
        )  # `wait_for` may lose a cancellation (Python 3.11)
        if self._writer is None and (self._client.is_connecting or is_late):
            raise exc  # from `connect`, which would try again, and leave the connection open if cancelled then

    async def _disconnected(self) -> None:
        self._is_encrypted = False
        if not self._is_closing:
            log.warning("bus disconnected")

    async def _reconnected(self) -> None:
        try:
            self._check_encryption()
        except nats.errors.SecureConnWantedError as exc:
            await self._failed(exc)
            await self._closed()
            return
        log.info("bus connected again")
        self._pieces.clear()
        self._receiver.reconnected()

    async def _closed(self) -> None:
        """Open the bus again: the client gives up when a server ends the connection with an error, like expired."""
        if not self._is_closing and self._writer is not None and self._opening is None:
            self._opening = asyncio.create_task(self._open_again(), name="connect to NATS again")

    async def _open_again(self) -> None:
        while True:
            await self._close_client()
            await asyncio.sleep(OPEN_AGAIN)
            try:
                await self._connect()
            except (TimeoutError, OSError, nats.errors.Error) as exc:
                await self._failed(exc)
                continue
            self._opening = None
            await self._reconnected()
            return

    def _sign(self, credentials: Credentials, nonce: str) -> bytes:
        """Sign a nonce of a server."""
        self._check_encryption()
        return _of_file(partial(credentials.sign, nonce))

    def _encrypted(self) -> None:
        """Note that a handshake of TLS is complete."""
        self._is_encrypted = True

    def _check_encryption(self) -> None:
        """Refuse a server that does not require TLS, where TLS is configured: the client would go on without it."""
        if self._settings.tls is not None and not self._is_encrypted:
            raise nats.errors.SecureConnWantedError

    def _explained(self, error: Exception) -> BusFailed:
        """Return why no server could be used, and what to do if that is known."""
        text = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            text = "no server answers"
        elif isinstance(error, ConnectionError | socket.gaierror):
            text = f"no server answers: {error.strerror or text}"
        failed = BusFailed(text)
        advice = ""
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"the certificate of a server is not accepted: {error.verify_message}"
            advice = (
                "cluster.ca_file names the CA that signed it, and it must be valid now and for the host in cluster.nats"
            )
        elif isinstance(error, nats.errors.SecureConnWantedError):
            text, advice = "a server has no TLS", "use nats:// and no cluster.ca_file, or configure TLS there"
        elif "authorization" in text.lower() or "authentication" in text.lower():
            text, advice = f"a server refuses this node: {text}", self._check_of_credentials()
        if advice:
            failed = BusFailed(f"{text}; {advice}")
            failed.is_lasting = True
        return failed

    def _check_of_credentials(self) -> str:
        """Return what to do where a server has refused the credentials."""
        credentials = self._settings.credentials
        if credentials is None:
            return "check the user and the password in cluster.nats, or name a file in cluster.credentials_file"
        with contextlib.suppress(Exception):
            expires_at = credentials.expires_at()
            if 0 < expires_at < time.time():
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_at))
                return f"the credentials in cluster.credentials_file expired at {when}: replace the file"
        return "check that the account of cluster.credentials_file is one of this server, and the user not revoked"


def _of_file(read: Callable[[], T]) -> T:
    """Read a file of credentials. What goes wrong is an error of the bus, so that the client tries again."""
    try:
        return read()
    except Exception as exc:
        raise nats.errors.Error(str(exc)) from exc


def _noticed(done: Callable[[], None]) -> type[ssl.SSLObject]:
    """Return a class of the ends of TLS that calls `done` after each handshake."""

    class Noticed(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            done()

    return Noticed
