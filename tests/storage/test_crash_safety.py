"""kill -9 in the middle of a meeting: what was said, shown, waited for and banned is still true after the restart.

As in test_crash.py, death comes with a reply drawn by lot, and CRASH_SEED repeats one.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from roomd.rooms.room import MESSAGES_SHOWN
from tests.journeys.test_crash import Fuse, Visitor, put
from tests.support.daemon import PATIENT, Daemon, error, faults
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.usefixtures("untraced")

MEMBERS = 24
SEATS = 8
KILLS = 2
REPLIES = (50, 500)
"""Before a death: at least and at most so many, to what changes something."""

Frame = dict[str, Any]
Rows = dict[str, sqlite3.Row]

MESSAGE = {
    "id": "id", "participantId": "participant_id", "displayName": "display_name", "text": "text", "sentAt": "sent_at",
    "to": "to_id",
}  # fmt: skip
"""The column of each key."""


class Minutes:
    """What anybody was told of the meeting, and what was asked and is not answered yet."""

    def __init__(self) -> None:
        self.messages: dict[str, Frame] = {}
        self.shown: dict[str, int] = {}
        """The highest count in anybody's presence, by participant,"""
        self.asked: dict[str, int] = {}
        """and the highest they asked to show."""
        self.positions: dict[str, int] = {}
        """Position in the queue, as told last to who was not told of a way out of it."""
        self.banned: dict[str, bool | None] = {}
        """By user id; None while the host has no answer."""
        self.removing: str | None = None
        """The participant whose removal the host was not told of."""

    def take(self, frame: Frame) -> None:
        """Write down what a frame tells."""
        said = [frame["message"]] if frame["type"] == "message" else frame.get("messages", [])
        self.messages |= {message["id"]: message for message in said}
        for person in people(frame):
            self.shown[person["id"]] = max(person["state"].get("n", 0), self.shown.get(person["id"], 0))

    def check(self, kept: "Kept", leaving: set[str]) -> None:
        """Find all of it in the database of a dead daemon; those who were `leaving` may have left."""
        for key, told in self.messages.items():
            assert kept.messages[key] == told
        for key, count in self.shown.items():
            if not count and key not in kept.rows:  # it only ever waited
                continue
            assert count <= json.loads(kept.rows[key]["state"]).get("n", 0) <= self.asked.get(key, 0)
        assert len(kept.seats) <= SEATS
        for key, position in self.positions.items():
            if key in kept.queue:
                assert kept.queue.index(key) < position, "somebody overtook"
            else:
                seated = key in kept.rows and kept.rows[key]["left_at"] is None
                assert seated or key in leaving, "a place in the queue was lost"
        assert {user for user, known in self.banned.items() if known} <= kept.banned
        assert kept.banned <= {user for user, known in self.banned.items() if known is not False}
        self.banned = dict.fromkeys(kept.banned, True)
        self.removing = None


class Kept:
    """What the database of a dead daemon holds."""

    def __init__(self, daemon: Daemon) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
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
    """Everyone a frame shows."""
    if frame["type"] == "participant":
        return [frame["participant"]]
    return [person for key in ("participants", "joined", "updated", "left") for person in frame.get(key, [])]


