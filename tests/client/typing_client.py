"""The types that programs see: mypy checks this file, nothing runs it."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, assert_type

from msgspec import UnsetType

from roomd import client
from roomd.client import AnyMeetingEvent, Connection, LogPart, Meeting, Over, Placed, Status, View
from roomd.protocol.events import RoomState
from roomd.protocol.objects import Message, Metadata, Participant, Role, Room, Waiting
from roomd.protocol.replies import BansReply, IceServersReply, MessagesReply, RoomsReply
from roomd.protocol.requests import ListRooms

URL, CODE = "ws://127.0.0.1:8765/ws", "abc-def-ghi"


def give_token() -> str | None:
    """Return a token."""
    return None


async def fetch_token() -> str:
    """Return a token, after a while."""
    return ""


async def joins() -> None:
    """A name, a token, or a function of either kind."""
    assert_type(client.join(URL, CODE, "Jane"), AbstractAsyncContextManager[Meeting, bool | None])
    client.join(URL, CODE, token="jwt", wait=True, patience=3, max_frame=131_072)
    client.join(URL, CODE, token=give_token)
    client.join(URL, CODE, token=fetch_token)
    client.join(URL, CODE, token=1)  # type: ignore[arg-type]  # a number is no token
    client.join(URL, CODE, "Jane", None, True)  # type: ignore[call-arg]  # `wait` has to be named
    async with client.join(URL, CODE, "Jane") as meeting:
        assert_type(meeting, Meeting)
        await use(meeting)


async def follows() -> None:
    """The event log, with a token or a function of either kind."""
    async for part in client.follow_log(URL, fetch_token, "latest", rooms=[CODE]):
        assert_type(part, LogPart)
        assert_type(part.events, list[dict[str, Any]])
        assert_type(part.next, str)


async def use(meeting: Meeting) -> None:
    """What a meeting has."""
    assert_type(meeting.status, Status)
    assert_type(meeting.over, Over | None)
    assert_type(meeting.me, Participant | None)
    assert_type(meeting.room, Room | None)
    assert_type(meeting.participants, Mapping[str, Participant])
    assert_type(meeting.messages, list[Message])
    assert_type(meeting.lobby, tuple[Waiting, ...])
    assert_type(meeting.place, Placed | None)
    assert_type(meeting.participants["jane"].role, Role)
    assert_type(meeting.participants["jane"].metadata, Metadata | UnsetType)
    assert_type(meeting.messages[0].participant_id, str | None)
    assert_type(await meeting.wait_present(), bool)
    assert_type(await meeting.list_messages(limit=5), MessagesReply)
    assert_type(await meeting.list_bans(), BansReply)
    assert_type(await meeting.ice_servers(), IceServersReply)
    assert_type(await meeting.update_room(is_locked=True), Room)
    assert_type(await meeting.end_room(), Room)
    await meeting.update_state({"muted": True, "handRaised": None})
    await meeting.update_state({"muted": [True]})  # type: ignore[dict-item]  # a list is no scalar
    meeting.participants["jane"] = meeting.participants["bob"]  # type: ignore[index]  # it is not to be changed


async def hear(meeting: Meeting) -> None:
    """Every event is one of a union, so that a `match` can be checked for completeness."""
    async for event in meeting:
        assert_type(event, AnyMeetingEvent)
        match event:
            case client.Joined(participant) | client.Left(participant):
                assert_type(participant, Participant)
            case client.Updated(participant, before):
                assert_type((participant, before), tuple[Participant, Participant])
            case client.Said(message):
                assert_type(message, Message)
            case client.MessagesSkipped(after, before_id):
                assert_type((after, before_id), tuple[str | None, str | None])
            case client.Signalled(sender, data):
                assert_type(sender, str)
                assert_type(data, Any)
            case client.Dropped(reason, delay):
                assert_type((reason, delay), tuple[str, float])
            case _:
                pass
    if meeting.over is not None:
        assert_type((meeting.over.code, meeting.over.message), tuple[str, str])
        assert_type(meeting.over.reason, str | None)


async def ask(connection: Connection) -> None:
    """A request has the type of the reply that is asked for."""
    assert_type(await connection.request(ListRooms(), RoomsReply), RoomsReply)


def view(view: View, state: RoomState) -> None:
    """A view alone: frames in, events out."""
    assert_type(view.apply(state), list[AnyMeetingEvent])
    assert_type(view.participants, Mapping[str, Participant])
