"""What a participant can ask for, in and about the room of a meeting."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from roomd.protocol import objects, replies, requests
from roomd.protocol.objects import Scalar
from roomd.protocol.replies import OkReply, Reply
from roomd.protocol.requests import Request

R = TypeVar("R", bound=Reply)


class Requests(ABC):
    """The requests of docs/protocol.md, sections 7 and 8, as methods.

    Each returns once the server has answered. Raises `Refused` when the answer is no, `Closed` while the client is
    away or when the connection goes before the answer (then it may have been done), `Unreachable` when none comes.
    """

    code: str
    """The room's."""

    @abstractmethod
    async def request(self, request: Request, reply: type[R]) -> R:
        """Ask, and wait for the reply of that request."""

    async def say(self, text: str, to: str | None = None) -> None:
        """Say something to everyone or, with `to` (a participant's id), to one; 1 to 2,000 characters."""
        await self.request(requests.SendMessage(text=text, to=to), OkReply)

    async def update_state(self, state: Mapping[str, Scalar | None]) -> None:
        """Change the own presence, key by key; None takes a key away."""
        await self.request(requests.UpdateParticipant(state=dict(state)), OkReply)

    async def signal(self, to: str, data: Any) -> None:
        """Pass `data`, anything JSON can say, on to one participant who is connected now."""
        await self.request(requests.Signal(to=to, data=msgspec.Raw(msgspec.json.encode(data))), OkReply)

    async def ice_servers(self) -> replies.IceServersReply:
        """Ask for STUN and TURN servers; their credentials are good for `ttl` seconds."""
        return await self.request(requests.GetIceServers(), replies.IceServersReply)

    async def list_messages(self, cursor: str | None = None, limit: int | None = None) -> replies.MessagesReply:
        """Read a page of what was said, from the oldest on; a message's id serves as `cursor` for what came after."""
        request = requests.ListMessages(code=self.code, cursor=cursor, limit=limit)
        return await self.request(request, replies.MessagesReply)

    # For hosts.

    async def remove(self, participant_id: str, *, ban: bool = False, reason: str | None = None) -> None:
        """Take a participant's seat away; with `ban` the user cannot come back. `reason` has at most 200 characters."""
        request = requests.RemoveParticipant(participant_id=participant_id, ban=ban, reason=reason)
        await self.request(request, OkReply)

    async def mute(self, participant_id: str) -> None:
        """Ask a participant's client to mute itself."""
        await self.request(requests.MuteParticipant(participant_id=participant_id), OkReply)

    async def admit(self, participant_id: str) -> None:
        """Let somebody in who waits for the host."""
        await self.request(requests.AdmitParticipant(participant_id=participant_id), OkReply)

    async def admit_all(self) -> None:
        """Let everybody in who waits for the host."""
        await self.request(requests.AdmitAll(), OkReply)

    async def deny(self, participant_id: str) -> None:
        """Send somebody away who waits."""
        await self.request(requests.DenyParticipant(participant_id=participant_id), OkReply)

    async def update_room(
        self,
        *,
        name: str | None = None,
        is_locked: bool | None = None,
        max_participants: int | None = None,
        allow_guest_access: bool | None = None,
        waiting_room: bool | None = None,
    ) -> objects.Room:
        """Change the room's settings; only what is given changes."""
        request = requests.UpdateRoom(
            code=self.code,
            name=name,
            is_locked=is_locked,
            max_participants=max_participants,
            allow_guest_access=allow_guest_access,
            waiting_room=waiting_room,
        )
        return (await self.request(request, replies.RoomReply)).room

    async def end_room(self) -> objects.Room:
        """End the room for everyone in it, for good."""
        return (await self.request(requests.EndRoom(code=self.code), replies.RoomReply)).room

    async def list_bans(self, cursor: str | None = None, limit: int | None = None) -> replies.BansReply:
        """Read a page of who cannot come back."""
        return await self.request(requests.ListBans(cursor=cursor, limit=limit), replies.BansReply)

    async def unban(self, user_id: str) -> None:
        """Let a user come back."""
        await self.request(requests.Unban(user_id=user_id), OkReply)
