"""One run: everyone joins, talks while things fail, and in the end nobody and nothing may be missing."""

import asyncio
import contextlib
import functools
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support.blips.attendees import Cues, PythonAttendee, RawAttendee, Report
from tests.support.blips.network import Network
from tests.support.daemon import Daemon
from tests.support.node import CLIENT
from tests.support.processes import PATIENCE, child

EACH = 5
"""Clients of each kind."""


@dataclass(frozen=True)
class Plan:
    """How long, how often and how fast."""

    seed: int
    seconds: float
    """While things fail."""
    pause: float
    """Seconds between two failures of the network, on average."""
    longest: float
    """Seconds that a failure lasts at most."""
    restart: float
    """Seconds between two ends of the daemon, by SIGTERM and SIGKILL in turn."""
    talk: float
    """Seconds between two messages of a client, on average. In an outage less than 500 may be missed."""
    speed: float
    """How much faster than usual the clients' clocks run."""


SETTINGS = {
    "ROOMD_AUTH_LEEWAY": "0",
    "ROOMD_ROOMS_SEAT_HOLD": "120",
    "ROOMD_LIMITS_REQUEST_RATE": "200",
    "ROOMD_LIMITS_REQUEST_BURST": "1000",
}


class JavaScript:
    """The process with the JavaScript clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def write(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def read(self) -> str:
        """Read a line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        assert line, "the JavaScript clients have ended"
        return line.decode().strip()

    async def reports(self) -> list[Report]:
        """Return what each client saw."""
        await self.write("report")
        found = []
        for fields in json.loads(await self.read()):
            report = Report(fields["name"])
            report.__dict__.update(fields)
            report.heard = [(message_id, text) for message_id, text in fields["heard"]]
            found.append(report)
        return found


@contextlib.asynccontextmanager
async def javascript(**where: Any) -> AsyncIterator[JavaScript | None]:
    """Run the JavaScript clients, where there is a Node that has a WebSocket."""
    command = await _node()
    if command is None:
        yield None
        return
    pipes: dict[str, Any] = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "limit": 1 << 26}
    async with child(*command, "test/support/blips.js", cwd=CLIENT, **pipes) as process:
        clients = JavaScript(process)
        await clients.write(json.dumps(where))
        assert await clients.read() == "here"
        yield clients


async def _node() -> list[str] | None:
    node = shutil.which("node")
    for flags in ([], ["--experimental-websocket"]) if node else ():
        async with child(
            str(node), *flags, "-e", "process.exit(typeof WebSocket === 'undefined' ? 1 : 0)",
            stderr=asyncio.subprocess.DEVNULL,
        ) as process:  # fmt: skip
            if await process.wait() == 0:
                return [str(node), *flags, "--no-warnings"]
    return None


async def run(daemon: Daemon, plan: Plan) -> dict[str, Any]:
    """Run it on a daemon that was started with `SETTINGS`, and return figures.

    Raises `AssertionError` for what is missing in the end.
    """
    random = Random(plan.seed)
    code = (await daemon.room(maxParticipants=100))["code"]
    cues = Cues()
    async with Network(daemon.port).serve() as network, contextlib.AsyncExitStack() as stack:
        names = [f"js{index}" for index in range(EACH)]
        where = {
            "url": network.url,
            "code": code,
            "secret": daemon.secret,
            "names": names,
            "talk": plan.talk,
            "speed": plan.speed,
        }
        scripts = await stack.enter_async_context(javascript(**where))
        people: list[PythonAttendee | RawAttendee] = []
        for index in range(EACH):
            token, soon = _token(daemon, f"py{index}", index), functools.partial(daemon.token, f"raw{index}", ttl=3)
            chances = Random(random.random()), Random(random.random())
            people.append(PythonAttendee(f"py{index}", token, chances[0], plan.talk, plan.speed))
            people.append(RawAttendee(f"raw{index}", soon if index % 2 else None, chances[1], plan.talk, plan.speed))
        arrivals = [asyncio.Event() for _ in people]
        tasks = [
            asyncio.create_task(one.attend(network.url, code, here, cues))
            for one, here in zip(people, arrivals, strict=True)
        ]
        stack.push_async_callback(_cancel, tasks)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(here.wait() for here in arrivals))
        cues.talk.set()
        if scripts:
            await scripts.write("talk")
        restarting = asyncio.create_task(_restart(daemon, plan))
        await network.fail(random, plan.seconds, plan.pause, plan.longest)
        restarts = await restarting
        cues.quiet.set()
        if scripts:
            await scripts.write("quiet")
        await _check(daemon, code, people, scripts)
        cues.end.set()
        if scripts:
            await scripts.write("end")
        messages = len(await _messages(daemon, code))
    kinds = f"{EACH} Python, {EACH} raw, {EACH if scripts else 0} JavaScript"
    return {"clients": kinds, "messages": messages, "restarts": restarts, **network.counts}


