"""The commands of a room, one class for each operation: its arguments, and how it is decided.

joining      Join, Resume, Leave, Drop, Expire
meeting      UpdateState, SendMessage, ListParticipants, ListMessages
hosting      GetRoom, UpdateRoom, EndRoom
moderation   RemoveParticipant, CheckMute, ListBans, Unban, Admit, Deny
"""

from roomd.rooms.commands.hosting import EndRoom, GetRoom, UpdateRoom
from roomd.rooms.commands.joining import Drop, Expire, Join, Leave, Resume, SeatCommand
from roomd.rooms.commands.meeting import ListMessages, ListParticipants, SendMessage, UpdateState
from roomd.rooms.commands.moderation import Admit, CheckMute, Deny, ListBans, RemoveParticipant, Unban

__all__ = [
    "Admit",
    "CheckMute",
    "Deny",
    "Drop",
    "EndRoom",
    "Expire",
    "GetRoom",
    "Join",
    "Leave",
    "ListBans",
    "ListMessages",
    "ListParticipants",
    "RemoveParticipant",
    "Resume",
    "SeatCommand",
    "SendMessage",
    "Unban",
    "UpdateRoom",
    "UpdateState",
]
