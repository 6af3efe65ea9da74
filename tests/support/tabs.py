"""Real browser tabs for tests of the page, and a network between them and the rest that can be cut."""

import asyncio
import contextlib
import re
import socket
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)

LOST = re.compile("WebSocket connection to .* failed|ERR_|can’t establish a connection|was interrupted|ICE failed")
"""What a browser says itself of a connection that cannot be made."""

CONNECTIONS = """
const connections = window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...options) {
    super(...options);
    connections.push(this);
  }
};

/** Wait until nothing is being negotiated. */
window.agreed = async () => {
  while (connections.some((connection) => connection.signalingState.startsWith("have"))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

/** Wait until `count` connections have decoded some more frames of video than when this was asked. */
window.framesRise = async (count) => {
  const before = new Map(); // by stream: a connection may have carried another one
  for (;;) {
    const rising = new Set();
    for (const connection of connections) {
      if (connection.connectionState !== "connected") continue;
      for (const report of (await connection.getStats()).values()) {
        if (report.type !== "inbound-rtp" || report.kind !== "video") continue;
        const { framesDecoded, ssrc } = report;
        if (!before.has(ssrc)) before.set(ssrc, framesDecoded);
        if (framesDecoded > before.get(ssrc) + 3) rising.add(connection);
      }
    }
    if (rising.size === count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
"""
"""Has the page's connections within a test's reach; the page itself knows nothing of it."""

IDS = """() => Object.fromEntries([...document.querySelectorAll(".tiles li")]
  .map(tile => [tile.querySelector(".label").textContent, tile.dataset.key]))"""

SMALL = """
const { getUserMedia } = window.MediaDevices?.prototype ?? {};
if (getUserMedia) MediaDevices.prototype.getUserMedia = function ({ audio, video }) {
  return getUserMedia.call(this, {
    audio: audio && { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    video: video && { width: 160, height: 90, frameRate: 5 },
  });
};
"""
"""A camera that two slow cores can encode four times over, and a microphone whose sound is sent as it is."""

NO_SCREEN = """
const camera = () => navigator.mediaDevices.getUserMedia({ video: true });
if (window.MediaDevices) MediaDevices.prototype.getDisplayMedia = camera;
"""
"""A screen for Firefox, which has none to share without a display."""

NO_DEVICES = """
const devices = window.MediaDevices?.prototype ?? {};
devices.getUserMedia = async () => { throw new DOMException("no", "NotAllowedError"); };
"""

RELAYED = """
window.RTCPeerConnection = class extends RTCPeerConnection {
  set onicecandidate(_) {} // nobody learns of a way around the relay
  async addIceCandidate(candidate) {
    const [, ip, port] = / udp \\d+ ([\\d.]+) (\\d+) typ host/i.exec(candidate?.candidate ?? "") ?? [];
    if (!port) return;
    const relayed = `${ip} ${await window.relay(ip, Number(port))}`;
    await super.addIceCandidate({ ...candidate, candidate: candidate.candidate.replace(`${ip} ${port}`, relayed) });
  }
};
"""
"""Leads what the page sends to another through `Network.relay`."""


