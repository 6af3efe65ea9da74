"""What each request of a client comes to: ask a room, a store or a key, and answer.

Requests are served one after another. Sockets, limits and the end of it all are the connection's.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from roomd import commands, frames, objects
from roomd.clock import stamp
from roomd.codec import encode
from roomd.desk import Desk, end_of
from roomd.errors import NOT_IN_ROOM, SEAT_EXPIRED, Refused
from roomd.ids import ResumeToken, hash_secret
from roomd.names import clean_code
from roomd.outbox import text_frame
from roomd.room import MOST_STATE_BYTES
from roomd.store import page
from roomd.turn import ice_servers

PAGE = 100
"""Items in a page when the client does not say."""

MESSAGE_BYTES = 250
"""Of a `message` frame, beside the text."""


class Requests(Desk):
    """One client's requests."""

    __slots__ = ()

    def serve(self, request: frames.Request) -> Awaitable[None] | None:
        """Serve a request and answer it: at once, or by the time that what is returned is done.

        Raises `Refused` (`StorageFailed` is 503 `unavailable`), which is the answer then, and `Hangup`; so does what is
        returned, but never for a request of `AT_ONCE`.
        """
        return _SERVE[type(request)](self, request)

    def _ping(self, request: frames.Ping) -> None:
        self.send(frames.PongReply(id=request.id))

    async def _authenticate(self, request: frames.Authenticate) -> None:
        try:
            identity = await self.identify(request.token)
        except Refused as refused:
            self.refuse(refused, request.id)
            raise end_of(refused) from None
        self._session.authenticate(identity)
        self.send(
            frames.AuthenticatedReply(id=request.id, user_id=identity.user_id, expires_at=stamp(identity.expires_at))
        )

    async def _create_room(self, request: frames.CreateRoom) -> None:
        identity = self._session.user(self._wall())
        settings = commands.Settings(
            name=request.name,
            max_participants=request.max_participants,
            allow_guest_access=request.allow_guest_access,
            waiting_room=request.waiting_room,
        )
        view = await self._services.hub.create(settings, identity.user_id)
        self.send(frames.RoomReply(id=request.id, room=view))

    def _update_room(self, request: frames.UpdateRoom) -> Awaitable[None]:
        code = self._session.room_code(request.code)
        settings = commands.Settings(
            name=request.name,
            is_locked=request.is_locked,
            max_participants=request.max_participants,
            allow_guest_access=request.allow_guest_access,
            waiting_room=request.waiting_room,
        )
        command = commands.Update(self._session.caller(code, self._wall()), settings)
        return self._ask(code, command, request, lambda view: frames.RoomReply(id=request.id, room=view))

    def _get_room(self, request: frames.GetRoom) -> Awaitable[None]:
        code = self._session.room_code(request.code)
        lapsed = self._session.lapse(code, self._wall())

        def reply(got: commands.Got) -> frames.Reply:
            return frames.RoomReply(id=request.id, room=got.room, admission=_admission(lapsed or got.refusal))

        return self._ask(code, commands.Get(self._session.holder(code)), request, reply)

    async def _list_rooms(self, request: frames.ListRooms) -> None:
        identity = self._session.user(self._wall())
        hub = self._services.hub
        views, cursor = await self._services.store.rooms_of(
            None if identity.admin else identity.user_id, request.is_active, request.cursor, request.limit or PAGE
        )
        rooms = [msgspec.structs.replace(view, participant_count=hub.seats_in(view.code)) for view in views]
        self.send(frames.RoomsReply(id=request.id, rooms=rooms, next_cursor=cursor))

    def _end_room(self, request: frames.EndRoom) -> Awaitable[None]:
        code = self._session.room_code(request.code)
        command = commands.End(self._session.caller(code, self._wall()))
        return self._ask(code, command, request, lambda view: frames.RoomReply(id=request.id, room=view))

    def _join_room(self, request: frames.JoinRoom) -> Awaitable[None]:
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

    def _resume(self, request: frames.Resume) -> Awaitable[None]:
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

    def _leave_room(self, request: frames.LeaveRoom) -> Awaitable[None]:
        place = self._session.place or self._session.waiting
        if place is None:
            raise Refused(NOT_IN_ROOM)

        def reply(participant: objects.Participant) -> frames.Reply:
            self.unseated(participant.id)
            return frames.ParticipantReply(id=request.id, participant=participant)

        return self._ask(place.code, commands.Leave(place.participant.id, place.owner), request, reply)

    async def _list_participants(self, request: frames.ListParticipants) -> None:
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
        self.send(frames.ParticipantsReply(id=request.id, participants=people, next_cursor=cursor))

    def _update_participant(self, request: frames.UpdateParticipant) -> Awaitable[None]:
        place = self._session.here()
        self._count_told(MOST_STATE_BYTES + len(encode(place.participant)))  # told as a whole, however little changes
        return self._do(place.code, commands.Present(place.participant.id, place.owner, request.state), request)

    def _signal(self, request: frames.Signal) -> None:
        place = self._session.here()
        self._count_told(len(request.data))
        event = frames.SignalEvent(sender=place.participant.id, data=request.data)
        self._services.hub.relay(place.code, request.to, text_frame(encode(event)))
        self._acknowledge(request)

    def _send_message(self, request: frames.SendMessage) -> Awaitable[None]:
        place = self._session.here()
        self._count_told(MESSAGE_BYTES + len(encode(request.text)))
        message_id = self._services.ids.new_id(self._wall())
        command = commands.Say(place.participant.id, place.owner, message_id, request.text, request.to)
        return self._do(place.code, command, request)

    async def _list_messages(self, request: frames.ListMessages) -> None:
        code = self._session.room_code(request.code)
        reader = await self._services.hub.ask(code, commands.ListMessages(self._session.caller(code, self._wall())))
        messages, cursor = await self._services.store.messages(reader, request.cursor, request.limit or PAGE)
        self.send(frames.MessagesReply(id=request.id, messages=messages, next_cursor=cursor))

    def _get_ice_servers(self, request: frames.GetIceServers) -> None:
        place, ice = self._session.here(), self._services.ice
        servers = ice_servers(ice, place.participant.id, self._wall())
        self.send(frames.IceServersReply(id=request.id, ice_servers=servers, ttl=ice.ttl))

    def _remove_participant(self, request: frames.RemoveParticipant) -> Awaitable[None]:
        code, caller = self._host(request)
        command = commands.Remove(caller, request.participant_id, bool(request.ban), request.reason)
        return self._do(code, command, request, answer=True)

    async def _mute_participant(self, request: frames.MuteParticipant) -> None:
        code, caller = self._host(request)
        await self._services.hub.ask(code, commands.Mute(caller, request.participant_id))
        self._services.hub.relay(code, request.participant_id, text_frame(encode(frames.MuteRequested())))
        self._acknowledge(request)

    async def _list_bans(self, request: frames.ListBans) -> None:
        code, caller = self._host(request)
        listed: list[objects.Ban] = await self._services.hub.ask(code, commands.ListBans(caller))
        limit = request.limit or PAGE
        after = [ban for ban in listed if ban.user_id > (request.cursor or "")]
        cursor = after[limit - 1].user_id if len(after) > limit else None
        self.send(frames.BansReply(id=request.id, bans=after[:limit], next_cursor=cursor))

    def _unban(self, request: frames.Unban) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Unban(caller, request.user_id), request, answer=True)

    def _admit_participant(self, request: frames.AdmitParticipant) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Admit(caller, request.participant_id), request, answer=True)

    def _admit_all(self, request: frames.AdmitAll) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Admit(caller, None), request, answer=True)

    def _deny_participant(self, request: frames.DenyParticipant) -> Awaitable[None]:
        code, caller = self._host(request)
        return self._do(code, commands.Deny(caller, request.participant_id), request, answer=True)


