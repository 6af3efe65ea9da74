"""People: names that look alike, marks of those who are signed in, hands, and where the focus goes."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, serving

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import expect

from tests.support.tabs import Tabs

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIGNED_IN = "[aria-label='signed in']:not([hidden])"


async def test_names_that_look_alike(tabs: Tabs, daemon: Daemon) -> None:
    """Names that look alike have numbers everywhere, users have a mark that guests cannot have, and a guest who is
    called Everyone is not everyone.
    """
    code = (await daemon.room())["code"]
    ann = await (await tabs.open(code)).enter("Ann")
    async with (
        daemon.client(token=daemon.token("jane", name="Jane")) as jane,
        daemon.client() as fake,
        daemon.client() as everyone,
    ):
        await jane.join(code)
        await fake.join(code, guestName="J\u0430ne")
        await everyone.join(code, guestName="Everyone")
        await fake.send("send-message", text="It is me")
        await jane.send("send-message", text="No, me")
        called = ["Ann", "Jane", "J\u0430ne (2)", "Everyone (2)"]
        await ann.press("People")
        rows = ann.page.locator("#people-list li")
        await expect(rows.locator("bdi")).to_have_text(called)
        await expect(rows.filter(has=ann.page.locator(SIGNED_IN))).to_have_text(re.compile("Jane"))
        await expect(ann.page.locator(".tiles bdi")).to_have_text([*called[1:], "Ann"])
        await expect(ann.page.locator(".tiles li", has=ann.page.locator(SIGNED_IN))).to_have_text(re.compile("Jane"))
        await ann.press("Chat")
        groups = {"": ["Everyone"], "Signed in": ["Jane"], "Guests": called[2:]}
        for label, names in groups.items():
            where = f"optgroup[label='{label}'] > option" if label else "> option"
            await expect(ann.page.locator(f"#chat-to {where}" if label else "#chat-to > option")).to_have_text(names)
        heads = ann.page.get_by_role("log").get_by_role("listitem").locator(".head bdi")
        await expect(heads).to_have_text(["J\u0430ne (2)", "Jane"])
        await expect(ann.page.get_by_role("log").locator(SIGNED_IN)).to_have_count(1)


async def test_users_whose_ids_are_hidden(tabs: Tabs, tmp_path: Path) -> None:
    """Where guests see no user ids, they still see who is signed in."""
    with serving(tmp_path, ROOMD_ROOMS_SHOW_USER_IDS="users") as daemon:
        code = (await daemon.room())["code"]
        ann = await tabs.open("", lasts=False)
        await ann.page.goto(f"http://127.0.0.1:{daemon.port}/#{code}")
        await ann.enter("Ann")
        async with daemon.client(token=daemon.token("jane", name="Jane")) as jane:
            await jane.join(code)
            await jane.send("send-message", text="Hello")
            await ann.press("People")
            await expect(ann.page.locator("#people-list li", has_text="Jane").locator("small")).to_have_text("member")
            for row in (ann.page.locator("#people-list li"), ann.page.locator(".tiles li")):
                await expect(row.filter(has=ann.page.locator(SIGNED_IN))).to_have_text(re.compile("Jane"))
            await ann.press("Chat")
            await expect(ann.page.locator("#chat-to optgroup[label='Signed in'] > option")).to_have_text(["Jane"])
            await expect(ann.page.get_by_role("log").locator(SIGNED_IN)).to_have_count(1)
        await ann.page.goto("about:blank")


async def test_a_cohost(tabs: Tabs, daemon: Daemon) -> None:
    """Co-hosts have what hosts have on the page, and are called so, for as long as their token makes them one."""
    code = (await daemon.room(waitingRoom=True))["code"]
    dora = await (await tabs.open(code, user="dora", grants={"room": code, "host": True})).enter()
    async with daemon.client("alice") as host, daemon.client() as guest:
        await host.join(code)
        await guest.ask("join-room", code=code, guestName="Joan")
        await dora.press("People, 1 waiting")
        rows = dora.page.locator("#people-list li")
        await expect(rows.locator("small")).to_have_text(["you, co-host", "host"])
        await dora.press("Admit Joan")
        await expect(rows.locator("small")).to_have_text(["you, co-host", "host", "guest"])
        await expect(dora.page.get_by_role("button", name="Remove Joan")).to_be_visible()
        async with daemon.client(token=daemon.token("dora", name="Dora")) as elsewhere:
            assert (await elsewhere.join(code))["participant"]["role"] == "member"
            await dora.told("You joined from somewhere else")


async def test_a_hidden_admin(tabs: Tabs, daemon: Daemon) -> None:
    """The page shows the room, and sends nothing that a hidden admin may not send."""
    code = (await daemon.room())["code"]
    async with daemon.client("alice") as alice:
        await alice.join(code)
        root = await (await tabs.open(code, user="root", grants={"admin": True, "hidden": True})).enter()
        await expect(root.page.locator("#people-list bdi")).to_have_text(["alice"])
        await alice.ask("send-message", text="Hello")
        await root.press("Chat, 1 unread")
        await expect(root.page.get_by_role("log")).to_contain_text("Hello")
        await root.press("Leave")
    assert "not_allowed" not in "".join(root.problems)


async def test_hands(tabs: Tabs, daemon: Daemon) -> None:
    """Hands are shown in the order they went up, to those as well who come later."""
    code = (await daemon.room())["code"]
    opened = await asyncio.gather(*(tabs.open(code) for _ in range(3)))
    ann, ben, cem = [await tab.enter(name) for tab, name in zip(opened, ("Ann", "Ben", "Cem"), strict=True)]
    for number, tab in enumerate((cem, ann, ben), 1):
        await tab.press("Raise your hand")
        await expect(ann.page.locator(".tiles .raised:visible")).to_have_count(number)
    dee = await (await tabs.open(code)).enter("Dee")
    for tab in (ann, dee):
        await tab.press("People")
        await expect(tab.page.locator("#hands-list bdi")).to_have_text(["Cem", "Ann", "Ben"])
        await expect(tab.tile("Ben").locator(".raised b")).to_have_text("3")
    await cem.press("Raise your hand")
    await expect(dee.page.locator("#hands-list bdi")).to_have_text(["Ann", "Ben"])


async def test_focus_after_admit_and_remove(tabs: Tabs, daemon: Daemon) -> None:
    """When the row of a pressed button goes, the focus goes to the next row, and at the end to the heading."""
    code = (await daemon.room(waitingRoom=True))["code"]
    host = await (await tabs.open(code, user="alice")).enter()
    await host.page.bring_to_front()

    async with daemon.client() as ann, daemon.client() as ben, daemon.client() as cem:
        for client, name in ((ann, "Ann"), (ben, "Ben"), (cem, "Cem")):
            await client.ask("join-room", code=code, guestName=name)
        await host.press("People, 3 waiting")
        await host.press("Admit Ben")
        await expect(host.page.get_by_role("button", name="Admit Cem")).to_be_focused()
        await host.page.keyboard.press("Enter")
        await expect(host.page.get_by_role("button", name="Admit Ann")).to_be_focused()
        await host.page.keyboard.press("Enter")
        await expect(host.page.locator("#present-title")).to_be_focused()
        for name, following in (("Ben", "Remove Cem"), ("Cem", "Remove Ann"), ("Ann", "")):
            await host.press(f"Remove {name}")
            await host.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
            next_one = (
                host.page.get_by_role("button", name=following) if following else host.page.locator("#present-title")
            )
            await expect(next_one).to_be_focused()
