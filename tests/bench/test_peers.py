"""The peers roomd is measured against keep the same rules: what a client of each sees, through its dialect.

They are started one after another and need a few seconds each, so `make test` leaves them out:
BENCH_PEERS=1 pytest tests/bench/test_peers.py, after `python -m bench.peers.install`.
"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from bench.clients import Dialect, Kind
from bench.peers import postgres
from bench.peers.clients import client
from bench.peers.dialects import DIALECTS
from bench.peers.servers import PEERS, create_rooms, missing, running
from bench.processes import Server as Peer
from roomd.protocol import codec, events, objects, replies
from tests.support.processes import PATIENCE

SECRET = "a secret for tests only, 32 bytes and more"

ROOMD = DIALECTS["roomd"]
JANE = objects.Participant(
    id="p", room_id="r", user_id=None, guest_name="Jane", is_active=True, is_host=False,
    joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name="Jane",
)  # fmt: skip

needs_peers = pytest.mark.skipif("BENCH_PEERS" not in os.environ, reason="the peers are tested with BENCH_PEERS=1")


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (replies.ParticipantReply(id=1, participant=JANE, resume_token="t"), Kind.JOINED),
        (replies.ParticipantReply(id=2, participant=JANE, resume_token=None), Kind.LEFT),
        (events.ParticipantsChanged(seq=5, joined=[JANE], updated=[], left=[]), Kind.CHANGED),
        (events.SignalEvent(sender="p", data=msgspec.Raw(b"{}")), Kind.SIGNAL),
        (replies.ErrorReply(id=1, status_code=400, code="room_full", message="Room is full"), Kind.REFUSED),
    ],
)
def test_what_roomd_writes_is_known_by_its_first_bytes(frame: Any, kind: Kind) -> None:
    assert ROOMD.kind(codec.encode(frame)) is kind


def test_only_those_who_came_are_counted() -> None:
    change = codec.encode(events.ParticipantsChanged(seq=5, joined=[JANE], updated=[JANE], left=[JANE, JANE]))
    assert ROOMD.count_people(Kind.CHANGED, change) == 1
    assert ROOMD.presence(Kind.CHANGED, change) == (["Jane"], 2)


@pytest.mark.parametrize("name", DIALECTS)
def test_joins_are_frames_of_one_size(name: str) -> None:
    dialect = DIALECTS[name]
    assert len(dialect.join("abc-def-ghi", 0)) == len(dialect.join("abc-def-ghi", 9999))


class Guest:
    """A client that keeps the frames it gets."""

    def __init__(self, peer: Peer, number: int, user: str | None = None, secret: str = SECRET) -> None:
        claims = {"sub": user, "exp": int(time.time()) + 3600}
        token = jwt.encode(claims, secret, algorithm="HS256") if user else None
        self.client = client(peer.name, peer.host, token)
        self.number = number
        self.answer = b""
        self.known: set[str] = set()
        self.frames: asyncio.Queue[tuple[Kind, bytes]] = asyncio.Queue()
        self.client.on_frame = lambda kind, payload: self.frames.put_nowait((kind, payload))
        self.client.on_lost = lambda _: self.frames.put_nowait((Kind.OTHER, b"lost"))

    @property
    def dialect(self) -> Dialect:
        return self.client.dialect

    async def wait_for(self, *kinds: Kind) -> bytes:
        """Skip frames until one of `kinds`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                kind, payload = await self.frames.get()
                if kind in kinds:
                    return payload

    async def outcome(self, code: str) -> Kind:
        """Ask for a seat; say whether it was granted. What comes before the answer is not lost."""
        self.client.join(code, self.number)
        early = []
        async with asyncio.timeout(PATIENCE):
            while (frame := await self.frames.get())[0] not in (Kind.JOINED, Kind.REFUSED):
                early.append(frame)
        for one in early:
            self.frames.put_nowait(one)
        kind, self.answer = frame
        return kind

    async def wait_known(self, count: int) -> list[str]:
        """Wait until told of `count` newcomers, and return their names."""
        names: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while len(names) < count:
                kind, payload = await self.frames.get()
                if kind in (Kind.STATE, Kind.CHANGED):
                    joined = self.dialect.presence(kind, payload).joined
                    assert self.dialect.count_people(kind, payload) == len(joined)
                    names += [name for name in joined if not self.dialect.repeats or name not in self.known]
                    self.known.update(joined)
        return names

    async def wait_left(self) -> int:
        """Wait until told that somebody went, and return how many did."""
        while True:
            presence = self.dialect.presence(Kind.CHANGED, await self.wait_for(Kind.CHANGED))
            if presence.left:
                return presence.left

    def address(self) -> str:
        """Say where others send signals to."""
        return self.client.address or self.dialect.address(self.answer)


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    if lacking := missing(request.param):
        pytest.skip(f"needs {lacking}: python -m bench.peers.install")
    folder = tmp_path_factory.mktemp(request.param)
    with running(request.param, os.sched_getaffinity(0), folder, SECRET) as peer:
        yield peer