def _admission(refusal: Refused | None) -> objects.Admission:
    if refusal is None:
        return objects.Admission(allowed=True)
    kind = refusal.kind
    return objects.Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=refusal.message)


_SERVE: dict[type[frames.Request], Callable[[Requests, Any], Awaitable[None] | None]] = {
    frames.Ping: Requests._ping,
    frames.Authenticate: Requests._authenticate,
    frames.CreateRoom: Requests._create_room,
    frames.UpdateRoom: Requests._update_room,
    frames.GetRoom: Requests._get_room,
    frames.ListRooms: Requests._list_rooms,
    frames.EndRoom: Requests._end_room,
    frames.JoinRoom: Requests._join_room,
    frames.Resume: Requests._resume,
    frames.LeaveRoom: Requests._leave_room,
    frames.ListParticipants: Requests._list_participants,
    frames.UpdateParticipant: Requests._update_participant,
    frames.Signal: Requests._signal,
    frames.SendMessage: Requests._send_message,
    frames.ListMessages: Requests._list_messages,
    frames.GetIceServers: Requests._get_ice_servers,
    frames.RemoveParticipant: Requests._remove_participant,
    frames.MuteParticipant: Requests._mute_participant,
    frames.ListBans: Requests._list_bans,
    frames.Unban: Requests._unban,
    frames.AdmitParticipant: Requests._admit_participant,
    frames.AdmitAll: Requests._admit_all,
    frames.DenyParticipant: Requests._deny_participant,
}

AT_ONCE = frozenset(kind for kind, serve in _SERVE.items() if not inspect.iscoroutinefunction(serve))
"""The requests that need nothing awaited before a room is asked, or at all."""
