"""What strangers share, as clients see it: connections, memory, addresses (docs/reference/limits.md)."""

import asyncio
import contextlib
import json
import signal
import socket
import struct
from collections.abc import Callable

import pytest

from tests.support.daemon import Daemon
from tests.support.metrics import metrics
from tests.support.processes import PATIENCE
from tests.support.raw_sockets import UPGRADE, frame, opened, tcp

MakeDaemon = Callable[..., Daemon]
JANE = {"guestName": "Jane"}
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"


async def test_half_of_the_connections_are_for_strangers(make_daemon: MakeDaemon) -> None:
    """One more without a seat costs the address with the most its oldest, 1013; those with seats and tokens stay."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_CONNECTIONS="8")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        member = await stack.enter_async_context(daemon.client(address=HOME))
        await member.join(room["code"], **JANE)
        user = await stack.enter_async_context(daemon.client("bob", address=HOME))
        greedy = [await stack.enter_async_context(daemon.client(address=HOME)) for _ in range(4)]
        late = await stack.enter_async_context(daemon.client(address=ELSEWHERE))
        assert await greedy[0].closed() == 1013
        for client in (member, user, *greedy[1:], late):
            await client.nothing_more()
        await late.join(room["code"], **JANE)


async def test_idle_sockets_keep_nobody_out_at_the_limit(make_daemon: MakeDaemon) -> None:
    """Where users have more than half of the connections, idle ones of one address give way to any newcomer."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_CONNECTIONS="8")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        users = [await stack.enter_async_context(daemon.client(f"user-{number}")) for number in range(4)]
        jane = await stack.enter_async_context(daemon.client(address=ELSEWHERE))
        seat = await jane.join(room["code"], **JANE)
        idle = [await stack.enter_async_context(daemon.client(address=HOME)) for _ in range(3)]
        guest = await stack.enter_async_context(daemon.client(address=ELSEWHERE))
        await guest.join(room["code"], guestName="Joan")
        back = await stack.enter_async_context(daemon.client(address=ELSEWHERE))
        assert (await back.ask("resume", resumeToken=seat["resumeToken"]))["type"] == "participant"
        assert await jane.closed() == 4409
        carol = await stack.enter_async_context(daemon.client("carol"))
        await carol.join(room["code"])
        assert [await one.closed() for one in idle[:2]] == [1013, 1013]
        for user in users:
            await user.nothing_more()


async def test_bad_tokens_cost_nobody_a_place(make_daemon: MakeDaemon) -> None:
    """A token makes a client no stranger before it was checked: bad ones of one address close no guest of another."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_CONNECTIONS="8")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        guest = await stack.enter_async_context(daemon.client(address=ELSEWHERE))
        for _ in range(10):
            await stack.enter_async_context(daemon.client(token="x", address=HOME))
        await guest.join(room["code"], **JANE)


async def test_half_open_connections_give_way(make_daemon: MakeDaemon) -> None:
    """Connections that send no request count as strangers too; a client who comes then is served at once."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_CONNECTIONS="8")
    async with contextlib.AsyncExitStack() as stack:
        half_open = [await stack.enter_async_context(tcp(daemon)) for _ in range(6)]
        for reader, _ in half_open[:2]:
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        async with daemon.client(address=HOME) as client:
            await client.nothing_more()


