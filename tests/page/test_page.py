"""The page as people use it: in real Chromium tabs, with fake cameras, against a real daemon."""

import asyncio
import re

import pytest

from tests.support.daemon import Daemon

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import expect

from tests.support.tabs import Network, Tabs

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_video_survives_the_network_and_a_restart(tabs: Tabs, daemon: Daemon) -> None:
    """One of two loses the network, keeps the seat, and is seen again; so are both after a restart of the daemon."""
    code = (await daemon.room())["code"]
    async with Network(daemon) as network:
        alice = await (await tabs.open(code, user="alice", camera=True)).enter()
        jane = await (await tabs.open(code, camera=True, network=network)).enter("Jane")
        await asyncio.gather(alice.sees(1), jane.sees(1))
        ids = await alice.ids()
        assert ids.keys() == {"Jane", "Alice (you)"}

        network.cut()
        await jane.page.evaluate("dispatchEvent(new Event('offline'))")
        await expect(jane.page.locator("#banner")).to_contain_text("Connection lost")
        await expect(alice.tile("Jane").get_by_text("Reconnecting")).to_be_visible()
        network.mend()
        await jane.page.evaluate("dispatchEvent(new Event('online'))")
        await expect(jane.page.locator("#banner")).to_be_hidden()
        await expect(alice.tile("Jane").get_by_text("Reconnecting")).to_be_hidden()
        await asyncio.gather(alice.sees(1), jane.sees(1))
        assert await alice.ids() == ids

        await asyncio.to_thread(daemon.stop)
        await expect(alice.page.locator("#banner")).to_contain_text("Connection lost")
        await alice.sees(1)  # what goes from one to the other needs no server
        await asyncio.to_thread(daemon.start)
        await jane.page.evaluate("dispatchEvent(new Event('online'))")  # else her next try may be seconds away
        for tab in (alice, jane):
            await expect(tab.page.locator("#banner")).to_be_hidden()
            await expect(tab.page.locator(".held-note:visible")).to_have_count(0)
        await asyncio.gather(alice.sees(1), jane.sees(1))
        assert await alice.ids() == ids
    for tab in (alice, jane):
        tab.forget_lost()


async def test_four_see_each_other(tabs: Tabs, daemon: Daemon) -> None:
    """Four people: everyone decodes the video of the three others."""
    code = (await daemon.room())["code"]
    opened = await asyncio.gather(*(tabs.open(code, camera=True) for _ in range(4)))
    await asyncio.gather(*(tab.enter(name) for tab, name in zip(opened, ("Ann", "Ben", "Cem", "Dee"), strict=True)))
    await asyncio.gather(*(tab.sees(3) for tab in opened))
    await opened[0].press("Leave")
    await opened[0].told("You left the meeting")
    await asyncio.gather(*(tab.sees(2) for tab in opened[1:]))


async def test_switches(tabs: Tabs, daemon: Daemon) -> None:
    """Microphone, camera and hand: the others see what is on, and a camera switched on later; and when both sides offer
    at the same moment one gives way. All goes over one connection.
    """
    code = (await daemon.room())["code"]
    host, jane = await asyncio.gather(tabs.open(code, user="alice", camera=True), tabs.open(code, camera=True))
    await host.enter()
    camera = jane.page.get_by_role("button", name="Camera")
    await expect(camera).to_have_attribute("aria-pressed", "true")  # a press before that would not close it
    await jane.press("Camera")
    await jane.enter("Jane")
    tile = host.tile("Jane")
    await expect(tile.locator(".avatar")).to_have_text("J")
    await expect(tile.locator("video")).to_be_hidden()
    await jane.sees(1)
    await jane.press("Camera")
    await expect(tile.locator("video")).to_be_visible()
    await host.sees(1)
    await jane.press("Raise your hand")
    await expect(tile.get_by_label("has a hand raised")).to_be_visible()
    await expect(tile.get_by_label("muted")).to_be_hidden()
    await jane.press("Share the screen")
    await expect(host.page.locator(".tiles li.sharing")).to_contain_text("Jane")
    await host.sees(1)
    await jane.press("Share the screen")
    await expect(host.page.locator(".tiles li.sharing")).to_have_count(0)
    await host.press("People")
    await host.press("Ask Jane to mute")
    await expect(jane.page.get_by_role("button", name="Microphone")).to_have_attribute("aria-pressed", "false")
    await expect(tile.get_by_label("muted")).to_be_visible()

    both = (host, jane)
    for _ in range(5):
        await asyncio.gather(*(tab.page.evaluate("connections[0].restartIce()") for tab in both))
    await asyncio.gather(*(tab.page.evaluate("agreed()") for tab in both))
    await asyncio.gather(*(tab.sees(1) for tab in both))
    assert [await tab.page.evaluate("connections.length") for tab in both] == [1, 1]


