"""The listening sockets: those of the configuration, or those that systemd has opened and passed to this process."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from roomd.config import ListenAddress, TcpAddress, UnixAddress, is_every_address
from roomd.system.unix_sockets import UnixListener, listen_on

UNSENT = 131_072
"""The bytes that the system takes for one client before it sends them. By default it takes some megabytes, which hide
for long that a client is slow."""
BACKLOG = 4096
"""The connections that may wait to be accepted: with a full backlog the system makes clients wait for seconds."""

NewProtocol = Callable[[], asyncio.BaseProtocol]


class AddressUnavailable(Exception):  # noqa: N818 - a state of the machine, not a mistake
    """The address cannot be used now. The text says why and what to do."""


class OpenSockets:
    """Listening sockets with their servers. `protocol` makes the protocol of each connection that is accepted.

    `section` is that of the configuration which has the addresses, as its `listen`; `flags` says how else they are set.
    """

    def __init__(
        self, protocol: NewProtocol, section: str = "server", flags: str = "with --host and --port, or "
    ) -> None:
        self.addresses: list[ListenAddress] = []
        """The addresses that are listened on, with the real ports."""
        self._protocol = protocol
        self._section = section
        self._flags = flags
        self._servers: list[asyncio.Server] = []
        self._files: list[UnixListener] = []  # those that `close` removes

    async def open(self, addresses: Sequence[ListenAddress], socket_mode: int) -> None:
        """Listen on addresses. Unix sockets get the access rights `socket_mode`.

        Raises `AddressUnavailable` when one of them cannot be used; then none is listened on.
        """
        try:
            for address in addresses:
                if isinstance(address, UnixAddress):
                    listening = self._open_unix(Path(address.path), socket_mode)
                    self._files.append(listening)
                    await self._serve(listening.socket)
                else:
                    await self._open_tcp(address)
        except BaseException:
            self.close()
            raise

    async def adopt(self, inherited: Sequence[socket.socket]) -> None:
        """Accept connections on sockets that listen already. Their owner has them too, so `close` removes none."""
        for opened in inherited:
            await self._serve(opened)

    def close(self) -> None:
        """Stop accepting, and remove the Unix sockets that `open` created. Closing twice is fine."""
        for listening in self._files:
            listening.remove()
        self._files.clear()
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _open_tcp(self, address: TcpAddress) -> None:
        both = is_every_address(address.host) and socket.has_dualstack_ipv6()
        try:
            if both:  # the event loop would open a socket for IPv6 alone
                opened = socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
                port = opened.getsockname()[1]
                await self._serve(opened)
                self.addresses.append(TcpAddress("0.0.0.0", port))  # noqa: S104 - what is listened on
            else:
                loop = asyncio.get_running_loop()
                self._add(await loop.create_server(self._protocol, *address, backlog=BACKLOG))
        except OSError as exc:
            raise AddressUnavailable(
                f"{self._section}: cannot listen on {address}: {os.strerror(exc.errno or 0)}; choose another address "
                f"{self._flags}in {self._section}.listen"
            ) from None

    def _open_unix(self, path: Path, mode: int) -> UnixListener:
        try:
            return listen_on(path, mode, BACKLOG)
        except OSError as exc:
            raise AddressUnavailable(
                f"{self._section}.listen: cannot listen on {UnixAddress(str(path))}: {exc.strerror}"
            ) from None

    async def _serve(self, opened: socket.socket) -> None:
        self._add(await asyncio.get_running_loop().create_server(self._protocol, sock=opened, backlog=BACKLOG))

    def _add(self, server: asyncio.Server) -> None:
        self._servers.append(server)
        for listening in server.sockets:
            if listening.family == socket.AF_UNIX:
                self.addresses.append(UnixAddress(os.fsdecode(listening.getsockname())))
                continue
            self.addresses.append(TcpAddress(*listening.getsockname()[:2]))
            # The sockets that it accepts have the same option.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