class Member(Visitor):
    """A visitor who waits to be let in, talks, shows a state, leaves, is banned, and comes back for more."""

    def __init__(self, number: int, code: str, dice: random.Random, minutes: Minutes) -> None:
        super().__init__(number, code, dice)
        self.minutes = minutes
        self.place: str | None = None
        """Who it will be, while it waits."""

    def asks_to_leave(self) -> set[str]:
        """Name the participant it was, if it asked to leave and heard nothing."""
        key = self.place or (self.seat["id"] if self.seat else None)
        return {key} if key and self.leaving else set()

    async def receive(self) -> Frame:
        """Take the next frame, and have it written down."""
        frame = await super().receive()
        self.minutes.take(frame)
        if frame["type"] == "waiting":
            self.place = frame["participantId"]
            self.minutes.positions[frame["participantId"]] = frame["position"]
            self._token = frame.get("resumeToken", self._token)
        elif frame["type"] == "participant":
            self.place = None
            self.minutes.positions.pop(frame["participant"]["id"], None)
        elif frame["type"] == "removed":
            self._hear_of_removal()
        return frame

    def _hear_of_removal(self) -> None:
        assert self.seat is not None
        assert self.user is not None
        if self.minutes.removing == self.seat["id"]:
            self.minutes.banned[self.user] = True
        del self.told[self.seat["id"]]
        self.seat, self.leaving = None, False

    async def meet(self, world: "Meeting", fuse: Fuse) -> None:
        """Take part until the daemon dies; being removed ends a connection only."""
        with contextlib.suppress(OSError, WebSocketException):
            await self.storm(fuse)
            while self.close_code == 4403:
                await self.connect(world.daemon, world.stack)
                await self.storm(fuse)

    async def _come_and_go(self, fuse: Fuse) -> None:
        while True:
            if await self._act(self._dice.random()):
                fuse.burn()

    async def _act(self, die: float) -> bool:
        """Do as the die says; tell whether it changed something."""
        if self.seat is None and self.place is None:
            reply = await self.ask("join-room", code=self.code, guestName=self.name, wait=True)
            assert reply["type"] in ("participant", "waiting") or reply == error("banned"), reply
            return bool(reply["type"] != "error")
        if die < 0.1:
            self.leaving = True
            return bool((await self.ask("leave-room"))["type"] == "participant")
        if self.seat is None:
            await self.receive()  # the host lets somebody in before long
            return False
        if die < 0.5:
            return await self._show(self.seat["id"])
        text, to = f"😀\u0000 {die}", self._dice.choice([None, self.seat["id"]])
        return await self.ask("send-message", text=text, to=to) == {"type": "ok"}

    async def _show(self, key: str) -> bool:
        count = self.minutes.asked[key] = self.minutes.asked.get(key, 0) + 1
        reply = await self.ask("update-participant", state={"n": count})
        if done := reply == {"type": "ok"}:
            self.minutes.shown[key] = max(count, self.minutes.shown.get(key, 0))
        return done


class Host(Member):
    """The one who lets the others in, bans them and lets them come back."""

    def __init__(self, code: str, dice: random.Random, minutes: Minutes) -> None:
        super().__init__(0, code, dice, minutes)
        self.user = "alice"
        self.waiting: list[str] = []
        self.present: dict[str, str] = {}
        """The other users in the room: user ids by participant."""

    async def receive(self) -> Frame:
        """Take the next frame, and follow who waits and who is there."""
        frame = await super().receive()
        if frame["type"] == "waiting-changed":
            self.waiting = [one["participantId"] for one in frame["waiting"]]
        elif frame["type"] in ("room-state", "participants-changed"):
            before = self.present if frame["type"] == "participants-changed" else {}
            self.present = before | {p["id"]: p["userId"] for p in people(frame) if p["userId"] and not p["isHost"]}
            for person in frame.get("left", []):
                self.present.pop(person["id"], None)
        return frame

    async def _act(self, die: float) -> bool:
        banned = sorted(user for user, known in self.minutes.banned.items() if known)
        if self.seat is None or die < 0.2:
            return await super()._act(0.3 + die * 3)
        if die < 0.7 and self.waiting:
            whom = {"participantId": self._dice.choice(self.waiting)} if die < 0.6 else {}
            return await self.ask("admit-participant" if whom else "admit-all", **whom) == {"type": "ok"}
        if die < 0.78 and banned:
            return await self._judge("unban", self._dice.choice(banned), after=False)
        if self.present:
            self.minutes.removing, user = self._dice.choice(sorted(self.present.items()))
            return await self._judge("remove-participant", user, after=True)
        return await super()._act(0.9)

    async def _judge(self, deed: str, user: str, *, after: bool) -> bool:
        """Ban a user, or let them come back."""
        before = self.minutes.banned.get(user, False)
        self.minutes.banned[user] = None
        whom = {"participantId": self.minutes.removing, "ban": True} if after else {"userId": user}
        reply = await self.ask(deed, **whom)
        assert reply == {"type": "ok"} or (after and reply == error("participant_not_found")), reply
        self.minutes.banned[user] = after if reply == {"type": "ok"} else before
        self.minutes.removing = None
        return reply == {"type": "ok"}


