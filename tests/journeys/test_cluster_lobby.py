"""The waiting room where people knock at several nodes."""

from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.cluster.daemons import trio, until
from tests.support.postgresql import Server


async def test_a_denied_guest_is_not_somebody_at_another_node(tmp_path: Path, postgresql: Server) -> None:
    """Each node counts its connections from 1; who was denied at one of them waits, and nobody else does."""
    with trio(tmp_path, postgresql) as three:
        a, b, c = three.daemons.values()
        code = (await c.room(waitingRoom=True))["code"]
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(c.client("alice"))
            await host.join(code)
            knocking = {}
            for name, daemon in (("x", a), ("y", b)):  # the first connection of each
                knocking[name] = await stack.enter_async_context(daemon.client())
            fields = {"code": code, "wait": True}
            assert (await knocking["x"].ask("join-room", guestName="x", **fields))["type"] == "waiting"
            (waiting,) = (await until(host, "waiting-changed"))["waiting"]
            await host.send("deny-participant", id="no", participantId=waiting["participantId"])
            assert (await until(knocking["x"], "error"))["code"] == "denied"
            again = await knocking["x"].ask("join-room", guestName="x", **fields)
            assert (again["code"], again["retryAfter"] > 0) == ("rate_limited", True)
            assert (await knocking["y"].ask("join-room", guestName="y", **fields))["type"] == "waiting"
