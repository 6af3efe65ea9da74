"""Rooms on python-socketio, uvicorn and uvloop, with SQLite in a thread of its own.

The port is its argument, DATABASE (a file) and JWT_SECRET come from the environment.
"""

import asyncio
import os
import sys
from typing import Any, NamedTuple

import jwt
import msgspec
import socketio
import uvicorn

from bench.peers.python_socketio import store as tables
from bench.peers.python_socketio.rooms import Member, RefusedError, Room, User, checked_name, new_code, new_id, now
from bench.peers.python_socketio.store import Store, UnavailableError

Reply = dict[str, Any]


class Json:
    """JSON for Socket.IO by msgspec, which is faster and copies what is encoded already."""

    loads = staticmethod(msgspec.json.decode)

    @staticmethod
    def dumps(data: object, **_: object) -> str:
        """Encode."""
        return msgspec.json.encode(data).decode()


class Changed(NamedTuple):
    """The changes of one commit in one room."""

    joined: dict[Member, None]
    left: dict[Member, None]


class Server:
    """Handles the events of Socket.IO."""

    def __init__(self, store: Store, secret: str) -> None:
        self.store, self.secret = store, secret
        self.rooms = {row[1]: Room(row) for row in store.restore(now())}
        self.members: dict[str, Member] = {}
        self.users: dict[str, User | None] = {}
        self.changed: dict[Room, Changed] = {}
        self.untold: asyncio.Queue[tuple[Room, Changed, Reply, Reply]] = asyncio.Queue()
        self.telling: asyncio.Task[None] | None = None
        store.after_commit = self.note_changes
        # Requests of one connection in order, and no task for each; it logs nothing below warnings.
        self.io = socketio.AsyncServer(
            async_mode="asgi", transports=["websocket"], async_handlers=False, json=Json, max_http_buffer_size=65536
        )
        for event in ("connect", "disconnect", "join-room", "leave-room", "send-message", "signal"):
            self.io.on(event, getattr(self, "on_" + event.replace("-", "_")))
        self.app = socketio.ASGIApp(self.io, self.http)

    async def on_connect(self, sid: str, _: object, auth: dict[str, str] | None) -> None:
        """Verify the token of a new connection."""
        self.users[sid] = self.user_of(auth["token"]) if auth else None

    def user_of(self, token: str) -> User:
        """Read a token."""
        try:
            claims = jwt.decode(token, self.secret, ["HS256"], options={"require": ["sub", "exp"]})
        except jwt.InvalidTokenError:
            raise socketio.exceptions.ConnectionRefusedError("Token is not valid") from None
        return User(claims["sub"], claims.get("name", claims["sub"]))

    async def on_disconnect(self, sid: str, _: str) -> None:
        """Release the seat."""
        await self.on_leave_room(sid, None)
        self.users.pop(sid, None)

    async def on_join_room(self, sid: str, request: dict[str, Any]) -> Reply:
        """Grant a seat: decided at once, answered when it is committed."""
        try:
            await self.on_leave_room(sid, None)
            user = self.users[sid]
            name = user.name if user else checked_name(request.get("guestName"))
            room = self.rooms.get(request["code"])
            if room is None:
                raise RefusedError(404, "room_not_found", "Room not found")
            member = room.take_seat(sid, user, name)
            self.members[sid] = member
            if member.sid != sid:
                await self.take_over(member, sid)
            else:
                await self.keep(member)
        except RefusedError as refusal:
            return refusal.reply
        return {"participant": member.raw}

    async def keep(self, member: Member) -> None:
        """Commit a new seat."""
        try:
            await self.store.write(tables.JOIN, member.row(), lambda: self.joined(member))
        except UnavailableError:
            member.room.free_seat(member)
            self.members.pop(member.sid, None)
            raise RefusedError(503, "unavailable", "Storage is unavailable, nothing was changed") from None

    async def take_over(self, member: Member, sid: str) -> None:
        """Give the user's seat to the newer connection."""
        before, member.sid = member.sid, sid
        self.members.pop(before, None)
        await self.store.write(tables.NOTHING)  # behind the join, should that still wait
        await self.io.disconnect(before)
        await self.io.enter_room(sid, member.room.code)
        await self.io.emit("room-state", member.room.state(), to=sid)

    async def on_leave_room(self, sid: str, _: object) -> Reply:
        """Release the seat."""
        member = self.members.pop(sid, None)
        if member is None:
            return RefusedError(400, "not_in_room", "Join a room first").reply
        member.room.free_seat(member)
        left_at = now()
        member.gone = {**member.participant, "isActive": False, "leftAt": left_at}
        await self.store.write(tables.LEAVE, (left_at, member.room.id, member.id), lambda: self.left(member))
        return {"participant": member.gone}

    def joined(self, member: Member) -> None:
        """Add a member."""
        member.room.members[member.id] = member
        self.changed.setdefault(member.room, Changed({}, {})).joined[member] = None

    def left(self, member: Member) -> None:
        """Remove a member."""
        del member.room.members[member.id]
        changed = self.changed.setdefault(member.room, Changed({}, {}))
        if member in changed.joined:
            del changed.joined[member]
        else:
            changed.left[member] = None

    def note_changes(self) -> None:
        """Collect the changes of one commit by room, to be sent in order."""
        changed, self.changed = self.changed, {}
        for room, change in changed.items():
            room.seq += 1
            event = {"seq": room.seq, "joined": [m.raw for m in change.joined], "left": [m.gone for m in change.left]}
            self.untold.put_nowait((room, change, event, room.state() if change.joined else {}))
        if self.telling is None:
            self.telling = asyncio.create_task(self.tell())

    async def tell(self) -> None:
        """Send the change to those who were there; then add the newcomers and send them the state.

        Nothing here waits for a client: every socket has a queue.
        """
        while True:
            room, (joined, left), event, state = await self.untold.get()
            for member in left:
                await self.io.leave_room(member.sid, room.code)
            await self.io.emit("participants-changed", event, to=room.code)
            here = [member.sid for member in joined if member.sid in self.users]
            for sid in here:
                await self.io.enter_room(sid, room.code)
            if here:
                await self.io.emit("room-state", state, to=here)

    async def on_send_message(self, sid: str, request: dict[str, Any]) -> None:
        """Store a message, then send it to the members."""
        if member := self.members.get(sid):
            message = {
                "id": new_id(), "participantId": member.id, "displayName": member.participant["displayName"],
                "text": str(request["text"]), "sentAt": now(), "to": None,
            }  # fmt: skip
            await self.store.write(tables.SAY, (member.room.id, *list(message.values())[:5]))
            await self.io.emit("message", message, to=member.room.code)

    async def on_signal(self, sid: str, request: dict[str, Any]) -> None:
        """Pass a signal on."""
        if (member := self.members.get(sid)) and (target := member.room.members.get(request["to"])):
            await self.io.emit("signal", {"from": member.id, "data": request["data"]}, to=target.sid)

    async def http(self, scope: dict[str, Any], _: Any, send: Any) -> None:
        """Answer health checks, and create rooms for the load generator."""
        body = b"ok"
        if scope["path"] == "/rooms":
            query = dict(part.split("=") for part in scope["query_string"].decode().split("&"))
            body = msgspec.json.encode(await self.create({key: int(value) for key, value in query.items()}))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def create(self, query: dict[str, int]) -> list[str]:
        """Create rooms and return their codes."""
        settings = "Room", "bench", int(not query.get("ended")), query.get("locked", 0), query.get("max", 100), now()
        rows = [(new_id(), new_code(), *settings) for _ in range(query.get("count", 1))]
        await asyncio.gather(*(self.store.write(tables.CREATE, row) for row in rows))
        self.rooms |= {row[1]: Room(row) for row in rows}
        return [row[1] for row in rows]


def main() -> None:
    """Serve until stopped."""
    server = Server(Store(os.environ["DATABASE"]), os.environ["JWT_SECRET"])
    uvicorn.run(
        server.app, port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="websockets-sansio",
        ws_per_message_deflate=False, ws_ping_interval=None,  # Engine.IO has pings of its own
        log_level="warning", access_log=False, lifespan="off", backlog=4096,
    )  # fmt: skip


if __name__ == "__main__":
    main()
