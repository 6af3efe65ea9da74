"""Follow the event log of a server: what a backend reads (docs/protocol.md, section 10).

`follow_log` reads by `watch`, over as many connections as it takes. Nothing waits in a queue: a frame is read when the
program has taken the part before it. A program that is slow to store what it gets makes the server wait, and loses
nothing, since the log keeps the events.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from roomd.client.connection import Closed, FrameReader, NoAnswer, Unreachable, open_websocket, refusal
from roomd.client.encoding import encode
from roomd.client.events import Over
from roomd.client.reconnect import ReconnectPolicy, describe
from roomd.client.settings import Settings
from roomd.client.tokens import Token, Tokens
from roomd.protocol.errors import Refused
from roomd.protocol.events import ServerRestarting
from roomd.protocol.replies import ErrorReply, WatchingReply
from roomd.protocol.requests import Watch

log = logging.getLogger("roomd.client")


class LogPart(msgspec.Struct, frozen=True, tag="events"):
    """A part of the event log."""

    events: list[dict[str, Any]]
    """The events, as JSON objects in their order; none where events of other rooms were passed over."""
    next: str
    """The position to go on from. Store it in one transaction with what you do with the events."""


_Frame = LogPart | WatchingReply | ErrorReply | ServerRestarting
_frames = FrameReader[_Frame](_Frame)


async def follow_log(
    url: str,
    token: Token,
    after: str | None = None,
    *,
    rooms: Sequence[str] | None = None,
    settings: Settings | None = None,
) -> AsyncGenerator[LogPart, None]:
    """Yield the event log of a server part after part, for ever, over lost connections and restarts.

    `url` is like `wss://meet.example/ws`. `token` is that of an admin or, with `rooms`, of the host of these rooms: a
    function, plain or async, gives one for each connection. `after` is the `next` of the last part that was stored,
    `latest` for what happens from now on, or None to begin with the oldest event that is kept. `rooms` are codes.

    While the server cannot be reached, also at first, it waits and tries again, and the logger `roomd.client` has a
    warning. Raises `Refused` where that does not help: with 410 `position_expired` events are missing, and its `oldest`
    is where to go on. Raises what a token function raises for the first connection.
    """
    settings = settings or Settings()
    tokens = Tokens(token, settings.token_patience, url)
    policy = ReconnectPolicy(settings.random, settings.clock, has_token_function=callable(token))
    used = await tokens.get()
    while True:
        try:
            used = used or await tokens.get_later()
            watch = Watch(id=1, after=after, rooms=list(rooms) if rooms is not None else None)
            async with aclosing(_watch(url, used, watch, settings.patience)) as parts:
                is_new = True
                async for part in parts:
                    if is_new:
                        is_new = False
                        policy.arrived()
                        policy.accepted()
                    if part.events or part.next != after:
                        after = part.next
                        yield part
        except (Refused, Closed, Unreachable) as end:
            delay = policy.after(end, used)
            if isinstance(delay, Over):
                raise
            log.warning("event log: %s; trying again in %.1f s", describe(end), delay)
            used = None
            await settings.sleep(delay)


async def _watch(url: str, token: str | None, watch: Watch, patience: float) -> AsyncGenerator[LogPart, None]:
    """Yield the parts that come by one connection; the first one has only the position at which it begins.

    Raises `Refused`, `Closed` or `Unreachable` at its end.
    """
    from websockets.exceptions import ConnectionClosed

    websocket, authenticate = await open_websocket(url, token, patience)
    try:
        with suppress(ConnectionClosed):  # the reason is in a frame that is still to be read
            for request in filter(None, (authenticate, watch)):
                await websocket.send(encode(request), text=True)
        wait: float | None = patience  # until the watch begins
        retry_after: float | None = None
        while True:
            try:
                async with asyncio.timeout(wait):
                    frame = await _frames.receive(url, websocket)
            except TimeoutError:
                raise NoAnswer(url, patience) from None
            except Closed as closed:
                closed.retry_after = retry_after
                raise
            match frame:
                case ErrorReply():
                    raise refusal(frame)
                case ServerRestarting():
                    retry_after = frame.retry_after
                case WatchingReply():
                    wait = None
                    yield LogPart([], frame.next)
                case LogPart():
                    yield frame
    finally:
        await websocket.close()
