"""The command that forgets somebody: what the room has of them beside their stays, which nobody has in memory."""

from typing import ClassVar

import msgspec

from roomd.rooms.changes import Change, MessagesDeleted, RoomChanged, Unbanned
from roomd.rooms.model import Moment
from roomd.rooms.room import Command, Decision, Room


class Forget(Command[None], frozen=True):
    """Delete messages and bans of somebody who is forgotten, and give the room they hosted another host."""

    is_repeatable: ClassVar[bool] = True

    messages: frozenset[str] = frozenset()
    """The ids of the messages."""
    bans: frozenset[str] = frozenset()
    """The ids of the bans."""
    host_id: str | None = None
    """The user id of the host who is forgotten; None for nobody."""
    pseudonym: str = ""
    """The user id that stands in its place."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return what is deleted and changed. The host of a room that has not ended stays."""
        changes: list[Change] = [Unbanned(who, ban.id) for who, ban in room.bans.items() if ban.id in self.bans]
        if self.messages:
            changes.append(MessagesDeleted("", room.deleted_bytes, self.messages))
        if room.settings.host_id == self.host_id and not room.settings.is_active:
            changes.append(RoomChanged(msgspec.structs.replace(room.settings, host_id=self.pseudonym)))
        return Decision(changes, None)
