"""A participant's own state, over drops and lost seats."""

import asyncio
from typing import Any

import pytest

from roomd.client import Closed
from tests.support.people import person
from tests.support.scripted import Server, Sleep, meeting_with


async def test_state_is_kept_for_the_next_connection() -> None:
    """A change of state while away is sent after the return; one whose reply is lost is sent again."""
    sleep = Sleep(asleep=True)
    asked: list[dict[str, Any]] = []

    async def first(server: Server) -> None:
        await server.seat()
        await server.take("update-participant")
        await server.websocket.close(1011)

    async def back(server: Server) -> None:
        await server.seat()
        for _ in range(3):
            request = await server.take()
            reply: dict[str, Any] = {"messages": [], "nextCursor": None}
            is_page = request["type"] == "list-messages"
            await server.send("messages" if is_page else "ok", id=request["id"], **(reply if is_page else {}))
        asked.extend(request for request in server.asked if request["type"] == "update-participant")
        await server.left()

    async with meeting_with(first, back, sleep=sleep) as meeting:
        updates = [asyncio.create_task(meeting.update_state({"muted": muted})) for muted in (True, False)]
        await sleep.began.wait()
        sleep.gate.set()
        await asyncio.gather(*updates)
        assert [request["state"] for request in asked] == [{"muted": True}, {"muted": False}]
    with pytest.raises(Closed, match="1006"):
        await meeting.update_state({"muted": True})


async def test_a_new_seat_gets_the_state_of_the_old_one() -> None:
    """After the held seat has expired, the new participant is given the state of before, then what is asked for."""
    sleep = Sleep(asleep=True)
    asked: list[dict[str, Any]] = []
    before = person("jane", state={"muted": True, "camera": "on"})

    async def first(server: Server) -> None:
        await server.seat(me=before)
        await server.answer("ok")
        await server.websocket.close(1011)

    async def anew(server: Server) -> None:
        await server.refuse(410, "seat_expired")
        await server.seat(me=person("jane-2"))
        for _ in range(3):
            request = await server.take()
            reply: dict[str, Any] = {"messages": [], "nextCursor": None}
            is_page = request["type"] == "list-messages"
            await server.send("messages" if is_page else "ok", id=request["id"], **(reply if is_page else {}))
        asked.extend(request["state"] for request in server.asked if request["type"] == "update-participant")
        await server.left()

    async with meeting_with(first, anew, sleep=sleep) as meeting:
        await meeting.update_state({"camera": None, "handRaised": True})
        await sleep.began.wait()
        update = asyncio.create_task(meeting.update_state({"muted": False}))
        sleep.gate.set()
        await update
    assert asked == [{"muted": True, "camera": None, "handRaised": True}, {"muted": False}]
