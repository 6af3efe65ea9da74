"""Whatever happens in a room, in whatever order, a store returns the room that the log of its changes makes."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from roomd.config import DatabaseConfig
from roomd.rooms.changes import RoomChanged
from roomd.rooms.model import Seat
from roomd.rooms.room import Room
from tests.support.played_room import RULES
from tests.support.processes import IS_NIGHTLY
from tests.support.room_machine import Busy
from tests.support.stored import LATER
from tests.support.stores import REAL, new_database, served

EXAMPLES = 200 if IS_NIGHTLY else 20


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.long
def test_a_store_keeps_what_the_log_says(kind: str, request: pytest.FixtureRequest) -> None:
    """Places, bans and messages: what was appended, in batches of any size, is what is loaded after a restart."""
    numbers = itertools.count()

    class Stored(Busy):
        def teardown(self) -> None:
            super().teardown()
            config = new_database(kind, request, next(numbers))
            asyncio.run(self.check(config))

        async def check(self, config: DatabaseConfig) -> None:
            async with served(config) as store:
                await store.append("r", [RoomChanged(self.play.start)])
                left = list(self.play.log)
                for size in itertools.cycle((1, 5, 2, 9)):
                    if not left:
                        break
                    some, left = left[:size], left[size:]
                    await store.append("r", some)
                rooms = await store.hold_seats(LATER)
                loaded = rooms[0] if rooms else await store.load(self.play.start.code)
            assert loaded is not None
            stored, replayed = Room(loaded, RULES), self.play.replay()
            assert facts(stored) == facts(replayed)
            # A message that was forgotten and was the last one is counted only until the restart.
            assert stored.message_bytes <= replayed.message_bytes
            here = [*(seat.participant.id for seat in loaded.seats), *(one.id for one in loaded.messages)]
            # That of somebody who left the queue is not kept: they were never in the room.
            assert max(here, default="") <= loaded.last_id <= self.play.last_id

    run_state_machine_as_test(
        Stored,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def facts(room: Room) -> dict[str, Any]:
    """Return what a store keeps of a room, but for the times since which seats are held."""
    now = room.checkpoint()
    return {
        "room": now.view,
        "seats": sorted(map(kept, now.seats.values()), key=str),
        "queue": [kept(seat) for seat in now.queue.values()],
        "bans": sorted(now.bans.items(), key=str),
        "messages": list(room.messages),
        "deleted": now.deleted_bytes,
    }


def kept(seat: Seat) -> tuple[Any, ...]:
    one = seat.participant
    who = (one.id, one.user_id, one.guest_name, one.display_name, one.is_host, one.joined_at, one.state, one.metadata)
    proofs = (seat.resume_hash, seat.previous_hash, seat.is_admin, seat.is_cohost, seat.token_exp)
    return (*who, *proofs, seat.waits_for, seat.seated_id, one.is_hidden)
