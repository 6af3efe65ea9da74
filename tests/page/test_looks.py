"""How the page looks: nothing sticks out, everything can be read, on a desk and on a phone, by day and by night."""

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.support.daemon import Daemon

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import expect

from tests.support.looks import ACCESSIBLE, AXE, CONTRAST, CUT_OFF, DRAWN, TEXT_SIZE
from tests.support.node import needs_tsc
from tests.support.tabs import Tab, Tabs, update

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCREENSHOTS = Path(__file__).parents[2] / "screenshots" if os.environ.get("TEST_ROOMD_SCREENSHOTS") else None
"""Where pictures of the page are put, when they are wanted: they take half as long as all that is checked of it."""

LOOKS: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    f"{name}-{scheme}": (width, height, scheme)
    for name, width, height in (("desktop", 1280, 800), ("phone", 390, 844), ("narrow", 360, 640))
    for scheme in ("light", "dark")
}
if os.environ.get("TEST_ROOMD_BROWSERS") != "all" and not SCREENSHOTS:  # `make test` leaves half of them out
    LOOKS = {name: LOOKS[name] for name in ("desktop-light", "phone-dark", "narrow-light")}

SMALL: dict[str, tuple[int, int, str]] = {
    "320": (320, 640, "100%"),
    "320-large": (320, 640, "200%"),
    "large": (1280, 800, "200%"),
}
"""The narrowest width of WCAG 2.2, 1.4.10, and text at twice its size, 1.4.4."""


MESSAGES = {
    "Ben": "One moment, I am still looking for the figures of last week.",
    "Cem Öztürk": "Here they are: https://example.org/a-rather-long-address/that-goes-on-and-on/and-on/and-on",
}


async def look(tab: Tab, name: str, wrong: list[str]) -> None:
    """In every width, light and dark: note what sticks out or cannot be read, and take a picture of it."""
    page = tab.page
    is_firefox = page.context.browser is not None and page.context.browser.browser_type.name == "firefox"

    async def check(script: str, look: str) -> None:
        await page.evaluate(DRAWN)
        wrong.extend(f"{name}-{look}: {problem}" for problem in await page.evaluate(script))

    await page.bring_to_front()  # else it may not be drawn
    await page.evaluate("document.getElementById('toasts').hidden = true")  # a late one would be over other things
    if not is_firefox:  # of which 140 crashes when the chat is used after axe-core has run (a fault in libxul)
        await check(ACCESSIBLE, "axe")
    for look, (width, height, scheme) in LOOKS.items():
        if is_firefox and scheme == "dark":
            continue  # Firefox 140 cannot be told which colours to prefer
        await page.set_viewport_size({"width": width, "height": height})
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await check(CUT_OFF, look)
        await check(CONTRAST, look)
        await picture(tab, f"{name}-{look}")
    for look, (width, height, size) in SMALL.items():
        await page.set_viewport_size({"width": width, "height": height})
        await page.evaluate(TEXT_SIZE, size)
        await check(CUT_OFF, look)
        await picture(tab, f"{name}-{look}")
    await page.evaluate(TEXT_SIZE, "")
    await page.evaluate("document.getElementById('toasts').hidden = false")
    await page.set_viewport_size({"width": 1280, "height": 720})
    await page.emulate_media(color_scheme="null", reduced_motion="null")


async def picture(tab: Tab, name: str) -> None:
    """Take a picture, where pictures are wanted."""
    if SCREENSHOTS:
        browser = tab.page.context.browser
        await tab.page.screenshot(
            path=SCREENSHOTS / (browser.browser_type.name if browser else "") / f"{name}.png", caret="initial"
        )


@needs_tsc
async def test_looks(tabs: Tabs, daemon: Daemon) -> None:
    """On phones and desktops, in light and dark, nothing sticks out and text has enough contrast."""
    wrong: list[str] = []
    code = (await daemon.room(name="Weekly planning"))["code"]
    opened = [tabs.open(code, user=user, camera=True, lasts=False) for user in ("alice", "", "")]
    host, jane, emil = await asyncio.gather(*opened)
    for tab in (host, emil):
        await tab.page.add_init_script(path=AXE)
        await tab.page.reload()
    await expect(host.page.locator("#preview-video")).to_be_visible()
    await look(host, "join", wrong)
    await host.enter()
    await look(host, "alone", wrong)
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
        await look(host, "meeting", wrong)
        guest.websocket.transport.abort()
        await expect(host.tile("Cem").get_by_text("Reconnecting…")).to_be_visible()
        await host.press(re.compile("^Chat"))
        await host.page.get_by_label("Message", exact=True).fill("Thank you!")
        await host.press("Send")
        await expect(host.page.get_by_role("log").get_by_role("listitem")).to_have_count(1 + len(MESSAGES))
        await look(host, "chat", wrong)

        await update(daemon, code, waitingRoom=True)
        await (await stack.enter_async_context(daemon.client())).send("join-room", code=code, guestName="Dee")
        await expect(host.page.get_by_role("button", name="People, 1 waiting")).to_be_visible()
        await emil.join("Emil Sørensen")
        await emil.told("Waiting for the host")
        await host.press("People, 2 waiting")
        await look(host, "lobby", wrong)
        await look(emil, "waiting", wrong)
        await host.press("Remove Ben")
        await look(host, "remove", wrong)
        await emil.press("Stop waiting")
        await update(daemon, code, maxParticipants=2, waitingRoom=False)
        await emil.press("Try again")
        await emil.told("The room is full")
        await look(emil, "refusal", wrong)
    assert not wrong, "\n".join(wrong)
