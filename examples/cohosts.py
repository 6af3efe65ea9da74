"""Who may help the host, and how a co-host lets people in. `Roomd` is in service_account.py, `Keys` in backend.py."""

from typing import Any

from backend import Keys
from service_account import Roomd


def course(roomd: Roomd, course_id: str, teacher: str) -> str:
    """Return the code of the room of a course: the one there is, or a new one, whose host is the teacher."""
    room = roomd.ask("create-room", externalId=course_id, hostId=teacher, waitingRoom=True)["room"]
    return str(room["code"])


def token(keys: Keys, user: str, name: str, code: str, helps: bool) -> str:
    """Return the token that a page gets. Helpers have the rights of a host, in this room alone."""
    grants: dict[str, Any] = {"room": code, "metadata": {"badge": "helper"} if helps else {}}
    if helps:
        grants["host"] = True
    return keys.sign(user, name, **grants)


def admit_students(cohost: Roomd, code: str, students: set[str]) -> list[str]:
    """Let everybody in who waits and is a student of the course; return the names of the others."""
    others = []
    for one in cohost.ask("list-waiting", code=code)["waiting"]:
        if one["userId"] in students:
            cohost.ask("admit-participant", code=code, participantId=one["participantId"])
        else:
            others.append(one["displayName"])
    return others
