"""The chat: messages reach whom they are for, each once, and are shown as they were meant."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.support.daemon import Daemon, error

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import WebSocketRoute, expect

from tests.support.tabs import Tabs

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_chat(tabs: Tabs, daemon: Daemon) -> None:
    """Messages reach everyone, or the one they are for; unread ones are counted."""
    code = (await daemon.room())["code"]
    ann, ben = await asyncio.gather(*(tabs.open(code) for _ in range(2)))
    for tab, name in ((ann, "Ann"), (ben, "Ben")):
        await tab.enter(name)
    await ann.press("Chat")
    await ann.page.get_by_label("Message", exact=True).fill("Hello all")
    await ann.page.keyboard.press("Enter")
    await expect(ben.page.get_by_role("button", name="Chat, 1 unread")).to_be_visible()
    await ann.page.get_by_label("To", exact=True).select_option("Ben")
    await ann.page.get_by_label("Message", exact=True).fill("Hello Ben")
    await ann.press("Send")
    await expect(ann.page.get_by_role("log")).to_contain_text("only to Ben")
    await ben.press(re.compile("Chat, 2 unread"))
    await expect(ben.page.get_by_role("log").get_by_role("listitem")).to_have_count(2)
    await expect(ben.page.get_by_role("log")).to_contain_text("only to you")
    await ann.page.get_by_label("Message", exact=True).fill("🦋" * 2001)
    await ann.press("Send")
    await expect(ann.page.get_by_role("alert")).to_have_text("2000 characters at most; these are 2001.")
    await ann.page.get_by_label("Message", exact=True).fill("🦋" * 2000)
    await ann.press("Send")
    await expect(ben.page.get_by_role("log")).to_contain_text("🦋" * 2000)


async def test_messages_of_the_service(tabs: Tabs, daemon: Daemon) -> None:
    """They have the name of the token and a mark that nobody in the room can have."""
    code = (await daemon.room())["code"]
    ann = await (await tabs.open(code)).enter("Recorder")
    own = str(await ann.page.locator("#people-list li").first.get_attribute("data-key"))
    async with daemon.client(token=daemon.token("alice", name="Recorder")) as host:
        for fields in ({"text": "It begins"}, {"text": "<b>For you</b>", "to": own}):
            assert await host.ask("send-message", code=code, **fields) == {"type": "ok"}
    await expect(ann.page.locator("#toasts").get_by_text("wrote")).to_have_text(["Recorder wrote 2 messages."])
    await ann.press("Chat, 2 unread")
    log = ann.page.get_by_role("log").get_by_role("listitem")
    await expect(log.locator("p")).to_have_text(["It begins", "<b>For you</b>"])
    await expect(log.locator(".head bdi")).to_have_text(["Recorder", "Recorder"])
    await expect(log.first.locator("i")).to_have_text(["from the service"])
    await expect(log.last.locator("i")).to_have_text(["from the service", "only to you"])


STICKS_OUT = """() => {
  const chat = document.getElementById("chat");
  const { right } = chat.getBoundingClientRect();
  const wide = [...chat.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > right);
  return wide.map((element) => element.outerHTML.slice(0, 80));
}"""


async def test_an_addressee_who_leaves(tabs: Tabs, daemon: Daemon) -> None:
    """What was for one person is for nobody else when that one leaves; people of one name can be told apart."""
    code = (await daemon.room())["code"]
    ann = await (await tabs.open(code)).enter("Ann")
    toasts, to = ann.page.locator("#toasts"), ann.page.get_by_label("To", exact=True)
    text, send = ann.page.get_by_label("Message", exact=True), ann.page.get_by_role("button", name="Send")
    async with daemon.client() as first, daemon.client() as second:
        ids = [(await client.join(code, guestName="Sam"))["participant"]["id"] for client in (first, second)]
        await expect(toasts).to_have_text("Sam, Sam joined.")
        for _ in range(3):
            await second.send("send-message", text="Hello")
        await expect(toasts.get_by_text("wrote")).to_have_text(["Sam wrote 3 messages."])
        await ann.press(re.compile("^Chat"))
        await expect(toasts.get_by_text("wrote")).to_have_count(0)
        await expect(to.locator("option")).to_have_text(["Everyone", "Sam", "Sam (2)"])
        await expect(ann.page.locator("#people-list b")).to_have_text(["Ann", "Sam", "Sam (2)"])
        await to.select_option("Sam (2)")
        await first.events()
        await second.send("leave-room")
        await expect(to.locator("option")).to_have_text(["Everyone", "Sam (2) (left)", "Sam"])
        assert await to.input_value() == ids[1]
        await text.fill("a secret: " + 400 * "x")
        assert await ann.page.evaluate(STICKS_OUT) == []
        await send.click()
        await expect(ann.page.get_by_role("alert")).to_have_text("Sam (2) has left. Choose whom to write to.")
        await to.select_option("Sam")
        await expect(ann.page.get_by_role("alert")).to_have_count(0)
        await send.click()
        await expect(ann.page.get_by_role("log")).to_contain_text("only to Sam")
        said = [event["message"]["to"] for event in await first.events() if event["type"] == "message"]
        assert said == [ids[0]]
        await expect(to.locator("option")).to_have_text(["Everyone", "Sam"])


async def test_an_input_method(tabs: Tabs, daemon: Daemon) -> None:
    """The Enter that ends a composition sends nothing: browsers report it with the key code 229, or as composing."""
    code = (await daemon.room())["code"]
    ann = await (await tabs.open(code)).enter("Ann")
    await ann.press("Chat")
    text = ann.page.get_by_label("Message", exact=True)
    await text.fill("にほん")
    press = """(field, more) => field.dispatchEvent(
      new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...more }))"""
    for more in ({"keyCode": 229}, {"isComposing": True}):
        # An event that the page lets through still has its default action.
        assert await ann.page.evaluate(f"more => ({press})(document.getElementById('chat-text'), more)", more)
    await expect(text).to_have_value("にほん")
    await text.press("Enter")
    await expect(text).to_have_value("")
    await expect(ann.page.get_by_role("log").get_by_role("listitem")).to_have_count(1)


async def test_directions_and_links(tabs: Tabs, daemon: Daemon) -> None:
    """Text has the direction that it is written in, names do not mix with what is around them, and addresses are links
    that tell nothing about this page.
    """
    code = (await daemon.room())["code"]
    ann = await (await tabs.open(code)).enter("Ann")
    await ann.press("Chat")
    arabic, said = "مرحبا", "See https://example.org/a?b=(c). And javascript:alert(1)"
    async with daemon.client() as omar:
        await omar.join(code, guestName="عمر")
        for text in (arabic, said):
            await omar.send("send-message", text=text)
        log = ann.page.get_by_role("log")
        await expect(log.locator("p")).to_have_text([arabic, said])
        directions = "[...document.querySelectorAll('#messages p')].map((text) => getComputedStyle(text).direction)"
        assert await ann.page.evaluate(directions) == ["rtl", "ltr"]
        await expect(log.locator("bdi")).to_have_text(["عمر", "عمر"])
        await expect(ann.tile("عمر").locator("bdi")).to_have_text("عمر")
        await expect(ann.page.locator("#people-list bdi")).to_have_text(["Ann", "عمر"])
        link = log.get_by_role("link")
        await expect(link).to_have_text("https://example.org/a?b=(c)")
        await expect(link).to_have_attribute("rel", "noopener noreferrer")
        await expect(link).to_have_attribute("href", "https://example.org/a?b=(c)")
        field = ann.page.get_by_label("Message", exact=True)
        await field.fill(arabic)
        assert await ann.page.evaluate("getComputedStyle(document.getElementById('chat-text')).direction") == "rtl"
    await expect(ann.page.locator("#toasts bdi").first).to_have_text("عمر")


async def test_a_message_that_turns_up_after_all(tabs: Tabs, daemon: Daemon) -> None:
    """A message that seemed to fail, and then turns up, goes from the field with its error; sent again before that, it
    is the same message.
    """
    code = (await daemon.room())["code"]
    tab = await tabs.open(code, lasts=False)
    held: list[str] = []
    sent: list[dict[str, Any]] = []

    def carry(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def forth(text: str | bytes) -> None:
            frame = json.loads(text)
            if frame["type"] == "send-message":
                sent.append(frame)
                route.send(json.dumps(error("unavailable", id=frame["id"])))
                held.append("")
            server.send(text)

        def back(text: str | bytes) -> None:
            if held and json.loads(text)["type"] in ("ok", "message"):
                held.append(str(text))
            else:
                route.send(text)

        route.on_message(forth)
        server.on_message(back)
        routes.append(route)

    routes: list[WebSocketRoute] = []
    await tab.page.route_web_socket("**", carry)
    await tab.page.reload()
    await tab.enter("Ann")
    await tab.press("Chat")
    field, problem = tab.page.get_by_label("Message", exact=True), tab.page.locator("#chat-error")
    async with daemon.client() as ben:
        await ben.join(code, guestName="Ben")
        await field.fill("Hello")
        for _ in range(2):
            await tab.press("Send")
            await expect(problem).to_have_text("Storage is unavailable, nothing was changed")
        await expect(field).to_have_value("Hello")
        assert sent[0]["clientId"] == sent[1]["clientId"]
        for text in held:
            if text:
                routes[-1].send(text)
        await expect(field).to_have_value("")
        await expect(problem).to_have_text("")
        await expect(tab.page.get_by_role("log").get_by_role("listitem")).to_have_count(1)
        said = [event["message"] for event in await ben.events() if event["type"] == "message"]
        assert [message["text"] for message in said] == ["Hello"]
