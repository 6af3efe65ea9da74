"""The page as people use it: in real Chromium tabs, with fake cameras, against a real daemon."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from tests.support.daemon import UNMEASURED, Daemon, error, serving
from tests.support.needs import needs

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import Browser, WebSocketRoute, expect

from tests.support.tabs import Network, Tab, Tabs, chromium

pytestmark = [needs("chromium", "chromium"), pytest.mark.asyncio(loop_scope="module")]

SCREENSHOTS = Path(__file__).parents[2] / "screenshots" if os.environ.get("ROOMD_TEST_SCREENSHOTS") else None
"""Where pictures of the page are put, when they are wanted: they take half as long as all that is checked of it."""
LOST = re.compile("WebSocket connection to .* failed|ERR_")
"""What a browser says itself of a connection that cannot be made."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each tab has a profile of its own."""
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that soon notices who is gone, with its WebSocket where the page has to be told."""
    path = "/rooms&more"
    folder = tmp_path_factory.mktemp("page")
    with serving(folder, ROOMD_SERVER_PING_INTERVAL="5", ROOMD_SERVER_PATH=path, **UNMEASURED) as daemon:
        daemon.url = f"ws://127.0.0.1:{daemon.port}{path}"
        yield daemon


@pytest.fixture(scope="module")
def all_tabs(browser: Browser, daemon: Daemon) -> Tabs:
    """Tabs that go from test to test."""
    return Tabs(browser, daemon)


@pytest_asyncio.fixture(loop_scope="module")
async def tabs(all_tabs: Tabs) -> AsyncIterator[Tabs]:
    """Tabs that are cleared when the test ends, and had nothing to complain of."""
    yield all_tabs
    await all_tabs.clear()


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
        await jane.page.context.set_offline(True)
        await expect(jane.page.locator("#banner")).to_contain_text("Connection lost")
        await expect(alice.tile("Jane").get_by_text("Reconnecting")).to_be_visible()
        network.mend()
        await jane.page.context.set_offline(False)
        await expect(jane.page.locator("#banner")).to_be_hidden()
        await expect(alice.tile("Jane").get_by_text("Reconnecting")).to_be_hidden()
        await asyncio.gather(alice.sees(1), jane.sees(1))
        assert await alice.ids() == ids

        await asyncio.to_thread(daemon.stop)
        await expect(alice.page.locator("#banner")).to_contain_text("Connection lost")
        await alice.sees(1)  # what goes from one to the other needs no server
        await asyncio.to_thread(daemon.start)
        for tab in (alice, jane):
            await expect(tab.page.locator("#banner")).to_be_hidden()
            await expect(tab.page.locator(".held-note:visible")).to_have_count(0)
        await asyncio.gather(alice.sees(1), jane.sees(1))
        assert await alice.ids() == ids
    for tab in (alice, jane):
        tab.problems = [problem for problem in tab.problems if not LOST.search(problem)]


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


async def update(daemon: Daemon, code: str, **settings: Any) -> None:
    """Change a room's settings, or end it without any."""
    async with daemon.client("alice") as client:
        reply = await client.ask("update-room" if settings else "end-room", code=code, **settings)
        assert reply["type"] == "room"


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
