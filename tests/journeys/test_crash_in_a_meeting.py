"""kill -9 during a meeting: messages, presence, the queue and bans are after the restart as they were sent to clients.

As in test_crash.py, the daemon is killed at a reply chosen at random, and CRASH_SEED repeats one.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import WebSocketException

from roomd.rooms.room import MESSAGES_SHOWN
from tests.support.daemon import PATIENT, Daemon, error, faults
from tests.support.databases import reading
from tests.support.processes import PATIENCE
from tests.support.views import Frame, as_sent
from tests.support.visitors import Countdown, Visitor

pytestmark = [pytest.mark.usefixtures("untraced"), pytest.mark.both_stores]

MEMBERS = 24
SEATS = 8
KILLS = 2
REPLIES = (50, 500)
"""The least and the most replies, to requests that change something, after which the daemon is killed."""

MESSAGE = {
    "id": "id", "participantId": "participant_id", "displayName": "display_name", "text": "text", "sentAt": "sent_at",
    "to": "to_id",
}  # fmt: skip
"""The database column for each key of a message."""


class Record:
    """What was sent to anyone about the meeting, and what was requested and not answered yet."""

    def __init__(self) -> None:
        self.messages: dict[str, Frame] = {}
        self.shown: dict[str, int] = {}
        """The highest count that was sent in a participant's presence, by participant id."""
        self.asked: dict[str, int] = {}
        """The highest count that a participant asked to show, by participant id."""
        self.positions: dict[str, int] = {}
        """The last position that was sent to each participant who, by what was sent, still waits."""
        self.banned: dict[str, bool | None] = {}
        """Whether a user is banned, by user id; None while the host waits for an answer."""
        self.removing: str | None = None
        """The participant whom the host removes, until the host has an answer."""
        self.removed: set[str] = set()
        """Participants whose removal is answered with `ok`; the kill may come before their `removed` is sent."""

    def take(self, frame: Frame) -> None:
        """Record what a frame holds."""
        said = [frame["message"]] if frame["type"] == "message" else frame.get("messages", [])
        self.messages |= {message["id"]: message for message in said}
        for person in people(frame):
            self.shown[person["id"]] = max(person["state"].get("n", 0), self.shown.get(person["id"], 0))

    def check(self, stored: "Stored", leaving: set[str]) -> None:
        """Check all of it against the database of a daemon that was killed; those who are `leaving` may have left."""
        for key, sent in self.messages.items():
            assert stored.messages[key] == sent
        for key, count in self.shown.items():
            if not count and key not in stored.rows:  # it has only waited
                continue
            assert count <= json.loads(stored.rows[key]["state"]).get("n", 0) <= self.asked.get(key, 0)
        assert len(stored.seats) <= SEATS
        for key, position in self.positions.items():
            if key in stored.queue:
                assert stored.queue.index(key) < position, "somebody overtook"
            else:
                seated = key in stored.rows and stored.rows[key]["left_at"] is None
                assert seated or key in leaving, "a place in the queue was lost"
        assert {user for user, known in self.banned.items() if known} <= stored.banned
        assert stored.banned <= {user for user, known in self.banned.items() if known is not False}
        self.banned = dict.fromkeys(stored.banned, True)
        self.removing = None


class Stored:
    """What the database of a daemon that was killed holds."""

    def __init__(self, daemon: Daemon) -> None:
        with reading(daemon) as db:
            people, messages, bans = (
                db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                for table in ("participants", "messages", "bans")
            )
        self.rows = {row["id"]: row for row in people}
        self.queue = [row["id"] for row in people if row["waits_for"] and row["left_at"] is None]
        self.seats = {row["id"]: row for row in people if not row["waits_for"] and row["left_at"] is None}
        self.messages = {row["id"]: {key: row[column] for key, column in MESSAGE.items()} for row in messages}
        self.banned = {row["user_id"] for row in bans}


def people(frame: Frame) -> list[Frame]:
    """Return every participant in a frame."""
    if frame["type"] == "participant":
        return [frame["participant"]]
    return [person for key in ("participants", "joined", "updated", "left") for person in frame.get(key, [])]


