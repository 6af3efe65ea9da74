"""A meeting in two tabs at two of three nodes, when the node that has its room is killed."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster.daemons import Trio, trio
from tests.support.postgresql import Server

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import Browser, expect

from tests.support.tabs import Network, Tab, Tabs

pytestmark = pytest.mark.asyncio(loop_scope="session")

IS_LONG = os.environ.get("TEST_ROOMD_BROWSERS") == "all"


@pytest.fixture
def three(tmp_path: Path, postgresql: Server) -> Iterator[Trio]:
    """Three daemons that are ready."""
    with trio(tmp_path, postgresql) as made:
        yield made


async def write(tab: Tab, text: str) -> None:
    """Send a message to everyone."""
    await tab.page.get_by_label("Message", exact=True).fill(text)
    await tab.page.keyboard.press("Enter")


async def shows(tab: Tab, *texts: str) -> None:
    """Wait until the chat has these messages, in this order and each once."""
    items = tab.page.get_by_role("log").get_by_role("listitem")
    await expect(items).to_have_count(len(texts))
    for number, text in enumerate(texts):
        await expect(items.nth(number)).to_contain_text(text)


@pytest.mark.parametrize("owner", ["of neither", *(["of Jane"] if IS_LONG else [])])
async def test_the_owner_is_killed(browser: Browser, three: Trio, owner: str) -> None:
    """Video and chat go on, and nobody joins anew: neither where both nodes live on, nor where one of the tabs has lost
    its node and comes back at another one.
    """
    a, b, c = three.daemons.values()
    at_c = Tabs(browser, c)
    code = (await a.room())["code"]
    assert three.owner(code) == "a"
    async with Network(*((a, b) if owner == "of Jane" else (b,))) as network:
        alice = await at_c.open(code, user="alice", camera=True, lasts=False)
        sockets: list[str] = []
        alice.page.on("websocket", lambda opened: sockets.append(opened.url))
        await alice.enter()
        if browser.browser_type.name == "chromium":  # Playwright does not see those of Debian's Firefox
            assert all(url.endswith(f"/ws?room={code}") for url in sockets), "a balancer finds the room there"
            assert sockets
        jane = await (await at_c.open(code, camera=True, network=network)).enter("Jane")
        both = (alice, jane)
        await asyncio.gather(*(tab.sees(1) for tab in both))
        for tab in both:
            await tab.press("Chat")
        await write(alice, "before")
        await shows(jane, "before")
        ids = await alice.ids()
        assert ids.keys() == {"Jane", "Alice (you)"}

        await asyncio.to_thread(a.kill)
        await write(alice, "while it is away")
        await asyncio.gather(*(tab.sees(1) for tab in both))
        await shows(jane, "before", "while it is away")
        await write(jane, "after")
        await shows(alice, "before", "while it is away", "after")
        for tab in both:
            await expect(tab.page.locator("#banner")).to_be_hidden()
            await expect(tab.page.locator(".held-note:visible")).to_have_count(0)
        await asyncio.gather(*(tab.sees(1) for tab in both))
        assert three.owner(code) in ("b", "c")
        assert await alice.ids() == ids
        assert set((await jane.ids()).values()) == set(ids.values())
        for tab in both:
            assert await tab.page.evaluate("connections.length") == 1, "video needed no new connection"
        types = await asyncio.to_thread(three.logged, code)
        assert types[:3] == ["room-created", "participant-joined", "participant-joined"]
        # Jane's seat counts as held if the next owner has had the room before she is back.
        assert types[3:] == [] or (owner == "of Jane" and types[3:] == ["participant-dropped", "participant-returned"])
    for tab in both:
        tab.forget_lost()
    await at_c.clear()
