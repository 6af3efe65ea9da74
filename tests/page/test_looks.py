"""How the page looks: nothing sticks out, everything can be read, on a desk and on a phone, by day and by night."""

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.support.daemon import Daemon
from tests.support.needs import needs

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import expect

from tests.support.tabs import Tab, Tabs, update

pytestmark = [needs("chromium", "chromium"), pytest.mark.asyncio(loop_scope="module")]

SCREENSHOTS = Path(__file__).parents[2] / "screenshots" if os.environ.get("ROOMD_TEST_SCREENSHOTS") else None
"""Where pictures of the page are put, when they are wanted: they take half as long as all that is checked of it."""

LOOKS: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    f"{name}-{scheme}": (width, height, scheme)
    for name, width, height in (("desktop", 1280, 800), ("phone", 390, 844), ("narrow", 360, 640))
    for scheme in ("light", "dark")
}

CONTRAST = """() => {
  const luminance = ([r, g, b]) => [r, g, b]
    .map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = parse(getComputedStyle(at).backgroundColor);
      if (alpha > 0.7) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!words || !element.checkVisibility() || element.closest(".visually-hidden, .sprite, :disabled")) continue;
    const pair = [parse(getComputedStyle(element).color), ground(element)].map(luminance);
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (contrast < 4.5) poor.push(`${contrast.toFixed(2)}: ${element.outerHTML.slice(0, 80)}`);
  }
  return poor;
}"""


MESSAGES = {
    "Ben": "One moment, I am still looking for the figures of last week.",
    "Cem Öztürk": "Here they are: https://example.org/a-rather-long-address/that-goes-on-and-on/and-on/and-on",
}


async def look(tab: Tab, name: str) -> None:
    """In every width, light and dark: check that nothing sticks out and all can be read, and take a picture of it."""
    await tab.page.evaluate("document.getElementById('toasts').replaceChildren()")
    for look, (width, height, scheme) in LOOKS.items():
        await tab.page.set_viewport_size({"width": width, "height": height})
        await tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        needed, given = await tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert needed <= given, (name, look)
        assert await tab.page.evaluate(CONTRAST) == [], (name, look)
        if SCREENSHOTS:
            await tab.page.screenshot(path=SCREENSHOTS / f"{name}-{look}.png")
    await tab.page.set_viewport_size({"width": 1280, "height": 720})
    await tab.page.emulate_media(color_scheme="null", reduced_motion="null")


async def test_looks(tabs: Tabs, daemon: Daemon) -> None:
    """On phones and desktops, in light and dark, nothing sticks out and text has enough contrast."""
    code = (await daemon.room(name="Weekly planning"))["code"]
    host, jane, emil = await asyncio.gather(*(tabs.open(code, user=user, camera=True) for user in ("alice", "", "")))
    await expect(host.page.locator("#preview-video")).to_be_visible()
    await look(host, "join")
    await host.enter()
    await look(host, "alone")
    await jane.enter("Jane Smith")
    await jane.press("Raise your hand")
    async with contextlib.AsyncExitStack() as stack:
        for name, text in MESSAGES.items():  # programs, which are guests without pictures
            guest = await stack.enter_async_context(daemon.client())
            await guest.join(code, guestName=name)
            await guest.send("update-participant", state={"muted": True})
            await guest.send("send-message", text=text)
        await expect(host.tile("Jane Smith").get_by_label("has a hand raised")).to_be_visible()
        await expect(host.page.locator(".tiles video:visible")).to_have_count(2)
        await host.sees(1)
        await look(host, "meeting")
        guest.websocket.transport.abort()
        await expect(host.tile("Cem").get_by_text("Reconnecting…")).to_be_visible()
        await host.press(re.compile("^Chat"))
        await host.page.get_by_label("Message", exact=True).fill("Thank you!")
        await host.press("Send")
        await expect(host.page.get_by_role("log").get_by_role("listitem")).to_have_count(1 + len(MESSAGES))
        await look(host, "chat")

        await update(daemon, code, waitingRoom=True)
        await (await stack.enter_async_context(daemon.client())).send("join-room", code=code, guestName="Dee")
        await expect(host.page.get_by_role("button", name="People, 1 waiting")).to_be_visible()
        await emil.join("Emil Sørensen")
        await emil.told("Waiting for the host")
        await host.press("People, 2 waiting")
        await look(host, "lobby")
        await look(emil, "waiting")
        await host.press("Remove Ben")
        await look(host, "remove")
        await emil.press("Stop waiting")
        await update(daemon, code, maxParticipants=2, waitingRoom=False)
        await emil.press("Try again")
        await emil.told("The room is full")
        await look(emil, "refusal")