class Member(Visitor):
    """A visitor who waits, is admitted, sends messages, shows a state, leaves, is banned, and joins again."""

    def __init__(self, number: int, code: str, rng: random.Random, record: Record) -> None:
        super().__init__(number, code, rng)
        self.record = record
        self.place: str | None = None
        """Its participant id while it waits."""

    def asks_to_leave(self) -> set[str]:
        """Return its participant id in a set if it asked to leave and has received no reply, else an empty set."""
        key = self.place or (self.seat["id"] if self.seat else None)
        return {key} if key and self.leaving else set()

    async def receive(self) -> Frame:
        """Receive the next frame, and record it."""
        frame = await super().receive()
        self.record.take(frame)
        if frame["type"] == "waiting":
            self.place = frame["participantId"]
            self.record.positions[frame["participantId"]] = frame["position"]
            self._token = frame.get("resumeToken", self._token)
        elif frame["type"] == "participant":
            self.place = None
            self.record.positions.pop(frame["participant"]["id"], None)
        elif frame["type"] == "removed":
            self._removed()
        return frame

    def _removed(self) -> None:
        assert self.seat is not None
        assert self.user is not None
        if self.record.removing == self.seat["id"]:
            self.record.banned[self.user] = True
        del self.sent[self.seat["id"]]
        self.seat, self.leaving = None, False

    async def meet(self, world: "Meeting", countdown: Countdown) -> None:
        """Take part until the daemon is killed; after a removal, connect again."""
        with contextlib.suppress(OSError, WebSocketException):
            await self.storm(countdown)
            while self.close_code == 4403:
                await self.connect(world.daemon, world.stack)
                await self.storm(countdown)

    async def _come_and_go(self, countdown: Countdown) -> None:
        while True:
            if await self._act(self._rng.random()):
                countdown.count()

    async def _act(self, number: float) -> bool:
        """Send a request that `number`, from 0 to 1, chooses; return whether it changed something."""
        if self.seat is None and self.place is None:
            reply = await self.ask("join-room", code=self.code, guestName=self.name, wait=True)
            refusals = ("banned", "room_full")  # only some guests of an address may wait
            assert reply["type"] in ("participant", "waiting") or reply["code"] in refusals, reply
            return bool(reply["type"] != "error")
        if number < 0.1:
            self.leaving = True
            return bool((await self.ask("leave-room"))["type"] == "participant")
        if self.seat is None:
            await self.receive()  # the host will admit somebody
            return False
        if number < 0.5:
            return await self._show(self.seat["id"])
        text, to = f"😀\u0000 {number}", self._rng.choice([None, self.seat["id"]])
        return await self.ask("send-message", text=text, to=to) == {"type": "ok"}

    async def _show(self, key: str) -> bool:
        """Show the next count as presence; return whether that was done."""
        count = self.record.asked[key] = self.record.asked.get(key, 0) + 1
        reply = await self.ask("update-participant", state={"n": count})
        if done := reply == {"type": "ok"}:
            self.record.shown[key] = max(count, self.record.shown.get(key, 0))
        return done


class Host(Member):
    """The host, who admits the others, bans them and lifts bans."""

    def __init__(self, code: str, rng: random.Random, record: Record) -> None:
        super().__init__(0, code, rng, record)
        self.user = "alice"
        self.waiting: list[str] = []
        self.present: dict[str, str] = {}
        """The other users in the room: user ids by participant id."""

    async def receive(self) -> Frame:
        """Receive the next frame, and keep up to date who waits and who is in the room."""
        frame = await super().receive()
        if frame["type"] == "waiting-changed":
            self.waiting = [one["participantId"] for one in frame["waiting"]]
        elif frame["type"] in ("room-state", "participants-changed"):
            before = self.present if frame["type"] == "participants-changed" else {}
            self.present = before | {p["id"]: p["userId"] for p in people(frame) if p["userId"] and not p["isHost"]}
            for person in frame.get("left", []):
                self.present.pop(person["id"], None)
        return frame

    async def _act(self, number: float) -> bool:
        banned = sorted(user for user, known in self.record.banned.items() if known)
        if self.seat is None or number < 0.2:
            return await super()._act(0.3 + number * 3)
        if number < 0.7 and self.waiting:
            whom = {"participantId": self._rng.choice(self.waiting)} if number < 0.6 else {}
            return await self.ask("admit-participant" if whom else "admit-all", **whom) == {"type": "ok"}
        if number < 0.78 and banned:
            return await self._ban_or_unban("unban", self._rng.choice(banned), after=False)
        if self.present:
            self.record.removing, user = self._rng.choice(sorted(self.present.items()))
            return await self._ban_or_unban("remove-participant", user, after=True)
        return await super()._act(0.9)

    async def _ban_or_unban(self, request: str, user: str, *, after: bool) -> bool:
        """Ban a user or lift the ban; `after` is whether they are banned then."""
        before = self.record.banned.get(user, False)
        self.record.banned[user] = None
        whom = {"participantId": self.record.removing, "ban": True} if after else {"userId": user}
        reply = await self.ask(request, **whom)
        assert reply == {"type": "ok"} or (after and reply == error("participant_not_found")), reply
        self.record.banned[user] = after if reply == {"type": "ok"} else before
        if reply == {"type": "ok"} and self.record.removing is not None:
            self.record.removed.add(self.record.removing)
        self.record.removing = None
        return reply == {"type": "ok"}


