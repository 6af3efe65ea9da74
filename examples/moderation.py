"""What a support desk does in rooms without being there. `Roomd` is in service_account.py; its token is an admin's."""

from uuid import uuid4

from service_account import Refused, Roomd


def report(roomd: Roomd, code: str) -> str:
    """Return who is in a room and the last that was said, for somebody who decides."""
    people = roomd.ask("list-participants", code=code)["participants"]
    said = roomd.ask("list-messages", code=code)["messages"]
    return "\n".join(
        [f"{one['id']} {one['displayName']}" for one in people] + [f"> {one['text']}" for one in said[-5:]]
    )


def warn(roomd: Roomd, code: str, participant_id: str, text: str) -> None:
    """Tell one participant something that nobody else reads, and ask their client to mute itself."""
    roomd.ask("send-message", code=code, to=participant_id, text=text, clientId=str(uuid4()))
    try:
        roomd.ask("mute-participant", code=code, participantId=participant_id)
    except Refused as refused:  # not connected now
        if refused.frame["code"] != "participant_not_found":
            raise


def expel(roomd: Roomd, code: str, user_id: str, reason: str) -> None:
    """Remove a user and keep them out, present or not, and tell the others."""
    roomd.ask("ban", code=code, userId=user_id, reason=reason)
    roomd.ask("send-message", code=code, text="Somebody was removed from this meeting.", clientId=str(uuid4()))


def close(roomd: Roomd, code: str) -> None:
    """End the meeting for everybody and delete what was said in it."""
    roomd.ask("delete-room", code=code)