async def test_the_host(tabs: Tabs, daemon: Daemon) -> None:
    """The host lets in and declines who waits, locks the room, removes with a ban, and ends the meeting."""
    code = (await daemon.room(waitingRoom=True))["code"]
    host, bob, jane = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code, user="bob"), tabs.open(code))
    await host.enter()
    await bob.join()
    await bob.told("Waiting for the host")
    await expect(bob.page.locator("#notice")).to_contain_text("You are next")
    await jane.join("Jane")
    await expect(jane.page.locator("#notice")).to_contain_text("1 person is before you")
    await host.press("Show")  # of the toast
    await host.press("Admit Bob")
    await expect(bob.page.locator("#meeting")).to_be_visible()
    await expect(jane.page.locator("#notice-position")).to_have_text("1")
    await host.press("Deny Jane")
    await jane.told("You were not let in")

    await host.page.get_by_label("Waiting room").uncheck()
    await host.page.get_by_label("Lock the room").check()
    await expect(bob.page.get_by_text("Locked", exact=True)).to_be_visible()
    await jane.press("Try again")
    await jane.told("The room is locked")

    await host.press("Remove Bob")
    await host.press("Cancel")
    await host.press("Remove Bob")
    await host.page.get_by_label("and ban").check()
    await host.page.get_by_label("Reason").fill("No <b>spam</b>")
    await host.page.keyboard.press("Enter")
    await bob.told("You were removed")
    await expect(bob.page.locator("#notice")).to_contain_text("No <b>spam</b>")
    await host.page.get_by_label("Lock the room").uncheck()
    await bob.press("Back to the start")
    await bob.join()
    await bob.told("You cannot come back")
    await jane.press("Try again")
    await expect(jane.page.locator("#meeting")).to_be_visible()

    await host.press("Leave")
    await host.press("End for everyone")
    for tab in (host, jane):
        await tab.told("The meeting has ended")


async def test_names_and_messages_are_text(tabs: Tabs, daemon: Daemon) -> None:
    """Whatever a name or a message contains is shown as it is, and does nothing."""
    code = (await daemon.room(name="<script>alert(0)</script>"))["code"]
    name, text = "<img src=x onerror=alert(1)>", "</p><script>alert(2)</script><style>*{display:none}</style>"
    host = await (await tabs.open(code, user="alice")).enter()
    guest = await (await tabs.open(code)).enter(name)
    for tab in (host, guest):
        await tab.press("Chat")
    await guest.page.get_by_label("Message", exact=True).fill(text)
    await guest.press("Send")
    for tab in (host, guest):
        await expect(tab.page.get_by_role("heading", name="<script>alert(0)</script>")).to_be_visible()
        await expect(tab.tile(name)).to_be_visible()
        await expect(tab.page.get_by_role("log").locator("p")).to_have_text(text)
        assert await tab.page.locator("main img, li img, li script, li style").count() == 1  # the sign at the entrance
    await host.press("People")
    await host.press(re.compile("^Remove"))
    await expect(host.page.get_by_role("dialog")).to_contain_text(f"Remove {name}?")