@pytest.fixture
async def guests(peer: Peer) -> AsyncIterator[list[Guest]]:
    guests: list[Guest] = []
    yield guests
    await asyncio.gather(*(guest.client.close() for guest in guests))


async def enter(guests: list[Guest], peer: Peer, code: str, user: str | None = None) -> Guest:
    """Let one more guest, or a user, join."""
    guest = await arrive(guests, peer, user)
    assert await guest.outcome(code) is Kind.JOINED, guest.answer
    return guest


async def arrive(guests: list[Guest], peer: Peer, user: str | None = None) -> Guest:
    """Connect one more."""
    guest = Guest(peer, len(guests), user)
    await guest.client.open()
    guests.append(guest)
    return guest


def rows(peer: Peer, sql: str) -> list[tuple[Any, ...]]:
    """Ask the peer's database."""
    if peer.database.is_file():
        with closing(sqlite3.connect(peer.database)) as database:
            return database.execute(sql).fetchall()
    binaries = postgres.programs()
    assert binaries is not None
    command: list[str | Path] = [binaries / "psql", "-h", peer.database, "-U", "postgres", "-AtF", "|", "-c", sql]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    return [tuple(row.split("|")) for row in text.splitlines()]


@needs_peers
async def test_a_newcomer_is_told_of_all_and_all_of_the_newcomer(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 4)
    first = await enter(guests, peer, code)
    assert await first.wait_known(1) == ["Guest 0000"]
    second = await enter(guests, peer, code)
    assert sorted(await second.wait_known(2)) == ["Guest 0000", "Guest 0001"]
    assert await first.wait_known(1) == ["Guest 0001"]


@needs_peers
async def test_those_who_join_together_know_all_the_others(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 30)
    for _ in range(30):
        await arrive(guests, peer)
    for guest in guests:
        guest.client.join(code, guest.number)
    everybody = [f"Guest {number:04}" for number in range(30)]
    for guest in guests:
        assert sorted(await guest.wait_known(30)) == everybody


@needs_peers
async def test_who_leaves_has_left_in_the_database_and_for_the_others(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 4)
    stayer, leaver = [await enter(guests, peer, code) for _ in range(2)]
    await stayer.wait_known(2)
    leaver.client.leave()
    await leaver.wait_for(Kind.LEFT)
    where = f"left_at IS NOT NULL AND room_id = (SELECT id FROM rooms WHERE code = '{code}')"
    assert rows(peer, f"SELECT display_name FROM participants WHERE {where}") == [("Guest 0001",)]
    assert await stayer.wait_left() == 1
    assert await leaver.outcome(code) is Kind.JOINED, "and may come back"


@needs_peers
async def test_who_vanishes_has_left(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 4)
    stayer, leaver = [await enter(guests, peer, code) for _ in range(2)]
    await stayer.wait_known(2)
    await leaver.client.close()
    assert await stayer.wait_left() == 1


