"""Peer links: the page makes no more than it can carry, and none with a program that does not answer."""

import asyncio
import contextlib
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import expect

from tests.support.processes import PATIENCE
from tests.support.tabs import Tab, Tabs

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_LINKS = 24
TRIES = 3

PATIENT = """
const { setTimeout: real, clearTimeout: stop } = window;
let last = 0;
const held = new Map();
window.setTimeout = (call, delay, ...rest) => {
  if (!/(link|mesh)\\.js/.test(new Error().stack) || delay < 10000) return real(call, delay, ...rest);
  held.set(--last, { call, delay });
  return last;
};
window.clearTimeout = (id) => held.delete(id) || stop(id);
/** Run what the links would do after so many milliseconds. */
window.lose = (patience) => {
  for (const [id, { call, delay }] of [...held]) {
    if (delay > patience || !held.delete(id)) continue;
    call();
  }
};
window.offers = () => connections.filter((one) => one.signalingState === "have-local-offer").length;
window.become = async (what, count) => {
  while (window[what]() !== count) await new Promise((resolve) => real(resolve, 20));
};
window.live = () => connections.filter((one) => one.signalingState !== "closed").length;
"""
"""Holds the timers of the links until a test lets them end; the client's own timers run as always."""


async def patient(tabs: Tabs, code: str, name: str) -> Tab:
    """Open a tab whose links wait until the test says so, and join."""
    tab = await tabs.open(code, lasts=False)
    await tab.page.add_init_script(f"{{ {PATIENT} }}")
    await tab.page.reload()
    return await tab.enter(name)


async def become(tab: Tab, what: str, count: int) -> None:
    """Wait until the page has so many of these connections."""
    async with asyncio.timeout(PATIENCE):
        await tab.page.evaluate("([what, count]) => become(what, count)", [what, count])


async def silence(tab: Tab) -> None:
    """Leave the offer to one who does not answer without one for as often as the page tries."""
    for _ in range(TRIES):
        await become(tab, "offers", 1)
        await tab.page.evaluate("lose(10000)")


async def signal(client: Client, to: str, data: dict[str, Any]) -> None:
    """Send a signal, and check that it is delivered; take what comes before the reply."""
    await client.send("signal", id="signal", to=to, data=data)
    while (frame := await client.receive()).get("id") != "signal":
        pass
    assert frame["type"] == "ok", frame


async def test_the_number_of_links_is_bounded(tabs: Tabs, daemon: Daemon) -> None:
    """A page has at most 24 links, and says who is not connected; when somebody leaves the next one gets a link."""
    code = (await daemon.room())["code"]
    ann = await patient(tabs, code, "Ann")
    line = ann.page.locator("#without-video")
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(MOST_LINKS + 2):
            client = await stack.enter_async_context(daemon.client())
            await client.join(code, guestName=f"Guest {number}")
            clients.append(client)
        await expect(line).to_have_text("Not connected by video: Guest 24, Guest 25")
        await become(ann, "offers", MOST_LINKS)
        await clients[0].send("leave-room")
        await expect(line).to_have_text("Not connected by video: Guest 25")
        await become(ann, "offers", MOST_LINKS)
        assert await ann.page.evaluate("connections.length") == MOST_LINKS + 1


async def test_the_silent_have_no_link(tabs: Tabs, daemon: Daemon) -> None:
    """After three offers without an answer the link is closed, and none begins when the peer drops and is back. A
    request to begin again gets one offer.
    """
    code = (await daemon.room())["code"]
    ann = await patient(tabs, code, "Ann")
    line = ann.page.locator("#without-video")
    async with daemon.client() as client:
        joined = await client.join(code, guestName="Program")
        await expect(ann.tile("Program")).to_be_visible()
        await silence(ann)
        await expect(line).to_have_text("Not connected by video: Program")
        client.websocket.transport.abort()
        await expect(ann.tile("Program").get_by_text("Reconnecting")).to_be_visible()
        await expect(line).to_be_hidden()
    async with daemon.client() as client:
        assert (await client.ask("resume", resumeToken=joined["resumeToken"]))["type"] == "participant"
        await expect(line).to_have_text("Not connected by video: Program")
        assert await ann.page.evaluate("[connections.length, live()]") == [TRIES, 0]
        own = (await ann.ids())["Ann (you)"]
        for made in (TRIES + 1, TRIES + 2):
            await signal(client, own, {"generation": None, "restart": True})
            await become(ann, "offers", 1)
            await expect(line).to_be_hidden()
            await ann.page.evaluate("lose(10000)")
            await expect(line).to_be_visible()
            assert await ann.page.evaluate("[connections.length, live()]") == [made, 0]


async def test_the_first_offer_of_a_program(tabs: Tabs, daemon: Daemon) -> None:
    """Who should have made the first offer and has made none is shown as not connected, until the offer comes."""
    code = (await daemon.room())["code"]
    async with daemon.client() as client:
        await client.join(code, guestName="Program")
        ann = await patient(tabs, code, "Ann")
        line = ann.page.locator("#without-video")
        await expect(ann.tile("Program")).to_be_visible()
        await expect(line).to_be_hidden()
        await ann.page.evaluate("lose(30000)")
        await expect(line).to_have_text("Not connected by video: Program")
        own = (await ann.ids())["Ann (you)"]
        sdp = await ann.page.evaluate("""async () => {
          const other = new RTCPeerConnection();
          other.addTransceiver("audio");
          await other.setLocalDescription();
          const { sdp } = other.localDescription;
          other.close();
          return sdp;
        }""")
        await signal(client, own, {"generation": "1", "description": {"type": "offer", "sdp": sdp}})
        await expect(line).to_be_hidden()