class Network:
    """The way between one page and the rest: TCP to the daemon, and UDP to the other pages.

    Of several daemons the first that accepts a connection gets it, as behind a balancer.
    """

    def __init__(self, *daemons: Daemon) -> None:
        self._daemons = daemons
        self._is_cut = False
        self._sockets: list[socket.socket] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> "Network":
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._abort()
        for each in self._sockets:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Lose everything on its way from now on, and tell nobody."""
        self._is_cut = True

    def mend(self) -> None:
        """Let new connections through; the old ones are forgotten, as by a router that was switched off."""
        self._is_cut = False
        self._abort()

    def relay(self, ip: str, port: int) -> int:
        """Return a port of the same address that leads to another one, and the answers back."""
        near = self._socket()
        near.bind((ip, 0))
        ways: dict[Any, socket.socket] = {}

        def forth() -> None:
            data, sender = near.recvfrom(65_536)
            if sender not in ways:
                ways[sender] = far = self._socket()
                far.connect((ip, port))
                asyncio.get_running_loop().add_reader(far, back, far, sender)
            if not self._is_cut:
                with contextlib.suppress(OSError):  # the other end is closed
                    ways[sender].send(data)

        def back(far: socket.socket, sender: Any) -> None:
            with contextlib.suppress(OSError):
                data = far.recv(65_536)
                if not self._is_cut:
                    near.sendto(data, sender)

        asyncio.get_running_loop().add_reader(near, forth)
        result: int = near.getsockname()[1]
        return result

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        self._sockets.append(made)
        return made

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        for daemon in self._daemons:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", daemon.port)
                break
        else:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if not self._is_cut:
                    writer.write(data)
                    await writer.drain()
        writer.close()
        self._writers.discard(writer)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class Tab:
    """One person's tab."""

    def __init__(self, page: Page, *, camera: bool, lasts: bool) -> None:
        self.page = page
        self.camera = camera
        self.lasts = lasts
        """Whether it can be used again."""
        self.problems: list[str] = []
        """What the console and the page complained of."""
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def forget_lost(self) -> None:
        """Forget what the browser has said of connections that could not be made, because a test has cut them."""
        self.problems = [problem for problem in self.problems if not LOST.search(problem)]

    async def clear(self) -> None:
        """Go away from the page, which forgets everything; a tab that does not last is closed."""
        if not self.lasts:
            await self.page.context.close()
            return
        await self.page.evaluate("localStorage.clear(), sessionStorage.clear()")
        await self.page.goto("about:blank")

    async def join(self, name: str = "") -> None:
        """Fill in the form and send it."""
        if name:
            await self.page.get_by_label("Your name").fill(name)
        await self.page.get_by_role("button", name="Join", exact=True).click()

    async def enter(self, name: str = "") -> "Tab":
        """Join, and be in."""
        await self.join(name)
        await expect(self.page.locator("#meeting")).to_be_visible()
        return self

    async def told(self, title: str | re.Pattern[str]) -> None:
        """Wait for the notice with this title."""
        await expect(self.page.locator("#notice").get_by_role("heading")).to_have_text(title)

    async def press(self, name: str | re.Pattern[str]) -> None:
        """Press a button by its name."""
        await self.page.get_by_role("button", name=name).click()

    def tile(self, name: str) -> Any:
        """Find a person's tile."""
        return self.page.locator(".tiles li", has_text=name)

    async def ids(self) -> dict[str, str]:
        """Return the participants' ids by the names on their tiles."""
        ids: dict[str, str] = await self.page.evaluate(IDS)
        return ids

    async def sees(self, count: int) -> None:
        """Wait until video of so many others is decoded, and goes on to be."""
        async with asyncio.timeout(PATIENCE):
            await self.page.evaluate("count => framesRise(count)", count)


class Tabs:
    """Opens tabs, each in a profile of its own; they are used again, as making one takes longer than most tests."""

    def __init__(self, browser: Browser, daemon: Daemon) -> None:
        self._browser = browser
        self._daemon = daemon
        self._open: list[Tab] = []
        self._idle: dict[bool, list[Tab]] = {True: [], False: []}
        """Empty tabs with and without a camera."""

    async def open(
        self,
        code: str,
        *,
        user: str = "",
        grants: dict[str, Any] | None = None,
        camera: bool = False,
        network: Network | None = None,
        host: str = "127.0.0.1",
        lasts: bool = True,
    ) -> Tab:
        """Open a link to a room: a user's with a token, which may have grants.

        To browsers the host meet.test is an insecure place. A tab that a test changes for good must not last.
        """
        lasts = lasts and network is None
        tab = self._idle[camera].pop() if lasts and self._idle[camera] else await self._make(camera, network, lasts)
        self._open.append(tab)
        token = f"&token={self._daemon.token(user, name=user.title(), roomd=grants)}" if user else ""
        port = network.port if network else self._daemon.port
        await tab.page.goto(f"http://{host}:{port}/#code={code}{token}")
        return tab

    async def _make(self, camera: bool, network: Network | None, lasts: bool) -> Tab:
        context = await self._browser.new_context()
        if network:
            await context.expose_function("relay", network.relay)
            await context.add_init_script(RELAYED)
        context.set_default_timeout(1000 * PATIENCE)
        screen = NO_SCREEN if self._browser.browser_type.name == "firefox" else ""
        await context.add_init_script(f"{{ {CONNECTIONS} {SMALL if camera else NO_DEVICES} {screen} }}")
        return Tab(await context.new_page(), camera=camera, lasts=lasts)

    async def clear(self) -> None:
        """Leave them all as if they were new; none may have had something to complain of."""
        opened, self._open = self._open, []
        await asyncio.gather(*(tab.clear() for tab in opened))
        for tab in opened:
            if tab.lasts:
                self._idle[tab.camera].append(tab)
        problems = [tab.problems for tab in opened if tab.problems]
        for tab in opened:
            tab.problems = []
        assert problems == [], problems


async def update(daemon: Daemon, code: str, **settings: Any) -> None:
    """Change a room's settings, or end it without any."""
    async with daemon.client("alice") as client:
        reply = await client.ask("update-room" if settings else "end-room", code=code, **settings)
        assert reply["type"] == "room"
