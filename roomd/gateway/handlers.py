"""What each request of a client comes to: ask a room, a store or a key, and answer.

Requests are served one after another. Sockets, limits and the end of it all are the connection's.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from roomd.gateway.desk import Desk, end_of
from roomd.gateway.outbox import text_frame
from roomd.ice import ice_servers
from roomd.protocol import events, objects, replies, requests
from roomd.protocol.codec import encode
from roomd.protocol.errors import NOT_IN_ROOM, SEAT_EXPIRED, Refused
from roomd.protocol.text import clean_code
from roomd.protocol.timestamps import stamp
from roomd.rooms import commands
from roomd.rooms.room import MOST_STATE_BYTES
from roomd.storage.sqlite import page
from roomd.system.ids import ResumeToken, hash_secret

PAGE = 100
"""Items in a page when the client does not say."""

MESSAGE_BYTES = 250
"""Of a `message` frame, beside the text."""


class Requests(Desk):
    """One client's requests."""

    __slots__ = ()

    def serve(self, request: requests.Request) -> Awaitable[None] | None:
        """Serve a request and answer it: at once, or by the time that what is returned is done.

        Raises `Refused` (`StorageFailed` is 503 `unavailable`), which is the answer then, and `Hangup`; so does what is
        returned, but never for a request of `AT_ONCE`.
        """
        return _SERVE[type(request)](self, request)

    def _ping(self, request: requests.Ping) -> None:
        self.send(replies.PongReply(id=request.id))

    async def _authenticate(self, request: requests.Authenticate) -> None:
        try:
            identity = await self.identify(request.token)
        except Refused as refused:
            self.refuse(refused, request.id)
            raise end_of(refused) from None
        self._session.authenticate(identity)
        self.send(
            replies.AuthenticatedReply(id=request.id, user_id=identity.user_id, expires_at=stamp(identity.expires_at))
        )

    async def _create_room(self, request: requests.CreateRoom) -> None:
        identity = self._session.user(self._wall())
        settings = commands.Settings(
            name=request.name,
            max_participants=request.max_participants,
            allow_guest_access=request.allow_guest_access,
            waiting_room=request.waiting_room,
        )
        view = await self._services.hub.create(settings, identity.user_id)
        self.send(replies.RoomReply(id=request.id, room=view))

    def _update_room(self, request: requests.UpdateRoom) -> Awaitable[None]:
        code = self._session.room_code(request.code)
        settings = commands.Settings(
            name=request.name,
            is_locked=request.is_locked,
            max_participants=request.max_participants,
            allow_guest_access=request.allow_guest_access,
            waiting_room=request.waiting_room,
        )
        command = commands.Update(self._session.caller(code, self._wall()), settings)
        return self._ask(code, command, request, lambda view: replies.RoomReply(id=request.id, room=view))

    def _get_room(self, request: requests.GetRoom) -> Awaitable[None]:
        code = self._session.room_code(request.code)
        lapsed = self._session.lapse(code, self._wall())

        def reply(got: commands.Got) -> replies.Reply:
            return replies.RoomReply(id=request.id, room=got.room, admission=_admission(lapsed or got.refusal))

        return self._ask(code, commands.Get(self._session.holder(code)), request, reply)

    async def _list_rooms(self, request: requests.ListRooms) -> None:
        identity = self._session.user(self._wall())
        hub = self._services.hub
        views, cursor = await self._services.store.rooms_of(
            None if identity.admin else identity.user_id, request.is_active, request.cursor, request.limit or PAGE
        )
        rooms = [msgspec.structs.replace(view, participant_count=hub.seats_in(view.code)) for view in views]
        self.send(replies.RoomsReply(id=request.id, rooms=rooms, next_cursor=cursor))

    def _end_room(self, request: requests.EndRoom) -> Awaitable[None]:
        code = self._session.room_code(request.code)
        command = commands.End(self._session.caller(code, self._wall()))
        return self._ask(code, command, request, lambda view: replies.RoomReply(id=request.id, room=view))

    def _join_room(self, request: requests.JoinRoom) -> Awaitable[None]:
        guest_name = self._session.guest_name(request.guest_name)
        code = self._session.room_code(request.code)
        secret = self._services.ids.new_secret()
        participant_id = self._services.ids.new_id(self._wall())
        owner = next(self._services.owners)
        command = commands.Join(
            self._session.caller(code, self._wall()),
            guest_name,
            participant_id,
            hash_secret(secret),
            owner,
            bool(request.wait),
        )
        return self._take_seat(code, command, request, secret)

    def _resume(self, request: requests.Resume) -> Awaitable[None]:
        token = ResumeToken.parse(request.resume_token)
        if token is None or clean_code(token.code) != token.code:
            raise Refused(SEAT_EXPIRED)
        code = self._session.room_code(token.code)
        secret = self._services.ids.new_secret()
        command = commands.Resume(
            self._session.holder(code),
            token.participant_id,
            hash_secret(token.secret),
            hash_secret(secret),
            next(self._services.owners),
        )
        return self._take_seat(code, command, request, secret)

    def _leave_room(self, request: requests.LeaveRoom) -> Awaitable[None]:
        place = self._session.place or self._session.waiting
        if place is None:
            raise Refused(NOT_IN_ROOM)

        def reply(participant: objects.Participant) -> replies.Reply:
            self.unseated(participant.id)
            return replies.ParticipantReply(id=request.id, participant=participant)

        return self._ask(place.code, commands.Leave(place.participant.id, place.owner), request, reply)

    async def _list_participants(self, request: requests.ListParticipants) -> None:
        code = self._session.room_code(request.code)
        limit = request.limit or PAGE
        listed = await self._services.hub.ask(
            code, commands.List(self._session.caller(code, self._wall()), bool(request.history))
        )
        if request.history:
            people, cursor = await self._services.store.history(listed.room.id, request.cursor, limit)
        else:
            after = (p for p in listed.participants if p.id > (request.cursor or ""))
            people, cursor = page(sorted(after, key=lambda p: p.id), limit)
        self.send(replies.ParticipantsReply(id=request.id, participants=people, next_cursor=cursor))

    def _update_participant(self, request: requests.UpdateParticipant) -> Awaitable[None]:
        place = self._session.here()
        self._count_told(MOST_STATE_BYTES + len(encode(place.participant)))  # told as a whole, however little changes
        return self._do(place.code, commands.Present(place.participant.id, place.owner, request.state), request)

    def _signal(self, request: requests.Signal) -> None:
        place = self._session.here()
        self._count_told(len(request.data))
        event = events.SignalEvent(sender=place.participant.id, data=request.data)
        self._services.hub.relay(place.code, request.to, text_frame(encode(event)))
        self._acknowledge(request)

    def _send_message(self, request: requests.SendMessage) -> Awaitable[None]:
        place = self._session.here()
        self._count_told(MESSAGE_BYTES + len(encode(request.text)))
        message_id = self._services.ids.new_id(self._wall())
        command = commands.Say(place.participant.id, place.owner, message_id, request.text, request.to)
        return self._do(place.code, command, request)

    async def _list_messages(self, request: requests.ListMessages) -> None:
        code = self._session.room_code(request.code)
        reader = await self._services.hub.ask(code, commands.ListMessages(self._session.caller(code, self._wall())))
        messages, cursor = await self._services.store.messages(reader, request.cursor, request.limit or PAGE)
        self.send(replies.MessagesReply(id=request.id, messages=messages, next_cursor=cursor))

    def _get_ice_servers(self, request: requests.GetIceServers) -> None:
        place, ice = self._session.here(), self._services.ice
        servers = ice_servers(ice, place.participant.id, self._wall())
        self.send(replies.IceServersReply(id=request.id, ice_servers=servers, ttl=ice.ttl))

    def _remove_participant(self, request: requests.RemoveParticipant) -> Awaitable[None]:
        code, caller = self._host(request)
        command = commands.Remove(caller, request.participant_id, bool(request.ban), request.reason)
        return self._do(code, command, request, answer=True)

    async def _mute_participant(self, request: requests.MuteParticipant) -> None:
        code, caller = self._host(request)
        await self._services.hub.ask(code, commands.Mute(caller, request.participant_id))
        self._services.hub.relay(code, request.participant_id, text_frame(encode(events.MuteRequested())))
        self._acknowledge(request)

    async def _list_bans(self, request: requests.ListBans) -> None:
        code, caller = self._host(request)
        listed: list[objects.Ban] = await self._services.hub.ask(code, commands.ListBans(caller))
        limit = request.limit or PAGE
        after = [ban for ban in listed if ban.user_id > (request.cursor or "")]
        cursor = after[limit - 1].user_id if len(after) > limit else None
        self.send(replies.BansReply(id=request.id, bans=after[:limit], next_cursor=cursor))

    def _unban(self, request: requests.Unban) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Unban(caller, request.user_id), request, answer=True)

    def _admit_participant(self, request: requests.AdmitParticipant) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Admit(caller, request.participant_id), request, answer=True)

    def _admit_all(self, request: requests.AdmitAll) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Admit(caller, None), request, answer=True)

    def _deny_participant(self, request: requests.DenyParticipant) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Deny(caller, request.participant_id), request, answer=True)