class Meeting:
    """A daemon that is killed and started again, a room with a waiting room, its host and members."""

    def __init__(self, daemon: Daemon, code: str, stack: AsyncExitStack) -> None:
        seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CRASH_SEED={seed}")
        self.daemon = daemon
        self.code = code
        self.stack = stack
        self.rng = random.Random(seed)
        self.record = Record()
        self.host = Host(code, self.rng, self.record)
        self.members = [Member(number, code, self.rng, self.record) for number in range(1, MEMBERS + 1)]

    async def connect(self) -> None:
        """Connect the host and the members."""
        await asyncio.gather(*(one.connect(self.daemon, self.stack) for one in (self.host, *self.members)))

    async def meet(self) -> Stored:
        """Run the meeting until the daemon is killed; check what it stored against what was sent, and return it."""
        countdown = Countdown(self.daemon, signal.SIGKILL, self.rng.randint(*REPLIES))
        await asyncio.gather(*(one.meet(self, countdown) for one in (self.host, *self.members)))
        await asyncio.to_thread(self.daemon.process.wait, PATIENCE)
        self.daemon.kill()  # it has ended; this forgets the process
        stored = Stored(self.daemon)
        leaving = set().union(*(one.asks_to_leave() for one in self.members))
        for one in (self.host, *self.members):
            for key, sent in one.sent.items():
                if key not in stored.rows:  # it left the queue
                    assert sent["leftAt"] or key in leaving
                    continue
                may_be_gone = leaving | self.record.removed | {self.record.removing}
                gone = stored.rows[key]["left_at"] and key in may_be_gone
                no_state: Frame = {"state": {}}
                assert gone or as_sent(stored.rows[key]) | {"isActive": sent["isActive"]} | no_state == sent | no_state
        self.record.check(stored, leaving)
        return stored

    async def check_host(self, stored: Stored) -> None:
        """Have the host resume, and check that participants, messages, queue and bans are as they were stored."""
        host = self.host
        if host.seat is None:  # the daemon was killed before the host had joined
            return
        assert (await host.resume())["participant"]["id"] == host.seat["id"]
        state = await host.receive()
        shown = {person["id"]: person["state"] for person in state["participants"]}
        assert shown == {key: json.loads(row["state"]) for key, row in stored.seats.items()}
        public = [message for message in stored.messages.values() if message["to"] is None]
        assert state["messages"] == public[-MESSAGES_SHOWN:]
        if stored.queue:
            assert (await host.receive())["type"] == "waiting-changed"
            assert host.waiting == stored.queue
        mine = {None, host.seat["id"]}
        listed = [message for message in stored.messages.values() if message["to"] in mine]
        assert await self._every("list-messages", "messages") == listed
        assert {ban["userId"] for ban in await self._every("list-bans", "bans")} == stored.banned

    async def _every(self, request: str, key: str) -> list[Frame]:
        """Return the items of all pages of a list."""
        found, cursor = [], None
        while True:
            page = await self.host.ask(request, code=self.code, cursor=cursor, limit=20)
            found += page[key]
            if (cursor := page["nextCursor"]) is None:
                return found

    async def check_member(self, member: Member, stored: Stored) -> None:
        """Have a member resume, and check that it has its seat, its position, or the refusal that it must get."""
        key = member.place or (member.seat["id"] if member.seat else None)
        if member.user in stored.banned:
            assert await member.ask("join-room", code=self.code) == error("banned")
            member.sent.pop(key or "", None)
            member.seat = None
        elif key in stored.queue:
            reply = await member.resume()
            assert (reply["type"], reply["position"]) == ("waiting", stored.queue.index(key) + 1)
        elif key in stored.seats:
            person = (await member.resume())["participant"]
            assert person == as_sent(stored.seats[key]) | {"isActive": True}
        elif key is not None:
            assert await member.resume() == error("seat_expired")
            self.record.positions.pop(key, None)
            member.sent.pop(key, None)
            member.seat = member.place = None
        member.leaving = False


async def test_kill_during_a_meeting(make_daemon: Callable[..., Daemon]) -> None:
    """Messages, presence, bans and the queue are after kill -9 as they were sent to any client."""
    daemon = make_daemon(**PATIENT)
    room = await daemon.room(waitingRoom=True, maxParticipants=SEATS)
    async with AsyncExitStack() as stack:
        meeting = Meeting(daemon, room["code"], stack)
        await meeting.connect()
        for _ in range(KILLS):
            stored = await meeting.meet()
            daemon.start()
            await meeting.connect()
            await meeting.check_host(stored)
            await asyncio.gather(*(meeting.check_member(member, stored) for member in meeting.members))
        assert faults(daemon) == []
