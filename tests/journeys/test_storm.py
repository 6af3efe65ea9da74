"""500 clients join a room with 37 seats at once: no 38th seat is ever taken, and no join is refused beside a free seat.

Shown three ways. By counting: in a round in which nobody leaves, exactly the free seats are taken. From the frames: a
member's view, rebuilt from `room-state` and `participants-changed`, never has more than 37 participants. From the
database: at most 37 stays overlap at any time, and during every refusal there was a moment at which 37 did. The test
prints the seed of its random choices; STORM_SEED repeats it.
"""

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest

from tests.support.daemon import Client, Daemon
from tests.support.storms import CROWD, HOLD, SEATS, Observer, Player, Refusal, Storm, observed
from tests.support.views import Frame, as_sent, committed, seconds

pytestmark = pytest.mark.usefixtures("untraced")

ROUNDS = 5


async def rush(storm: Storm, players: list[Player], free: int) -> None:
    """Have all join at once while nobody leaves: exactly the free seats are taken, and refusals come after them."""
    seen = len(storm.refusals)
    got = await asyncio.gather(*(player.join() for player in players))
    assert sum(got) == min(free, len(players)), "seats taken while this many were free"
    first = min((refusal.answered for refusal in storm.refusals[seen:]), default=float("inf"))
    last = max((seconds(player.seat["joinedAt"]) for player in players if player.seat is not None), default=0.0)
    assert last <= first, "a seat was taken after another join was refused as full"


async def check_agreement(storm: Storm, auditor: Client, observer: Observer) -> list[Frame]:
    """Check, while nothing changes, that the list, the observer's view and the players agree on who has a seat."""
    listed: list[Frame] = (await auditor.ask("list-participants", code=storm.code, limit=200))["participants"]
    by_id = {person["id"]: person for person in listed}
    await observer.wait_until(lambda: observer.view.seats == by_id)
    assert by_id == {p.seat["id"]: p.seat for p in storm.seated() if p.seat} | {
        person["id"]: person for person in listed if person["isHost"]
    }
    return listed


async def play(storm: Storm, auditor: Client, observer: Observer) -> None:
    """Play one round of each kind. Before a player joins, the reply or event that freed a seat has been received."""
    rng = storm.random
    # More players than free seats join, or exactly as many, none of whom may be refused.
    free = SEATS - 1 - len(storm.seated())
    await rush(storm, storm.unseated()[: rng.choice([free, CROWD])], free)
    await rush(storm, storm.unseated(), SEATS - 1 - len(storm.seated()))
    leaving = storm.some_seated()  # some leave, then as many or more join
    await asyncio.gather(*(player.leave() for player in leaving))
    await rush(storm, storm.unseated()[: len(leaving) + rng.choice([0, 0, 1, 40])], len(leaving))
    # All at the same time: leaves, drops, resumes, takeovers and joins.
    kinds = ["leave", "leave", "leave", "resume", "take over", "race", "race", "stay"]
    await asyncio.gather(*(player.act(rng.choices(kinds, k=4)) for player in storm.players))
    await check_agreement(storm, auditor, observer)
    # Some drop and do not come back; when their holds have run out, their seats are free.
    if storm.seated():
        lost = storm.some_seated()
        ids = {player.seat["id"] for player in lost if player.seat is not None}
        free = SEATS - 1 - len(storm.seated())
        await asyncio.gather(*(player.lapse() for player in lost))
        others = [player for player in storm.unseated() if player not in lost]  # users would get their own seats back
        await rush(storm, others[:free], free)
        await observer.wait_until(lambda: ids <= observer.gone.keys())
        await rush(storm, storm.unseated()[: len(lost)], len(lost))


class Stay(NamedTuple):
    """The time for which a seat was taken, from the database, in seconds since the epoch."""

    begin: float
    earliest_end: float
    latest_end: float


