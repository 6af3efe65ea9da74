"""An attack by a backend that gets webhooks, and what the daemon must not connect to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.attacks.attack import Attack
from tests.support.processes import PATIENCE, free_port
from tests.support.receiver import HERE, OTHER_SIGNING, SIGNING, endpoints, setting

OK = b"HTTP/1.1 200 OK\r\n"
TAKEN = OK + b"Content-Length: 0\r\n\r\n"
BLOCK = b"x" * 65_536
REDIRECT = b"HTTP/1.1 308 There\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Response(NamedTuple):
    """A response without an end."""

    first: bytes
    """How it begins."""
    part: bytes
    """What follows again and again."""
    pause: float = 0
    """The seconds between two of them."""


ENDLESS = {
    "interim responses": Response(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2_000),
    "header fields": Response(OK, b"A: b\r\n" * 10_000),
    "a field": Response(OK + b"A: ", BLOCK),
    "chunks": Response(CHUNKS, b"1\r\nx\r\n" * 10_000),
    "an extension": Response(CHUNKS + b"1;", BLOCK),
    "a trailer": Response(CHUNKS + b"0\r\nA: ", BLOCK),
    "a body": Response(OK + b"Content-Length: 1000000000000\r\n\r\n", BLOCK),
    "a slow response": Response(OK, b"A: b\r\n", 0.05),
}
"""Responses without an end, by what has none."""


def hook_settings(folder: Path) -> dict[str, str]:
    """Return the settings of an endpoint of the attacker's, and of those that the daemon must not connect to.

    The secret is in a folder.
    """
    trap = free_port()
    names = {f"trap{number}": f"https://{host}:{trap}/" for number, host in enumerate(HERE)}
    wanted = endpoints(folder, mine=f"http://127.0.0.1:{free_port()}/", **names)
    for name in names:
        wanted[name]["private"] = False
    quick = {"TIMEOUT": "1", "RETRY_FIRST": "0.1", "RETRY_LONGEST": "0.5"}
    return {**setting(wanted), **{f"ROOMD_WEBHOOKS_{name}": value for name, value in quick.items()}}


def hook_ports(environ: Mapping[str, str]) -> tuple[int, int]:
    """Return the ports of these settings: the one of the attacker's endpoint, and the one of the others."""
    wanted = json.loads(environ["ROOMD_WEBHOOKS_ENDPOINTS"])
    mine, trap = (int(wanted[name]["url"].rpartition(":")[2].rstrip("/")) for name in ("mine", "trap0"))
    return mine, trap


class Webhooks(Attack):
    """An endpoint answers without an end, or redirects into the network. Others are at addresses of this machine."""

    async def prepare(self) -> None:
        self.taken = self.trapped = self.cut = 0
        self.came = asyncio.Event()
        self.answers = cycle([*ENDLESS, "", "redirect"])

    async def attack(self) -> str:
        mine, trap = self.target.hooks
        async with listening(mine, self.serve), listening(trap, self.trap):
            await self.wait()
            async with asyncio.timeout(PATIENCE):
                await self.came.wait()
        if self.trapped:
            self.faults.append(f"{self.trapped} connections to a private address")
        return f"{self.taken} webhooks came, {self.cut} responses were cut off"

    async def trap(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count a connection that the daemon must not make."""
        self.trapped += 1
        writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take webhooks, check them, and answer in one of the ways."""
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")[1:]
            headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
            self.check(headers, await reader.readexactly(int(headers["content-length"])))
            self.taken += 1
            self.came.set()
            if (way := next(self.answers)) in ENDLESS:
                await self.answer(writer, ENDLESS[way])
            writer.write(REDIRECT % self.target.hooks[1] if way else TAKEN)

    async def answer(self, writer: asyncio.StreamWriter, response: Response) -> None:
        """Send what is taken, until the daemon ends the connection."""
        writer.write(response.first)
        try:
            while True:
                writer.write(response.part)
                await writer.drain()
                await asyncio.sleep(response.pause)
        finally:
            self.cut += 1

    def check(self, headers: dict[str, str], body: bytes) -> None:
        """Check a webhook as the documentation says. Altered, forged and without its signature it must be refused."""
        later = str(int(headers["webhook-timestamp"]) + 1)
        forged = {
            "altered": (SIGNING, headers, body.replace(b'"at"', b'"At"')),
            "with another id": (SIGNING, {**headers, "webhook-id": "another"}, body),
            "with another time": (SIGNING, {**headers, "webhook-timestamp": later}, body),
            "with no signature": (SIGNING, {**headers, "webhook-signature": "v1,"}, body),
            "of somebody else": (OTHER_SIGNING, headers, body),
        }
        if not is_genuine(SIGNING, headers, body):
            self.faults.append("a webhook has no valid signature")
        self.faults += [f"a webhook {how} is taken" for how, one in forged.items() if is_genuine(*one)]


def is_genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Return whether the library of Standard Webhooks takes it."""
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(port: int, serve: Serve) -> AsyncIterator[None]:
    """Serve every connection to a port of this machine; cut those that are left at the end."""
    writers: set[asyncio.StreamWriter] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writers.discard(writer)
        writer.transport.abort()

    async with await asyncio.start_server(served, "127.0.0.1", port):
        yield
        for writer in writers:
            writer.transport.abort()