class Meeting:
    """A daemon that dies and comes back, a room with a waiting room, its host, members, and the dice."""

    def __init__(self, daemon: Daemon, code: str, stack: AsyncExitStack) -> None:
        seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CRASH_SEED={seed}")
        self.daemon = daemon
        self.code = code
        self.stack = stack
        self.dice = random.Random(seed)
        self.minutes = Minutes()
        self.host = Host(code, self.dice, self.minutes)
        self.members = [Member(number, code, self.dice, self.minutes) for number in range(1, MEMBERS + 1)]

    async def connect(self) -> None:
        """Let everybody connect."""
        await asyncio.gather(*(one.connect(self.daemon, self.stack) for one in (self.host, *self.members)))

    async def meet(self) -> Kept:
        """Hold the meeting until the daemon is killed; return what it kept, in which all that was told is found."""
        fuse = Fuse(self.daemon, signal.SIGKILL, self.dice.randint(*REPLIES))
        await asyncio.gather(*(one.meet(self, fuse) for one in (self.host, *self.members)))
        await asyncio.to_thread(self.daemon.process.wait, PATIENCE)
        self.daemon.kill()  # it is dead; this forgets it
        kept = Kept(self.daemon)
        leaving = set().union(*(one.asks_to_leave() for one in self.members))
        for one in (self.host, *self.members):
            for key, told in one.told.items():
                if key not in kept.rows:  # gave up its place in the queue
                    assert told["leftAt"] or key in leaving
                    continue
                gone = kept.rows[key]["left_at"] and (key in leaving or key == self.minutes.removing)
                assert gone or put(kept.rows[key]) | {"isActive": told["isActive"], "state": {}} == told | {"state": {}}
        self.minutes.check(kept, leaving)
        return kept

    async def check_host(self, kept: Kept) -> None:
        """Have the host come back to the room as it was: its people, its words, its queue and its bans."""
        host = self.host
        if host.seat is None:  # it died before it let the host in
            return
        assert (await host.resume())["participant"]["id"] == host.seat["id"]
        state = await host.receive()
        shown = {person["id"]: person["state"] for person in state["participants"]}
        assert shown == {key: json.loads(row["state"]) for key, row in kept.seats.items()}
        public = [message for message in kept.messages.values() if message["to"] is None]
        assert state["messages"] == public[-MESSAGES_SHOWN:]
        if kept.queue:
            assert (await host.receive())["type"] == "waiting-changed"
            assert host.waiting == kept.queue
        mine = {None, host.seat["id"]}
        listed = [message for message in kept.messages.values() if message["to"] in mine]
        assert await self._every("list-messages", "messages") == listed
        assert {ban["userId"] for ban in await self._every("list-bans", "bans")} == kept.banned

    async def _every(self, request: str, key: str) -> list[Frame]:
        found, cursor = [], None
        while True:
            page = await self.host.ask(request, code=self.code, cursor=cursor, limit=20)
            found += page[key]
            if (cursor := page["nextCursor"]) is None:
                return found

    async def check_member(self, member: Member, kept: Kept) -> None:
        """Have a member come back: to a seat, to the same position, or to the closed door."""
        key = member.place or (member.seat["id"] if member.seat else None)
        if member.user in kept.banned:
            assert await member.ask("join-room", code=self.code) == error("banned")
            member.told.pop(key or "", None)
            member.seat = None
        elif key in kept.queue:
            reply = await member.resume()
            assert (reply["type"], reply["position"]) == ("waiting", kept.queue.index(key) + 1)
        elif key in kept.seats:
            person = (await member.resume())["participant"]
            assert person == put(kept.seats[key]) | {"isActive": True}
        elif key is not None:
            assert await member.resume() == error("seat_expired")
            self.minutes.positions.pop(key, None)
            member.told.pop(key, None)
            member.seat = member.place = None
        member.leaving = False


async def test_kill_in_a_meeting(make_daemon: Callable[..., Daemon]) -> None:
    """What anybody was told of messages, presence, bans and the queue survives kill -9, and shows after it."""
    daemon = make_daemon(**PATIENT)
    room = await daemon.room(waitingRoom=True, maxParticipants=SEATS)
    async with AsyncExitStack() as stack:
        meeting = Meeting(daemon, room["code"], stack)
        await meeting.connect()
        for _ in range(KILLS):
            kept = await meeting.meet()
            daemon.start()
            await meeting.connect()
            await meeting.check_host(kept)
            await asyncio.gather(*(meeting.check_member(member, kept) for member in meeting.members))
        assert faults(daemon) == []