def stays(rows: Iterable[sqlite3.Row], gone: dict[str, float]) -> list[Stay]:
    """Compute the stays. `left_at` of a seat whose hold ran out is when it was dropped; it was taken until HOLD later.

    A guest's was taken until the drop at least: then a newcomer may have taken the place. `gone` has when the observer
    received that a participant left, by id.
    """
    found = []
    for row in rows:
        begin = seconds(row["joined_at"])
        if row["left_at"] is None:
            found.append(Stay(begin, float("inf"), float("inf")))
        elif row["dropped_at"] is None:
            found.append(Stay(begin, seconds(row["left_at"]), seconds(row["left_at"])))
        else:
            assert row["left_at"] == row["dropped_at"]
            # 10 ms of tolerance for two clocks and rounding. It was released at the latest when the observer knew.
            hold = HOLD if row["user_id"] is not None else 0.0
            found.append(Stay(begin, seconds(row["dropped_at"]) + hold - 0.01, gone[row["id"]]))
    return found


def deepest(stays: list[Stay]) -> int:
    """Return how many stays overlapped at most; one that ends when another begins does not overlap it."""
    changes = sorted([(stay.begin, 1) for stay in stays] + [(stay.earliest_end, -1) for stay in stays])
    depth = most = 0
    for _, change in changes:
        depth += change
        most = max(most, depth)
    return most


def unexplained(refusals: list[Refusal], stays: list[Stay]) -> list[Refusal]:
    """Return the refusals during which the room was never full; a batch decides many commands at one time."""
    tick = 0.001  # times are cut to milliseconds
    changes = sorted([(stay.begin, 0, 1) for stay in stays] + [(stay.latest_end + tick, 1, -1) for stay in stays])
    full: list[tuple[float, float]] = []
    depth = 0
    for at, _, change in changes:
        if change > 0 and depth == SEATS - 1:
            full.append((at, float("inf")))
        if change < 0 and depth == SEATS:
            full[-1] = (full[-1][0], at)
        depth += change
    return [r for r in refusals if not any(start <= r.answered and r.asked <= end for start, end in full)]


TOGETHER = 50
"""Clients that connect at the same time."""


@pytest.mark.long
async def test_500_clients_and_37_seats(make_daemon: Callable[..., Daemon]) -> None:
    """However many join at once, seats never exceed maxParticipants, and no join is refused while a seat is free.

    Every event reaches every member once and in order, and the database has exactly what was sent.
    """
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(2**32))
    print(f"STORM_SEED={seed}")
    daemon = make_daemon(ROOMD_ROOMS_SEAT_HOLD=str(HOLD))
    room = await daemon.room(maxParticipants=SEATS)
    async with AsyncExitStack() as stack:
        storm = Storm(daemon, room["code"], stack, seed)
        for first in range(
            0, len(storm.players), TOGETHER
        ):  # a handshake must be sent within 5 s, on a busy machine too
            await asyncio.gather(*(player.connect() for player in storm.players[first : first + TOGETHER]))
        auditor = await stack.enter_async_context(daemon.client("alice"))
        async with observed(storm) as observer:
            for _ in range(ROUNDS):
                await play(storm, auditor, observer)
            listed = await check_agreement(storm, auditor, observer)
            for player in storm.seated():
                assert await player.ask("ping") == {"type": "pong"}
                assert player.view.seats == {person["id"]: person for person in listed}
            rows = committed(daemon)
            for player in storm.players:
                player.client.websocket.transport.abort()

    assert {row["id"] for row in rows} == storm.sent.keys(), (
        "a participant is in the database whose client received no reply"
    )
    for row in rows:
        last = storm.sent[row["id"]]
        lapsed = last["leftAt"] is None and row["left_at"] is not None
        assert as_sent(row) == last | ({"isActive": False, "leftAt": row["dropped_at"]} if lapsed else {})
    history = stays(rows, observer.gone)
    assert deepest(history) == SEATS
    assert unexplained(storm.refusals, history) == []
    assert len(storm.refusals) > ROUNDS * CROWD / 2
