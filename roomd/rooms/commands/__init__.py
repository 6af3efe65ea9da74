"""The commands of a room, one class for each operation: its arguments, and how it is decided.

joining      Join, Resume, Attach, Renew, Confirm, Leave, Drop, DropNodes, Expire
meeting      UpdateState, SendMessage, DeleteMessages, ListParticipants, ListMessages
hosting      GetRoom, CheckHost, UpdateRoom
ending       EndRoom, EndDue, DeleteRoom, DeleteOld
forgetting   Forget
moderation   CheckMute, ListWaiting, Admit, Deny
banning      RemoveParticipant, BanPerson, ListBans, Unban
"""

from roomd.rooms.commands.banning import BanPerson, ListBans, RemoveParticipant, Unban
from roomd.rooms.commands.ending import DeleteOld, DeleteRoom, EndDue, EndRoom
from roomd.rooms.commands.forgetting import Forget
from roomd.rooms.commands.hosting import CheckHost, GetRoom, UpdateRoom
from roomd.rooms.commands.joining import (
    Attach,
    Confirm,
    Drop,
    DropNodes,
    Expire,
    Join,
    Leave,
    Renew,
    Resume,
    SeatCommand,
)
from roomd.rooms.commands.meeting import DeleteMessages, ListMessages, ListParticipants, SendMessage, UpdateState
from roomd.rooms.commands.moderation import Admit, CheckMute, Deny, ListWaiting

__all__ = [
    "Admit",
    "Attach",
    "BanPerson",
    "CheckHost",
    "CheckMute",
    "Confirm",
    "DeleteMessages",
    "DeleteOld",
    "DeleteRoom",
    "Deny",
    "Drop",
    "DropNodes",
    "EndDue",
    "EndRoom",
    "Expire",
    "Forget",
    "GetRoom",
    "Join",
    "Leave",
    "ListBans",
    "ListMessages",
    "ListParticipants",
    "ListWaiting",
    "RemoveParticipant",
    "Renew",
    "Resume",
    "SeatCommand",
    "SendMessage",
    "Unban",
    "UpdateRoom",
    "UpdateState",
]
