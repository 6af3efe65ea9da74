"""The commands of a room, one class for each operation: its arguments, and how it is decided.

joining      Join, Resume, Renew, Confirm, Leave, Drop, Expire
meeting      UpdateState, SendMessage, ListParticipants, ListMessages
hosting      GetRoom, UpdateRoom, EndRoom
moderation   RemoveParticipant, CheckMute, ListBans, Unban, Admit, Deny
"""

from roomd.rooms.commands.hosting import EndRoom, GetRoom, UpdateRoom
from roomd.rooms.commands.joining import Confirm, Drop, Expire, Join, Leave, Renew, Resume, SeatCommand
from roomd.rooms.commands.meeting import ListMessages, ListParticipants, SendMessage, UpdateState
from roomd.rooms.commands.moderation import Admit, CheckMute, Deny, ListBans, RemoveParticipant, Unban

__all__ = [
    "Admit",
    "CheckMute",
    "Confirm",
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
    "Renew",
    "Resume",
    "SeatCommand",
    "SendMessage",
    "Unban",
    "UpdateRoom",
    "UpdateState",
]
