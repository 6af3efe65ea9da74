"""Camera, microphone and hand: what a person chose stays, and only that is opened; what goes wrong has a remedy."""

import asyncio
import re

import pytest

from tests.support.daemon import Daemon

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import expect

from tests.support.tabs import Tab, Tabs, update

pytestmark = pytest.mark.asyncio(loop_scope="module")

WATCHED = """
const media = window.MediaDevices.prototype;
const real = media.getUserMedia;
window.opened = [];
window.answers = { audio: null, video: null }; // what to throw instead, by kind; a promise: what to wait for
media.getUserMedia = async function (wanted) {
  for (const kind of ["audio", "video"]) {
    if (!wanted[kind]) continue;
    const answer = await window.answers[kind];
    if (answer) throw new DOMException("as the test has it", answer);
    window.opened.push(kind);
  }
  return real.call(this, wanted);
};
"""
"""Notes which devices the page opens, and can refuse them, as a device that is busy."""


async def watch(tab: Tab) -> None:
    """Note from now on what the page opens, also after a reload."""
    await tab.page.add_init_script(f"{{ {WATCHED} }}")
    await tab.page.reload()
    await expect(tab.page.get_by_role("button", name="Microphone")).to_be_visible()


async def are_off(tab: Tab, *, hand: bool = False) -> None:
    """Check that microphone and camera are off, and were not opened since the page was loaded."""
    for name, on in (("Microphone", False), ("Camera", False), ("Raise your hand", hand)):
        button = tab.page.get_by_role("button", name=name)
        await expect(button).to_have_attribute("aria-pressed", "true" if on else "false")
    assert await tab.page.evaluate("opened") == []


async def test_what_was_switched_off_stays_off(tabs: Tabs, daemon: Daemon) -> None:
    """Camera and microphone that were switched off before joining are not opened by Try again, by a seat that comes
    free, by Join again, by Use it here, or by a reload, and the hand stays up.
    """
    code = (await daemon.room(maxParticipants=2))["code"]
    jane = await tabs.open(code, user="jane", camera=True, lasts=False)
    await expect(jane.page.locator("#preview-video")).to_be_visible()
    for name in ("Microphone", "Camera"):
        await jane.press(name)
    await expect(jane.page.locator("#preview-video")).to_be_hidden()
    await watch(jane)

    await update(daemon, code, isLocked=True)
    await jane.join()
    await jane.told("The room is locked")
    await update(daemon, code, isLocked=False)
    async with daemon.client() as ann, daemon.client() as ben:
        await ann.join(code, guestName="Ann")
        await ben.join(code, guestName="Ben")
        await jane.press("Try again")
        await jane.press("Wait for a seat")
        await jane.told("Waiting for a seat")
        await ann.send("leave-room")
        await expect(jane.page.locator("#meeting")).to_be_visible()
        await are_off(jane)
        me = (await ben.events())[-1]
        assert me["type"] != "message"

    await jane.press("Leave")
    await jane.press("Join again")
    await expect(jane.page.locator("#meeting")).to_be_visible()
    await are_off(jane)
    await jane.press("Raise your hand")
    await expect(jane.tile("Jane").get_by_label("has a hand raised")).to_be_visible()

    other = await (await tabs.open(code, user="jane")).enter()
    await jane.told("You joined from somewhere else")
    await jane.press("Use it here")
    await other.told("You joined from somewhere else")
    await are_off(jane, hand=True)

    await jane.page.reload()
    await expect(jane.page.locator("#meeting")).to_be_visible()
    await are_off(jane, hand=True)
    await expect(jane.tile("Jane").get_by_label("has a hand raised")).to_be_visible()


async def test_what_was_on_comes_back(tabs: Tabs, daemon: Daemon) -> None:
    """After a reload the camera is on again, and the others see it; a microphone that was muted is not opened."""
    code = (await daemon.room())["code"]
    host, jane = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code, camera=True, lasts=False))
    await host.enter()
    await watch(jane)
    await jane.enter("Jane")
    await jane.press("Microphone")
    await host.sees(1)
    await jane.page.reload()
    await expect(jane.page.locator("#meeting")).to_be_visible()
    await expect(jane.page.get_by_role("button", name="Camera")).to_have_attribute("aria-pressed", "true")
    await host.sees(1)
    assert await jane.page.evaluate("opened") == ["video"]
    await expect(host.tile("Jane").get_by_label("muted")).to_be_visible()


async def test_a_camera_that_cannot_be_had(tabs: Tabs, daemon: Daemon) -> None:
    """A camera that is busy or blocked takes nothing from the microphone; the page says what helps."""
    code = (await daemon.room())["code"]
    tab = await tabs.open(code, camera=True, lasts=False)
    await tab.page.add_init_script(f"{{ {WATCHED} }} answers.video = sessionStorage.busy;")
    note = tab.page.locator("#preview-note")
    for error, words in {
        "NotReadableError": "Another program is using the camera. Close that program, then press the camera button.",
        "NotAllowedError": "was not allowed to use the camera. Allow it beside the address of this page",
        "NotFoundError": "No camera was found. Connect one, then press the camera button.",
    }.items():
        await tab.page.evaluate("error => { sessionStorage.busy = error; }", error)
        await tab.page.reload()
        await expect(note).to_contain_text(words)
        await expect(note).to_contain_text("The others will hear you.")
        await expect(tab.page.get_by_role("button", name="Microphone")).to_have_attribute("aria-pressed", "true")
        assert await tab.page.evaluate("opened") == ["audio", "audio"]  # with the camera, and by itself
    await tab.page.evaluate("() => { answers.video = null; }")
    await tab.press("Camera")
    await expect(tab.page.locator("#preview-video")).to_be_visible()
    await expect(note).to_have_text("")


async def test_while_the_browser_asks(tabs: Tabs, daemon: Daemon) -> None:
    """While the browser asks the person, the page says so; what is switched off meanwhile is not opened."""
    code = (await daemon.room())["code"]
    tab = await tabs.open(code, camera=True, lasts=False)
    await tab.page.add_init_script(
        f"{{ {WATCHED} }} answers.audio = answers.video = new Promise((resolve) => {{ window.answer = resolve; }});"
    )
    await tab.page.reload()
    await expect(tab.page.locator("#preview-note")).to_contain_text(
        re.compile("browser asks whether this page may use the (camera and the microphone|microphone and the camera)")
    )
    await tab.press("Camera")
    await tab.page.evaluate("answer()")
    await expect(tab.page.locator("#preview-note")).to_have_text("")
    await expect(tab.page.get_by_role("button", name="Microphone")).to_have_attribute("aria-pressed", "true")
    await expect(tab.page.get_by_role("button", name="Camera")).to_have_attribute("aria-pressed", "false")
    await tab.enter("Jane")
    await tab.page.evaluate("() => { answers.video = new Promise((resolve) => { window.answer = resolve; }); }")
    await tab.press("Camera")
    await expect(tab.page.locator("#toasts")).to_contain_text("The browser asks whether this page may use the camera.")
    await tab.page.evaluate("answer()")
    await expect(tab.page.locator("#toasts")).to_have_text("")
    await expect(tab.page.get_by_role("button", name="Camera")).to_have_attribute("aria-pressed", "true")
