"""The way in: the form, refusals, waiting, reloading, and the page without a camera or a mouse."""

import asyncio
import json
import re
import time
import uuid
from typing import Any

import jwt
import pytest

from tests.support.daemon import SECRET, Daemon, error

pytest.importorskip("playwright", reason="needs Playwright for Python: `make test` installs it")

from playwright.async_api import WebSocketRoute, expect

from tests.support.prefix import below
from tests.support.tabs import Tabs, update

pytestmark = pytest.mark.asyncio(loop_scope="session")

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
    await expect(tab.page.get_by_text("A room code has nine letters or more, like abc-def-ghi.")).to_be_visible()
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
    assert await tab.page.evaluate("Object.keys(sessionStorage).filter(key => key.includes('token'))") == []
    await tab.page.goto(f"http://127.0.0.1:{daemon.port}/?room={await code.input_value()}")
    await expect(tab.page.get_by_label("Token")).to_have_value("")
    await tab.enter("Jane")


async def test_a_whole_link_in_the_field(tabs: Tabs, daemon: Daemon) -> None:
    """The field for the code takes a link of any length, and a code with whatever stands around it."""
    code = (await daemon.room())["code"]
    tab = await tabs.open("")
    field = tab.page.get_by_label("Room code")
    for typed in (
        f"https://meetings.my-organisation.example.org/rooms/of/the/board/#{code}",
        f"https://meet.example/rooms/#code={code}&token=",
        f"({code.replace('-', chr(0x2013)).upper()}).\u200b",
    ):
        await field.fill(typed)
        assert await field.input_value() == typed
        await tab.enter("Jane")
        await tab.press("Leave")
        await tab.press("Back to the start")
        await expect(field).to_have_value(code)
    await field.fill(f"https://meet.example/#code={code}&token={daemon.token('bob', name='Bob')}")
    await tab.enter()
    await expect(tab.tile("Bob")).to_have_count(1)


def new_ticket(until: float) -> str:
    """Sign a ticket of the user Bob, valid until that time."""
    claims = {"sub": "bob", "name": "Bob", "exp": until, "jti": str(uuid.uuid4()), "roomd": {"ticket": 3600}}
    return jwt.encode(claims, SECRET, "HS256")


async def test_a_link_with_a_ticket(tabs: Tabs, daemon: Daemon) -> None:
    """The ticket leaves the address at once, and is exchanged for a token; it serves once, in one tab."""
    code = (await daemon.room())["code"]
    until = time.time() + 300
    ticket = new_ticket(until)
    tab = await tabs.open(f"{code}&ticket={ticket}")
    assert tab.page.url.endswith(f"/#{code}")
    await expect(tab.page.locator("#token")).not_to_have_value("")
    assert await tab.page.locator("#token").input_value() != ticket
    await tab.enter()
    await expect(tab.tile("Bob")).to_have_count(1)
    again = await tabs.open(f"{code}&ticket={ticket}")
    await expect(again.page.locator("#token-error")).to_contain_text("This link cannot be used again")
    assert again.page.url.endswith(f"/#{code}")


async def test_a_ticket_outlasts_a_server_that_cannot_be_reached(tabs: Tabs, daemon: Daemon) -> None:
    """A ticket that could not be exchanged is kept, and Join tries it again: after 503, and after a lost connection."""
    code = (await daemon.room())["code"]
    tab = await tabs.open("", lasts=False)
    answers = [answer_unavailable, hang_up, hang_up]
    tried = 0

    async def route(socket: WebSocketRoute) -> None:
        nonlocal tried
        tried += 1
        if tried > len(answers):
            socket.connect_to_server()
        else:
            await answers[tried - 1](socket)

    await tab.page.route_web_socket("**", route)
    await tab.page.reload()
    await tab.page.evaluate("hash => { location.hash = hash }", f"code={code}&ticket={new_ticket(time.time() + 300)}")
    complaint = tab.page.locator("#token-error")
    join = tab.page.get_by_role("button", name="Join", exact=True)
    for count in range(1, len(answers) + 1):
        await expect(complaint).to_have_text("The server cannot be reached. Press Join to try again.")
        await expect(join).to_be_enabled()
        assert tried == count
        await join.click()
    await expect(tab.tile("Bob")).to_have_count(1)


async def answer_unavailable(socket: WebSocketRoute) -> None:
    """Refuse the request with 503."""

    def answer(text: str | bytes) -> None:
        socket.send(json.dumps(error("unavailable", id=json.loads(text)["id"])))

    socket.on_message(answer)


async def hang_up(socket: WebSocketRoute) -> None:
    """Close the connection at once."""
    await socket.close()


async def test_below_a_path(tabs: Tabs, daemon: Daemon) -> None:
    """Behind a proxy that serves it below a path, the page finds its files and the socket there, and invites there."""
    code = (await daemon.room())["code"]
    async with below(b"/meet/", daemon.port) as port:
        tab = await tabs.open(code, lasts=False)
        await tab.page.goto(f"http://127.0.0.1:{port}/meet/#code={code}")
        await tab.enter("Jane")
        assert tab.page.url == f"http://127.0.0.1:{port}/meet/#{code}"
        await tab.page.close()


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
    await expect(viewer.page.locator("#toasts")).to_contain_text(
        "was not allowed to use the camera. Allow it beside the address of this page, then press the camera button."
    )


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
    await tab.page.bring_to_front()
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
