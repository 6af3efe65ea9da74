"""Members that read slowly, on real sockets: docs/protocol.md, section 6."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from roomd.client.connection import decode
from roomd.client.encoding import encode
from roomd.client.view import View
from roomd.protocol import replies
from roomd.protocol.events import RoomState
from tests.support.daemon import PATIENT, Client, Daemon, faults
from tests.support.processes import PATIENCE
from tests.support.raw_sockets import narrow_socket

JANE = {"guestName": "Jane"}
MakeDaemon = Callable[..., Daemon]
OUTBOX = 131_072
LINE = 125_000
"""Bytes a second of a line of 1 Mbit/s."""


class SlowMember:
    """A member on a slow line that knows the room by the library's view, and reads what it missed."""

    def __init__(self, client: Client, code: str) -> None:
        self.client = client
        self.code = code
        self.view = View()
        self.states = 0
        """How many `room-state` it got."""
        self.line = LINE
        """How many bytes a second it reads."""

    async def read(self) -> None:
        """Read until the connection ends."""
        while True:
            line = await self.client.websocket.recv()
            await asyncio.sleep(len(line) / self.line)  # what the line takes, not a wait for something
            frame = decode(line.encode() if isinstance(line, str) else line)
            assert frame is not None
            self.states += isinstance(frame, RoomState)
            self.view.apply(frame)
            if self.view.missed is not None and not self.view.missed.is_asked:
                self.view.missed.is_asked = True
                await self.client.websocket.send(encode(self.view.missed.request(self.code)).decode())


async def test_six_guests_at_full_rate(make_daemon: MakeDaemon) -> None:
    """A member on 1 Mbit/s stays in a room whose guests talk as fast as they may, and knows all of it in the end."""
    daemon = make_daemon(ROOMD_LIMITS_OUTBOX=str(OUTBOX))
    code = (await daemon.room())["code"]
    is_over = asyncio.Event()

    async def talk(guest: Client, number: int) -> None:
        for count in range(1_000_000):
            if is_over.is_set():
                return
            reply = await ask(guest, "send-message", text=f"{number}:{count} " + "x" * 1900)
            if reply.get("code") == "rate_limited":
                await asyncio.sleep(reply["retryAfter"])
            await ask(guest, "update-participant", state={"count": count})

    async with contextlib.AsyncExitStack() as stack:
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(6)]
        for guest in guests:
            await guest.join(code, **JANE)
        line = daemon.client(sock=narrow_socket(daemon.port), max_queue=1)
        member = SlowMember(await stack.enter_async_context(line), code)
        reading = asyncio.create_task(member.read())
        await member.client.send("join-room", code=code, guestName="slow")
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            for number, guest in enumerate(guests):
                tasks.create_task(talk(guest, number))
            while member.states < 3:  # the first with the join
                assert not reading.done(), reading
                await asyncio.sleep(0.01)
            is_over.set()
        member.line = 100 * LINE
        everybody = await daemon_view(daemon, code)
        async with asyncio.timeout(PATIENCE):
            while not same(member.view, everybody):
                assert not reading.done(), reading
                await asyncio.sleep(0.01)
        assert not member.view.is_stale
        reading.cancel()
    assert faults(daemon) == []


async def ask(client: Client, type_: str, **fields: Any) -> dict[str, Any]:
    """Send a request and return its reply, whatever events come before it."""
    await client.send(type_, id="asked", **fields)
    while (frame := await client.receive()).get("id") != "asked":
        pass
    return frame


async def daemon_view(daemon: Daemon, code: str) -> View:
    """Return what a newcomer knows, who leaves at once again."""
    view = View()
    async with daemon.client("alice") as host:
        await host.send("join-room", code=code)
        for _ in range(2):
            frame = decode((await host.websocket.recv()).encode())  # type: ignore[union-attr]
            assert isinstance(frame, RoomState | replies.ParticipantReply)
            view.apply(frame)
        await ask(host, "leave-room")
    return view


def same(view: View, other: View) -> bool:
    """Return whether two views show the same messages and the same presence of the others."""
    if view.missed is not None or view.me is None or other.me is None:
        return False
    mine = {key: one for key, one in view.participants.items() if key != other.me.id}
    theirs = {key: one for key, one in other.participants.items() if key != other.me.id}
    shown = other.messages
    return mine == theirs and view.messages[-len(shown) :] == shown


async def test_a_client_that_asks_and_does_not_read(make_daemon: MakeDaemon) -> None:
    """Its requests wait, however many they are, and others are served; when it reads, each of them is answered."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_OUTBOX="65536", **PATIENT)
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        for number in range(40):  # each reply is 10 KB; the system's buffers for the connection hold some megabytes
            await (await stack.enter_async_context(daemon.client())).join(room["code"], guestName=f"{number}")
        slow = await stack.enter_async_context(daemon.client(sock=narrow_socket(daemon.port)))
        key = (await slow.join(room["code"], **JANE))["participant"]["id"]
        member = await stack.enter_async_context(daemon.client())
        await member.join(room["code"], guestName="Joan")
        (joined,) = await slow.events()
        slow.websocket.transport.pause_reading()
        for number in range(900):
            await slow.send("list-participants", id=number, code=room["code"])
        await slow.send("send-message", id="last", text="at last")
        async with asyncio.timeout(PATIENCE):
            while (await member.ask("signal", to=key, data=1))["type"] == "ok":
                pass  # until half of what may wait does
        for _ in range(100):
            await member.nothing_more()  # meanwhile the daemon answers some more of those requests
        for number in range(20):
            await member.send("send-message", text=f"{number} " + "x" * 1900)
        assert len(await member.events()) == 20, "the message of the slow one waits behind its other requests"
        slow.websocket.transport.resume_reading()
        frames = [await slow.receive()]
        while frames[-1].get("id") != "last":
            frames.append(await slow.receive())
        frames = [frame for frame in frames if frame["type"] != "signal"]
        assert [frame["id"] for frame in frames if "id" in frame] == [*range(900), "last"]
        assert (await member.receive())["message"]["text"] == "at last"
        told = [*frames, *await slow.events()]
        states = [frame for frame in told if frame["type"] == "room-state"]
        assert states, "what the others said meanwhile"
        assert states[-1]["seq"] == joined["seq"]
        assert [message["text"] for message in states[-1]["messages"]][19].startswith("19 ")
    assert faults(daemon) == []