def _admission(refusal: Refused | None) -> objects.Admission:
    if refusal is None:
        return objects.Admission(allowed=True)
    kind = refusal.kind
    return objects.Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=refusal.message)


_SERVE: dict[type[requests.Request], Callable[[Requests, Any], Awaitable[None] | None]] = {
    requests.Ping: Requests._ping,
    requests.Authenticate: Requests._authenticate,
    requests.CreateRoom: Requests._create_room,
    requests.UpdateRoom: Requests._update_room,
    requests.GetRoom: Requests._get_room,
    requests.ListRooms: Requests._list_rooms,
    requests.EndRoom: Requests._end_room,
    requests.JoinRoom: Requests._join_room,
    requests.Resume: Requests._resume,
    requests.LeaveRoom: Requests._leave_room,
    requests.ListParticipants: Requests._list_participants,
    requests.UpdateParticipant: Requests._update_participant,
    requests.Signal: Requests._signal,
    requests.SendMessage: Requests._send_message,
    requests.ListMessages: Requests._list_messages,
    requests.GetIceServers: Requests._get_ice_servers,
    requests.RemoveParticipant: Requests._remove_participant,
    requests.MuteParticipant: Requests._mute_participant,
    requests.ListBans: Requests._list_bans,
    requests.Unban: Requests._unban,
    requests.AdmitParticipant: Requests._admit_participant,
    requests.AdmitAll: Requests._admit_all,
    requests.DenyParticipant: Requests._deny_participant,
}

AT_ONCE = frozenset(kind for kind, serve in _SERVE.items() if not inspect.iscoroutinefunction(serve))
"""The requests that need nothing awaited before a room is asked, or at all."""
