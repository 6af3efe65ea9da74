"""Coming back: after a reload, a crash, back and forward, in another tab, and from outside a locked room."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.daemon import Daemon

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import Browser, expect

from tests.support.tabs import Tab, Tabs, update

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def is_back(tab: Tab, watcher: Tab, name: str, ids: dict[str, str]) -> None:
    """Wait until a tab is in the meeting again: the same participant, who is shown once."""
    await expect(tab.page.locator("#meeting")).to_be_visible()
    await expect(tab.tile(name)).to_have_count(1)
    await expect(watcher.tile(name)).to_have_count(1)
    await expect(watcher.tile(name).locator(".held-note")).to_be_hidden()
    assert (await watcher.ids())[name] == ids[name]


async def test_a_reload_keeps_the_seat(tabs: Tabs, daemon: Daemon) -> None:
    """Who reloads is in the meeting again by themselves, a guest as well as a user: also when the room is locked or
    full by now, and by back and forward.
    """
    code = (await daemon.room())["code"]
    alice, jane, bob = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code), tabs.open(code, user="bob"))
    for tab, name in ((alice, ""), (jane, "Jane"), (bob, "")):
        await tab.enter(name)
    assert bob.page.url == f"http://127.0.0.1:{daemon.port}/#{code}"
    await expect(alice.page.locator(".tiles li")).to_have_count(3)
    ids = await alice.ids()
    await update(daemon, code, isLocked=True, maxParticipants=3)
    for tab, name in ((jane, "Jane"), (bob, "Bob")):
        await tab.page.reload()
        await is_back(tab, alice, name, ids)
    await jane.page.goto("about:blank")
    await jane.page.go_back()
    await is_back(jane, alice, "Jane", ids)
    await jane.press("Leave")
    await jane.told("You left the meeting")
    await jane.page.reload()
    await expect(jane.page.get_by_label("Your name")).to_have_value("Jane")


async def test_a_reload_keeps_the_place_in_the_queue(tabs: Tabs, daemon: Daemon) -> None:
    """Who waits for the host and reloads still waits; who was admitted and reloads is in."""
    code = (await daemon.room(waitingRoom=True))["code"]
    host, jane = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code))
    await host.enter()
    await jane.join("Jane")
    await jane.told("Waiting for the host")
    await jane.page.reload()
    await jane.told("Waiting for the host")
    await host.press("People, 1 waiting")
    await expect(host.page.locator("#lobby-list li")).to_have_count(1)
    await host.press("Admit Jane")
    await expect(jane.page.locator("#meeting")).to_be_visible()
    await jane.page.reload()
    await expect(jane.page.locator("#meeting")).to_be_visible()


async def test_a_tab_that_is_not_told(tabs: Tabs, daemon: Daemon) -> None:
    """A reload resumes also when nothing was sent or kept as the page went: a crash gives no notice."""
    code = (await daemon.room())["code"]
    alice, jane = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code))
    for tab, name in ((alice, ""), (jane, "Jane")):
        await tab.enter(name)
    await expect(alice.page.locator(".tiles li")).to_have_count(2)
    ids = await alice.ids()
    await jane.page.evaluate("""["pagehide", "beforeunload", "unload", "visibilitychange"].forEach((type) =>
      addEventListener(type, (event) => event.stopImmediatePropagation(), true))""")
    await jane.page.reload()
    await is_back(jane, alice, "Jane", ids)


async def test_a_duplicated_tab(tabs: Tabs, daemon: Daemon) -> None:
    """A second tab, with a copy of what the first one keeps, leaves the seat where it is and asks for a name."""
    code = (await daemon.room())["code"]
    alice, jane = await asyncio.gather(tabs.open(code, user="alice"), tabs.open(code, lasts=False))
    for tab, name in ((alice, ""), (jane, "Jane")):
        await tab.enter(name)
    await expect(alice.page.locator(".tiles li")).to_have_count(2)
    async with jane.page.expect_popup() as popup:
        await jane.page.evaluate("void open(location.href)")
    copy = await popup.value
    assert await copy.evaluate("sessionStorage.length") > 0
    await expect(copy.get_by_label("Your name")).to_have_value("Jane")
    await expect(jane.page.locator("#meeting")).to_be_visible()
    await expect(alice.page.locator(".tiles li")).to_have_count(2)


async def test_a_closed_tab(tabs: Tabs, daemon: Daemon) -> None:
    """Who closes the tab is gone after some seconds, though the daemon holds seats for an hour."""
    code = (await daemon.room())["code"]
    alice, jane, bob = await asyncio.gather(
        tabs.open(code, user="alice"), tabs.open(code, lasts=False), tabs.open(code, user="bob", lasts=False)
    )
    for tab, name in ((alice, ""), (jane, "Jane"), (bob, "")):
        await tab.enter(name)
    await expect(alice.page.locator(".tiles li")).to_have_count(3)
    for tab, name in ((jane, "Jane"), (bob, "bob")):  # one after the other: a browser waits half a second for a page
        await tab.page.close(run_before_unload=True)  # as by a person: the page is told before it goes
        await expect(alice.page.locator(".tiles li", has_text=name).locator(".held-note")).to_be_visible()
    await expect(alice.page.locator(".tiles li")).to_have_count(1)


async def test_in_another_tab(tabs: Tabs, daemon: Daemon) -> None:
    """Who joins in another tab takes the seat there; the first does not fight for it, and takes it back by a button."""
    code = (await daemon.room())["code"]
    bob, other = await asyncio.gather(*(tabs.open(code, user="bob") for _ in range(2)))
    await bob.enter()
    ids = await bob.ids()
    await other.enter()
    await bob.told("You joined from somewhere else")
    assert await other.ids() == ids
    await bob.press("Use it here")
    await expect(bob.page.locator("#meeting")).to_be_visible()
    await other.told("You joined from somewhere else")
    assert await bob.ids() == ids


async def test_the_host_unlocks_from_outside(browser: Browser, make_daemon: Callable[..., Daemon]) -> None:
    """A host whose own locked room does not let them in is offered to unlock it; nobody else is."""
    daemon = make_daemon(ROOMD_ROOMS_HOST_PASSES_LOCK="false")
    tabs = Tabs(browser, daemon)
    code = (await daemon.room())["code"]
    await update(daemon, code, isLocked=True)
    host, bob = await asyncio.gather(*(tabs.open(code, user=user, lasts=False) for user in ("alice", "bob")))
    for tab in (bob, host):
        await tab.join()
        await tab.told("The room is locked")
    buttons = host.page.locator("#notice").get_by_role("button")
    await expect(buttons).to_have_text(["Unlock and join", "Try again", "Back"])
    await host.press("Unlock and join")
    await expect(host.page.locator("#meeting")).to_be_visible()
    await expect(host.page.locator("#locked")).to_be_hidden()
    await expect(bob.page.locator("#notice").get_by_role("button")).to_have_text(["Try again", "Back"])
    await tabs.clear()