@needs_peers
async def test_however_many_rush_in_seats_never_exceed_the_limit(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 5)
    for _ in range(20):
        await arrive(guests, peer)
    outcomes = await asyncio.gather(*(guest.outcome(code) for guest in guests))
    assert sorted(outcome.name for outcome in outcomes) == ["JOINED"] * 5 + ["REFUSED"] * 15


@needs_peers
@pytest.mark.parametrize("obstacle", ["unknown", "locked", "ended"])
async def test_who_may_not_join_is_refused(peer: Peer, guests: list[Guest], obstacle: str) -> None:
    (code,) = create_rooms(peer.host, 1, 5, locked=obstacle == "locked", ended=obstacle == "ended")
    if obstacle == "unknown":
        code = "aaa-aaa-aaa"
    guest = await arrive(guests, peer)
    assert await guest.outcome(code) is Kind.REFUSED


@needs_peers
async def test_a_user_who_joins_again_keeps_the_one_seat(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 5)
    before = await enter(guests, peer, code, "alice")
    await before.wait_known(1)
    after = await enter(guests, peer, code, "alice")
    assert await after.wait_known(1) == ["alice"]
    await before.wait_for(Kind.OTHER)  # its connection is closed, or on Socket.IO it gets an event
    where = f"room_id = (SELECT id FROM rooms WHERE code = '{code}')"
    assert len(rows(peer, f"SELECT id FROM participants WHERE {where}")) == 1


@needs_peers
async def test_a_forged_token_is_refused(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 5)
    forger = Guest(peer, 0, "alice", "another secret of 32 bytes and more")
    try:
        await forger.client.open()
        assert await forger.outcome(code) is Kind.REFUSED
    except RuntimeError:
        assert "socketio" in peer.name, "only there"  # where the connection is refused at once
    await forger.client.close()


@needs_peers
async def test_what_is_said_is_kept_and_told_to_all(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 4)
    speaker, listener = [await enter(guests, peer, code) for _ in range(2)]
    await speaker.wait_known(2)
    await listener.wait_known(2)
    speaker.client.say("Good morning")
    for guest in guests:
        assert b"Good morning" in await guest.wait_for(Kind.MESSAGE)
    assert ("Good morning",) in rows(peer, "SELECT text FROM messages")


@needs_peers
async def test_a_signal_reaches_the_one_it_is_for(peer: Peer, guests: list[Guest]) -> None:
    (code,) = create_rooms(peer.host, 1, 4)
    caller, called, other = [await enter(guests, peer, code) for _ in range(3)]
    for guest in guests:
        await guest.wait_known(3 if guest is other else 1)
    caller.client.signal(called.address(), {"sdp": "v=0"})
    called.client.signal(other.address(), {"sdp": "v=1"})
    assert b"v=0" in await called.wait_for(Kind.SIGNAL)
    signal = await other.wait_for(Kind.SIGNAL)
    assert b"v=1" in signal
    assert called.address().encode() in signal


@needs_peers
@pytest.mark.parametrize("name", PEERS)
async def test_a_participant_whom_a_client_was_told_of_survives_a_crash(name: str, tmp_path: Path) -> None:
    if lacking := missing(name):
        pytest.skip(f"needs {lacking}: python -m bench.peers.install")
    with running(name, os.sched_getaffinity(0), tmp_path, SECRET) as peer:
        (code,) = create_rooms(peer.host, 1, 20)
        guests = [Guest(peer, number) for number in range(10)]
        await asyncio.gather(*(guest.client.open() for guest in guests))
        for guest in guests:
            guest.client.join(code, guest.number)
        answer = await guests[7].wait_for(Kind.JOINED, Kind.REFUSED)
        os.kill(peer.pid, signal.SIGKILL)
        assert guests[7].dialect.kind(answer) is Kind.JOINED
        assert ("Guest 0007",) in rows(peer, "SELECT display_name FROM participants WHERE left_at IS NULL")
        await asyncio.gather(*(guest.client.close() for guest in guests))
