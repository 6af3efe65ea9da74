"""The requests that a participant can send, as methods."""

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import msgspec

from roomd.client.encoding import encode
from roomd.protocol import objects, replies, requests
from roomd.protocol.replies import OkReply, Reply
from roomd.protocol.requests import Request

R = TypeVar("R", bound=Reply)


class Requests(ABC):
    """The requests of docs/protocol.md, sections 7 and 8, as methods.

    Each returns when the server has answered. Raises `Refused` when the reply is an error, `Closed` while the client is
    not connected or when the connection ends before the reply (the request may have been served), `NoAnswer`, an
    `Unreachable`, when no reply comes in time.
    """

    code: str
    """The room's code, like `abc-def-ghi`."""

    @abstractmethod
    async def request(self, request: Request, reply: type[R]) -> R:
        """Send a request, and return its reply, which must be of type `reply`."""

    async def signal(self, to: str, data: Any) -> None:
        """Send `data`, any JSON value, to one participant, who must be connected now."""
        await self.request(requests.Signal(to=to, data=msgspec.Raw(encode(data))), OkReply)

    async def ice_servers(self) -> replies.IceServersReply:
        """Get STUN and TURN servers. Their credentials expire after `ttl` seconds."""
        return await self.request(requests.GetIceServers(), replies.IceServersReply)

    async def list_messages(self, cursor: str | None = None, limit: int | None = None) -> replies.MessagesReply:
        """Read a page of the room's messages, oldest first. `cursor` is the id of the last message before the page."""
        request = requests.ListMessages(code=self.code, cursor=cursor, limit=limit)
        return await self.request(request, replies.MessagesReply)

    # For hosts.

    async def remove(self, participant_id: str, *, ban: bool = False, reason: str | None = None) -> None:
        """Remove a participant. With `ban` the user, or guests of the same address, cannot come back.

        `reason` has at most 200 characters.
        """
        request = requests.RemoveParticipant(participant_id=participant_id, ban=ban, reason=reason)
        await self.request(request, OkReply)

    async def mute(self, participant_id: str) -> None:
        """Ask a participant's client to mute itself."""
        await self.request(requests.MuteParticipant(participant_id=participant_id), OkReply)

    async def admit(self, participant_id: str) -> None:
        """Let in a participant who waits for the host."""
        await self.request(requests.AdmitParticipant(participant_id=participant_id), OkReply)

    async def admit_all(self) -> None:
        """Let in everyone who waits for the host."""
        await self.request(requests.AdmitAll(), OkReply)

    async def deny(self, participant_id: str) -> None:
        """Refuse a participant who waits."""
        await self.request(requests.DenyParticipant(participant_id=participant_id), OkReply)

    async def update_room(
        self,
        *,
        name: str | None = None,
        is_locked: bool | None = None,
        max_participants: int | None = None,
        allow_guest_access: bool | None = None,
        waiting_room: bool | None = None,
        history_visible: objects.HistoryVisible | None = None,
        host_id: str | None = None,
        metadata: objects.Metadata | None = None,
        expires_at: str | None = None,
        end_when_empty: int | None = None,
    ) -> objects.Room:
        """Change the settings that are given, and return the room. `{}`, `"never"` and 0 remove the last three.

        `host_id` is the user to hand the room over to, `metadata` a JSON object, `expires_at` a time in ISO 8601 with
        an offset, `end_when_empty` the seconds after which the room ends when nobody is in it.
        """
        request = requests.UpdateRoom(
            code=self.code,
            name=name,
            is_locked=is_locked,
            max_participants=max_participants,
            allow_guest_access=allow_guest_access,
            waiting_room=waiting_room,
            history_visible=history_visible,
            host_id=host_id,
            metadata=metadata,
            expires_at=expires_at,
            end_when_empty=end_when_empty,
        )
        return room_of(await self.request(request, replies.RoomReply))

    async def end_room(self) -> objects.Room:
        """End the room for everyone, for good, and return it."""
        return room_of(await self.request(requests.EndRoom(code=self.code), replies.RoomReply))

    async def delete_room(self) -> None:
        """End the room for everyone, and delete it with all that belongs to it."""
        await self.request(requests.DeleteRoom(code=self.code), OkReply)

    async def list_bans(self, cursor: str | None = None, limit: int | None = None) -> replies.BansReply:
        """Read a page of those who cannot come back."""
        return await self.request(requests.ListBans(cursor=cursor, limit=limit), replies.BansReply)

    async def ban(
        self, *, user_id: str | None = None, participant_id: str | None = None, reason: str | None = None
    ) -> None:
        """Ban a user, or somebody who is or was in the room; give one of the two. They need not be there now."""
        request = requests.BanPerson(code=self.code, user_id=user_id, participant_id=participant_id, reason=reason)
        await self.request(request, OkReply)

    async def unban(self, user_id: str | None = None, *, ban_id: str | None = None) -> None:
        """Lift the ban of a user, or the one with the id that `list_bans` shows."""
        await self.request(requests.Unban(user_id=user_id, ban_id=ban_id), OkReply)


def room_of(reply: replies.RoomReply) -> objects.Room:
    """Return the room of a reply that always has one: any but that to `get-room`.

    Raises `ValueError` for a reply without one.
    """
    if reply.room is None:
        raise ValueError("the reply has no room")
    return reply.room
