"""The way in: the form, refusals, waiting, reloading, and the page without a camera or a mouse."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.support.daemon import Daemon, error
from tests.support.needs import needs

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import WebSocketRoute, expect

from tests.support.tabs import Tabs, update

pytestmark = [needs("chromium", "chromium"), pytest.mark.asyncio(loop_scope="module")]

REFUSALS: dict[str, dict[str, Any]] = {
    "The room is locked": {"isLocked": True},
    "The meeting is over": {},
    "Members only": {"allowGuestAccess": False},
}


async def test_refusals(tabs: Tabs, daemon: Daemon) -> None:
    """A refusal is said in words, and leads back to the form; another link leads to another room."""
    tab = await tabs.open("")
    await tab.page.get_by_label("Your name").fill("Jane")
    for title, settings in REFUSALS.items():
        code = (await daemon.room())["code"]
        await update(daemon, code, **settings)
        await tab.page.evaluate("code => { location.hash = code }", code)
        await expect(tab.page.get_by_label("Room code")).to_have_value(code)
        await tab.join()
        await tab.told(title)
        await tab.page.get_by_role("button", name=re.compile("^Back")).click()
        await expect(tab.page.get_by_label("Your name")).to_have_value("Jane")


async def test_a_form_that_is_wrong(tabs: Tabs, daemon: Daemon) -> None:
    """What is wrong with the form is said beside the field, which gets the focus."""
    tab = await tabs.open("")
    name, code = tab.page.get_by_label("Your name"), tab.page.get_by_label("Room code")
    await tab.join()
    await expect(tab.page.get_by_text("Enter your name.")).to_be_visible()
    await expect(name).to_be_focused()
    await code.fill("abc")
    await tab.join("Jane")
    await expect(tab.page.get_by_text("A room code has nine letters, like abc-def-ghi.")).to_be_visible()
    await expect(code).to_be_focused()
    await code.fill("abc-def-ghi")
    await tab.join("Jane")
    await expect(tab.page.get_by_text("There is no room with this code.")).to_be_visible()
    await code.fill((await daemon.room())["code"].replace("-", " ").upper())
    await tab.join("Ja\u202ene")
    await expect(tab.page.get_by_text("1 to 50 characters, none of them invisible, please.")).to_be_visible()
    await tab.page.get_by_text("I am the host").click()
    await tab.page.get_by_label("Token").fill("not.a.token")
    await expect(name).to_be_hidden()
    await tab.join()
    await expect(tab.page.get_by_text("This token is not valid")).to_be_visible()
    assert await tab.page.evaluate("sessionStorage.length") == 0
    await tab.page.goto(f"http://127.0.0.1:{daemon.port}/?room={await code.input_value()}")
    await expect(tab.page.get_by_label("Token")).to_have_value("")
    await tab.enter("Jane")


async def test_waiting_for_a_seat(tabs: Tabs, daemon: Daemon) -> None:
    """A full room offers to wait for a seat; who waits comes in once one is free."""
    code = (await daemon.room(maxParticipants=2))["code"]
    cem, dee = await asyncio.gather(tabs.open(code), tabs.open(code, lasts=False))
    async with daemon.client() as ann, daemon.client() as ben:
        for client, name in ((ann, "Ann"), (ben, "Ben")):
            await client.join(code, guestName=name)
        for tab, name in ((cem, "Cem"), (dee, "Dee")):
            await tab.join(name)
            await tab.told("The room is full")
            await tab.press("Wait for a seat")
            await tab.told("Waiting for a seat")
        await expect(dee.page.locator("#notice-position")).to_have_text("2")
        await ann.send("leave-room")
        await expect(cem.page.locator("#meeting")).to_be_visible()
        await expect(dee.page.locator("#notice-position")).to_have_text("1")
    await dee.press("Stop waiting")
    await dee.told("You stopped waiting")

    await dee.page.route_web_socket("**", refuse)  # as a daemon with a hundred who wait
    await dee.page.reload()
    await dee.join()
    await dee.press("Wait for a seat")
    await expect(dee.page.locator("#notice-text")).to_have_text("100 people wait already.")
    await expect(dee.page.locator("#notice").get_by_role("button")).to_have_text(["Try again", "Back"])


def refuse(route: WebSocketRoute) -> None:
    """Have neither a seat nor a place in the queue."""

    def answer(text: str | bytes) -> None:
        request = json.loads(text)
        said = error("room_full", "100 people wait already" if request.get("wait") else None, id=request["id"])
        route.send(json.dumps(said))

    route.on_message(answer)


async def test_reload(tabs: Tabs, daemon: Daemon) -> None:
    """Who reloads leaves no ghost: a guest leaves, a user takes the same seat again, with a token that is not in the
    address but known until the user leaves. Who joins in another tab takes the seat there, and the first does not fight
    for it.
    """
    code = (await daemon.room())["code"]
    alice, jane, bob = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code), tabs.open(code, user="bob"))
    for tab, name in ((alice, ""), (jane, "Jane"), (bob, "")):
        await tab.enter(name)
    assert bob.page.url == f"http://127.0.0.1:{daemon.port}/#{code}"
    ids = await alice.ids()
    await jane.page.reload()
    await expect(alice.tile("Jane")).to_have_count(0)
    await expect(jane.page.get_by_label("Your name")).to_have_value("Jane")
    await bob.page.reload()
    await bob.enter()
    await expect(alice.tile("Bob").locator(".held-note")).to_be_hidden()
    assert (await alice.ids())["Bob"] == ids["Bob"]
    other = await (await tabs.open(code, user="bob")).enter()
    await bob.told("You joined from somewhere else")
    await expect(other.page.locator(".tiles li")).to_have_count(2)
    assert (await alice.ids())["Bob"] == ids["Bob"]
    await other.press("Leave")
    await other.told("You left the meeting")
    await other.page.reload()
    await expect(other.page.get_by_label("Your name")).to_be_visible()


async def test_without_camera_and_microphone(tabs: Tabs, daemon: Daemon) -> None:
    """Who has no camera, or allows none, is told why and joins all the same, and sees the others."""
    code = (await daemon.room())["code"]
    seen = await (await tabs.open(code, camera=True)).enter("Jane")
    viewer = await tabs.open(code)
    await expect(viewer.page.get_by_text("You can join and watch.")).to_be_visible()
    await viewer.enter("Ben")
    await viewer.sees(1)
    await expect(seen.tile("Ben").locator(".avatar")).to_have_text("B")
    await viewer.press("Camera")
    await expect(viewer.page.locator("#toasts")).to_contain_text("was not allowed to use the camera")


async def test_on_an_insecure_page(tabs: Tabs, daemon: Daemon) -> None:
    """Without https:// there is no camera to be had: that is said, and everything else works."""
    code = (await daemon.room())["code"]
    tab = await tabs.open(code, camera=True, host="meet.test")
    await expect(tab.page.get_by_text("only to https:// pages")).to_be_visible()
    await tab.enter("Jane")
    await tab.page.locator("#copy-link").click()
    await expect(tab.page.locator("#toasts")).to_have_text(f"http://meet.test:{daemon.port}/#{code}")