def _token(daemon: Daemon, name: str, index: int) -> Any:
    """A guest, a token that expires soon, and functions that return such tokens."""
    if index == 0:
        return None
    return daemon.token(name, ttl=3) if index == 1 else (lambda: daemon.token(name, ttl=3))


async def _cancel(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _restart(daemon: Daemon, plan: Plan) -> int:
    """End the daemon again and again and start it anew. Return how often."""
    count = 0
    left = plan.seconds - plan.restart
    while left >= 0:
        await asyncio.sleep(plan.restart)
        left -= plan.restart
        await asyncio.to_thread(daemon.kill if count % 2 else daemon.stop)
        await asyncio.to_thread(daemon.start)
        count += 1
    return count


async def _check(
    daemon: Daemon, code: str, people: list[PythonAttendee | RawAttendee], scripts: JavaScript | None
) -> None:
    """Wait until nothing is missing any more, or say what is."""
    wrong = ["nothing was looked at"]
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while wrong:
        reports = [one.report for one in people] + (await scripts.reports() if scripts else [])
        wrong = find_faults(reports, await _messages(daemon, code), await _seats(daemon, code))
        assert not wrong or asyncio.get_running_loop().time() < deadline, "\n".join(wrong)
        if wrong:
            await asyncio.sleep(0.2)


def find_faults(reports: list[Report], kept: list[dict[str, Any]], seats: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong, a line each: seats, ghosts, messages that are missing, told twice or out of order."""
    wrong = []
    texts = [one["text"] for one in kept]
    order = [(one["id"], one["text"]) for one in kept]
    if len(set(texts)) != len(texts):
        wrong.append(f"kept twice: {sorted({text for text in texts if texts.count(text) > 1})}")
    for report in reports:
        if report.status != "joined" or len(report.ids) != 1:
            wrong.append(f"{report.name}: {report.status}, ids {report.ids}")
        if report.unanswered:
            wrong.append(f"{report.name}: {report.unanswered} requests without an answer")
        if lost := set(report.said) - set(texts):
            wrong.append(f"{report.name}: accepted and not kept: {sorted(lost)}")
        if report.heard != order:
            twice = len(report.heard) - len(set(report.heard))
            wrong.append(
                f"{report.name}: heard {len(report.heard)} of {len(order)}, {twice} twice, or in another order"
            )
    here = sorted(one["id"] for one in seats if one["isActive"])
    ghosts = [one["id"] for one in seats if not one["isActive"]]
    if ghosts or here != sorted(report.ids[0] for report in reports if report.ids):
        wrong.append(f"{len(here)} seats for {len(reports)} clients, and {len(ghosts)} ghosts")
    return wrong


async def _messages(daemon: Daemon, code: str) -> list[dict[str, Any]]:
    return await _pages(daemon, "list-messages", "messages", code)


async def _seats(daemon: Daemon, code: str) -> list[dict[str, Any]]:
    return await _pages(daemon, "list-participants", "participants", code)


async def _pages(daemon: Daemon, type_: str, key: str, code: str) -> list[dict[str, Any]]:
    """Read all pages as the host, from outside."""
    found: list[dict[str, Any]] = []
    cursor = None
    async with daemon.client("alice") as host:
        while True:
            page = await host.ask(type_, code=code, limit=200, **({"cursor": cursor} if cursor else {}))
            found += page[key]
            cursor = page["nextCursor"]
            if cursor is None:
                return found
