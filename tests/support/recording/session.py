"""The whole session: which chapter is played on which daemon."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

from tests.support.daemon import PATIENT, Daemon
from tests.support.recording import edges, meeting, people, requests
from tests.support.recording.http import http
from tests.support.recording.scene import AUDIENCE, ISSUER, PATIENCE, Scene
from tests.support.recording.transcript import TURN_SECRET, Transcript

Chapter = Callable[[Scene], Awaitable[None]]

BOUNDLESS = {
    **PATIENT,
    "ROOMD_LIMITS_JOIN_TIMEOUT": "86400",
    "ROOMD_ROOMS_SEAT_HOLD": "86400",
    "ROOMD_SERVER_PING_INTERVAL": "3600",
    "ROOMD_DATABASE_SYNCHRONOUS": "NORMAL",
    "ROOMD_AUTH_ISSUER": ISSUER,
    "ROOMD_AUTH_AUDIENCE": AUDIENCE,
    "ROOMD_AUTH_LEEWAY": "0",
}
"""Settings with which nothing happens because time passes."""

MAIN = {
    **BOUNDLESS,
    "ROOMD_SERVER_ALLOWED_ORIGINS": "https://meet.example",
    "ROOMD_DATABASE_BUSY_TIMEOUT": "0.05",
    "ROOMD_ICE_STUN": "stun:turn.example:3478",
    "ROOMD_ICE_TURN": "turn:turn.example:3478,turns:turn.example:5349?transport=tcp",
    "ROOMD_ICE_TURN_SECRET": TURN_SECRET,
    "ROOMD_ICE_TURN_TTL": "3600",
}
LIMITED = {
    "ROOMD_LIMITS_REQUEST_RATE": "0.001",
    "ROOMD_LIMITS_REQUEST_BURST": "300",
    "ROOMD_LIMITS_TOLD_RATE": "0.001",
    "ROOMD_LIMITS_TOLD_BURST": "3000",
    "ROOMD_LIMITS_CONNECTIONS": "3",
}
IMPATIENT = {
    "ROOMD_ROOMS_SEAT_HOLD": "1",
    "ROOMD_LIMITS_JOIN_TIMEOUT": "2",
    "ROOMD_LIMITS_OUTBOX": "400000",
}
NO_ISSUER = "http://127.0.0.1:1/"
"""Where no keys can be had."""
LAST = 12
"""Lines that are shown of a session that breaks off."""
SOON = 5.0
"""Seconds from the beginning until some tokens expire."""


CHAPTERS: tuple[Chapter, ...] = (
    people.identity,
    people.refused_tokens,
    people.rooms,
    people.joining,
    people.coming_back,
    meeting.presence_and_signals,
    meeting.messages,
    meeting.hosts,
    meeting.waiting_room,
    meeting.queue,
    meeting.crowd,
    requests.situations,
    requests.bad_frames,
    requests.texts,
    edges.wire,
)
"""What is played on one daemon, in this order."""


async def frames(folder: Path) -> tuple[str, bytes]:
    """Play the session on daemons that keep their databases in `folder`.

    Answers with what went over WebSockets, and with the daemon's `/asyncapi.json`.
    """
    waiting = {**BOUNDLESS, **IMPATIENT}
    async with asyncio.TaskGroup() as group:  # the latter two mostly wait
        main = group.create_task(_main(folder / "main"))
        silence = group.create_task(_part(folder / "silence", waiting, edges.silence))
        pinging = {**BOUNDLESS, "ROOMD_SERVER_PING_INTERVAL": "1"}
        pinged = group.create_task(_part(folder / "pinged", pinging, edges.pinged, barriers=False))
    rates = await _part(folder / "rates", {**BOUNDLESS, **LIMITED}, edges.rates, barriers=False)
    slow = await _part(folder / "slow", waiting, edges.slow, barriers=False)
    issuer = await _part(folder / "issuer", {**BOUNDLESS, "ROOMD_AUTH_JWKS_URL": NO_ISSUER}, edges.no_issuer)
    first, contract = main.result()
    return "\n".join([first, silence.result(), pinged.result(), rates, slow, issuer]), contract


async def http_answers(folder: Path) -> str:
    """Ask a daemon for everything over plain HTTP; answers with what came."""
    transcript = Transcript()
    async with _daemon(folder / "http", MAIN) as daemon:
        await http(daemon.port, transcript)
    return str(transcript)


async def _main(folder: Path) -> tuple[str, bytes]:
    transcript = Transcript()
    async with _daemon(folder, MAIN, steered=True) as daemon:
        with _scene(daemon, transcript) as early, _scene(daemon, transcript) as s:
            transcript.heading("Two whose tokens expire soon")
            expiry = time.time() + SOON
            for name in ("lou", "mia"):
                await early.connect(name, token=early.token(name, "soon expired", exp=expiry))
            code = await early.room("lou")
            await early.ask("mia", "join-room", code=code)
            for chapter in CHAPTERS:
                await chapter(s)
            await requests.lapsed(early, "lou", "mia", code)
            contract = await asyncio.to_thread(_contract, daemon)
            await edges.outage(s)
            tokens = await edges.restart(s)
            daemon.environ["ROOMD_DATABASE_BUSY_TIMEOUT"] = "60"
            await asyncio.to_thread(daemon.start)
            await edges.after_restart(s, tokens)
            await edges.batches(s)
            await edges.drain(s)
    return str(transcript), contract


async def _part(folder: Path, settings: dict[str, str], chapter: Chapter, *, barriers: bool = True) -> str:
    """Play a chapter on a daemon of its own."""
    transcript = Transcript()
    async with _daemon(folder, settings) as daemon:
        with _scene(daemon, transcript, barriers=barriers) as s:
            await chapter(s)
    return str(transcript)


def _contract(daemon: Daemon) -> bytes:
    with urlopen(f"http://127.0.0.1:{daemon.port}/asyncapi.json", timeout=PATIENCE) as answer:
        contract: bytes = answer.read()
    return contract


@contextlib.contextmanager
def _scene(daemon: Daemon, transcript: Transcript, *, barriers: bool = True) -> Iterator[Scene]:
    """Give a scene; show where it was when it cannot go on, and cut the connections that are left."""
    scene = Scene(daemon, transcript, barriers=barriers)
    try:
        yield scene
    except Exception as exc:
        exc.add_note("\n".join(["The last frames were:", *transcript.lines[-LAST:]]))
        raise
    finally:
        scene.close()


@contextlib.asynccontextmanager
async def _daemon(folder: Path, settings: dict[str, str], *, steered: bool = False) -> AsyncIterator[Daemon]:
    """Start a daemon, and end it whatever happens."""
    folder.mkdir()
    daemon = Daemon(folder, steered, **settings)
    if "ROOMD_AUTH_JWKS_URL" in settings:
        del daemon.environ["ROOMD_AUTH_SECRET"]  # one source of keys at most
    try:
        await asyncio.to_thread(daemon.start)
        yield daemon
    finally:
        await asyncio.to_thread(daemon.close)
