"""Checks that every reply is one of the protocol's, whatever was sent to the daemon."""

from typing import Any

from roomd.protocol import errors, objects
from tests.support.daemon import Client

Frame = dict[str, Any]

STATUSES = {kind.code: kind.status_code for kind in vars(errors).values() if isinstance(kind, errors.ErrorKind)}
REPLIES = {
    *("pong", "authenticated", "room", "rooms", "participant", "participants", "error"),
    *("ok", "waiting", "waiting-list", "messages", "bans", "ice-servers"),
}
"""The types of replies."""
EVENTS = {
    *("room-state", "participants-changed", "room-updated", "room-ended"),
    *("message", "signal", "mute-requested", "removed", "waiting-changed"),
}
"""The types of events; `waiting`, which may be either, is not among them."""


def check_reply(reply: Frame) -> None:
    """Check that a frame is one of the protocol's replies, and no internal error."""
    assert reply["type"] in REPLIES, reply
    if reply["type"] == "error":
        assert reply.keys() - {"id", "retryAfter"} == {"type", "statusCode", "code", "message"}
        assert reply["statusCode"] == STATUSES[reply["code"]]
        assert reply["code"] != "internal_error"
        assert len(reply["message"]) < 300


async def replies_to(client: Client, frames: list[str]) -> list[Frame]:
    """Send frames without waiting in between; return their replies, exactly one for each frame, without the events."""
    for text in frames:
        await client.websocket.send(text)
    await client.send("ping", id="the end")
    replies = []
    while (frame := await client.receive()).get("id") != "the end":
        if frame["type"] not in EVENTS and not (frame["type"] == "waiting" and "resumeToken" not in frame):
            check_reply(frame)
            replies.append(frame)
    assert len(replies) == len(frames)
    return replies


WAITS = objects.Waiting(
    participant_id="01jt", user_id=None, guest_name="Jane", display_name="Jane", is_active=True, position=1,
    reason="waiting_room", waiting_since="2026-03-03T10:36:00.000Z",
)  # fmt: skip
WAITS_JSON = {
    "participantId": "01jt", "userId": None, "guestName": "Jane", "displayName": "Jane", "isActive": True,
    "position": 1, "reason": "waiting_room", "waitingSince": "2026-03-03T10:36:00.000Z",
}  # fmt: skip
BAN = objects.Ban(
    id="01ju", user_id="bob", display_name="Bob", reason=None, banned_at="2026-03-03T10:38:00.000Z", expires_at=None
)
BAN_JSON = {
    "userId": "bob", "displayName": "Bob", "reason": None, "bannedAt": "2026-03-03T10:38:00.000Z", "id": "01ju",
    "expiresAt": None,
}  # fmt: skip
"""A ban, and its JSON."""