async def test_memory_is_bounded(make_daemon: MakeDaemon) -> None:
    """Clients with the most unfinished are cut when all have too much together; who has a seat stays."""
    daemon = make_daemon(
        measured=True, ROOMD_LIMITS_MEMORY="1048576", ROOMD_LIMITS_JOIN_TIMEOUT="60", ROOMD_LIMITS_FRAME="262144"
    )
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        member = await stack.enter_async_context(daemon.client())
        await member.join(room["code"], **JANE)
        streams = [await stack.enter_async_context(opened(daemon)) for _ in range(6)]
        for _, writer in streams:
            writer.write(frame(b"x" * 250_000)[:-1])
        ends = [asyncio.create_task(reader.read()) for reader, _ in streams]
        done, waiting = await asyncio.wait(ends, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert done
        assert waiting
        for end in waiting:
            end.cancel()
        await member.nothing_more()
        assert (await asyncio.to_thread(metrics, daemon))["roomd_memory_aborts_total"] >= len(done)


async def test_an_address_is_refused_and_others_are_not(make_daemon: MakeDaemon) -> None:
    """Unknown codes are charged to the address: 429 there, whichever connection asks; others and members go on."""
    daemon = make_daemon(measured=True, ROOMD_LIMITS_FAILURE_RATE="0.001", ROOMD_LIMITS_FAILURE_BURST="50")
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        member = await stack.enter_async_context(daemon.client(address=HOME))
        seat = await member.join(room["code"], **JANE)
        for number in range(6):
            guesser = await stack.enter_async_context(daemon.client(address=HOME))
            assert (await guesser.ask("get-room", code=f"abc-def-gh{chr(97 + number)}"))["statusCode"] == 404
        guesser = await stack.enter_async_context(daemon.client(address=HOME))
        refusal = await guesser.ask("get-room", code=room["code"])
        assert (refusal["code"], 50 < refusal["retryAfter"] <= 60) == ("rate_limited", True)
        other = await stack.enter_async_context(daemon.client(address=ELSEWHERE))
        assert (await other.ask("get-room", code=room["code"]))["type"] == "room"
        await member.nothing_more()
        await member.websocket.close()
        back = await stack.enter_async_context(daemon.client(address=HOME))
        assert (await back.ask("resume", resumeToken=seat["resumeToken"]))["type"] == "participant"


@pytest.mark.parametrize(("shown", "logged"), [("full", "192.0.2.1"), ("masked", "192.0.2.0/24"), ("none", None)])
async def test_addresses_in_the_log(make_daemon: MakeDaemon, shown: str, logged: str | None) -> None:
    """The address of a connection is in the log as `server.log_addresses` says."""
    daemon = make_daemon(ROOMD_SERVER_LOG_ADDRESSES=shown)
    async with daemon.client(address=HOME) as client:
        await client.nothing_more()
    await asyncio.to_thread(daemon.wait_for_log, '"event":"connected"')
    lines = [line for line in daemon.log.read_text().splitlines() if '"connected"' in line]
    assert all((f'"address":"{logged}"' in line) if logged else ("192.0.2" not in line) for line in lines)


async def test_an_address_that_the_system_has_forgotten(make_daemon: MakeDaemon) -> None:
    """A client that resets its connection before it is accepted has no address that it could choose: it is not served.

    Its peer name is gone then, like that of a Unix socket, whose `X-Forwarded-For` is believed.
    """
    daemon = make_daemon(ROOMD_SERVER_TRUSTED_PROXIES="unix")
    request = UPGRADE + f"X-Forwarded-For: {ELSEWHERE}\r\n\r\n".encode() + frame(b'{"type": "ping"}')
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        client = socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE)
        client.sendall(request)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    async with daemon.client() as other:
        await other.nothing_more()
    await asyncio.to_thread(daemon.stop)
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert [line["address"] for line in lines if line["event"] == "connected"] == ["127.0.0.1"]
    assert "Traceback" not in daemon.log.read_text()


async def test_a_class_behind_one_address_meets_no_limit(make_daemon: MakeDaemon) -> None:
    """Sixty people connect, join, leave and come again at once, a few times, with the limits that are the default."""
    daemon = make_daemon(measured=True)
    room = await daemon.room()

    async def attend() -> None:
        for _ in range(4):
            async with daemon.client(address=HOME) as client:
                seat = await client.join(room["code"], **JANE)
            async with daemon.client(address=HOME) as client:
                for type_, fields in (("resume", {"resumeToken": seat["resumeToken"]}), ("leave-room", {})):
                    await client.send(type_, id=type_, **fields)
                    while (reply := await client.receive()).get("id") != type_:
                        pass
                    assert reply["type"] == "participant" or reply["code"] in ("seat_expired", "not_in_room")

    await asyncio.gather(*(attend() for _ in range(60)))