async def test_by_keyboard(tabs: Tabs, daemon: Daemon) -> None:
    """Everything can be reached and used without a mouse; Escape closes, and the focus goes back to where it was."""
    code = (await daemon.room())["code"]
    tab = await tabs.open(code, user="alice")
    await expect(tab.page.get_by_role("button", name="Join", exact=True)).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("button", name="Microphone")).to_be_focused()
    for name in ("Camera", "Share the screen", "Raise your hand", "Chat", "People", "Leave"):
        await tab.page.keyboard.press("Tab")
        await expect(tab.page.get_by_role("button", name=name, exact=True)).to_be_focused()
    await tab.page.keyboard.press("Shift+Tab")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("button", name="Close people")).to_be_focused()
    await tab.page.keyboard.press("Tab")
    await expect(tab.page.get_by_label("Lock the room")).to_be_focused()
    await tab.page.keyboard.press("Space")
    await expect(tab.page.get_by_text("Locked", exact=True)).to_be_visible()
    await expect(tab.page.get_by_label("Lock the room")).to_be_focused()
    await tab.page.keyboard.press("Escape")
    await expect(tab.page.locator("#people")).to_be_hidden()
    await expect(tab.page.get_by_role("button", name="People", exact=True)).to_be_focused()
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("dialog")).to_be_visible()
    await tab.page.keyboard.press("Escape")
    await expect(tab.page.get_by_role("button", name="Leave", exact=True)).to_be_focused()
