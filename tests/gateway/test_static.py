"""What is served over plain HTTP: the page with its files, and the contract as data."""

import http.client
import json
import re
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from roomd.config import ServerConfig
from roomd.gateway.http.request import Fields
from roomd.gateway.static import StaticFiles, page_files
from roomd.protocol import asyncapi
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

PAGE = Path(__file__).parents[2] / "roomd" / "page"
FILES = {name: content.decode() for name, content in page_files()}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


def fetch(
    daemon: Daemon, path: str, headers: dict[str, str] = BROWSER, method: str = "GET"
) -> tuple[http.client.HTTPResponse, str]:
    """Ask as a browser does."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/?room=abc-def-ghi"])
def test_the_page(daemon: Daemon, path: str) -> None:
    """Browsers get the page, under a policy that lets it run its own files only and use camera and microphone."""
    response, body = fetch(daemon, path)
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith("<!doctype html>")
    policy = (directive.split(" ", 1) for directive in response.headers["Content-Security-Policy"].split("; "))
    assert dict(policy) == POLICY
    assert response.headers["Permissions-Policy"] == "camera=(self), microphone=(self), display-capture=(self)"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "application/json, */*"])
def test_programs_get_words(daemon: Daemon, accept: str | None) -> None:
    """curl and the like do not ask for HTML; they are told what this is, and of the page."""
    response, body = fetch(daemon, "/", {"Accept": accept} if accept else {})
    assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert "WebSocket server" in body
    assert "browser" in body


TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_its_files(daemon: Daemon, name: str) -> None:
    """Every file of the page and of the client is served with its type, and as it is in the checkout."""
    response, body = fetch(daemon, f"/{name}", {"Accept": "*/*"})
    assert response.status == 200
    assert response.headers["Content-Type"] == TYPES[name.rsplit(".", 1)[1]]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert body == (PAGE / name).read_text()


IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"\./([^"]+)"', re.MULTILINE)


def test_everything_the_page_asks_for_is_served() -> None:
    """What the page, its style and its modules refer to is among the files, and all that is, but for types, is used."""
    asked = set(re.findall(r'(?:href|src)="([^#"][^"]*)"', FILES["index.html"]))
    for name, text in FILES.items():
        asked |= {str(PurePath(name).parent / path) for path in re.findall(IMPORT, text)}
    assert set(FILES) - asked == {"index.html", "client/protocol.js", "client/types.js"}
    assert asked <= set(FILES)


def test_every_module_of_the_client_is_served() -> None:
    """No list names the files: what is in the folders of the page and of the client is served."""
    client = {f"client/{file.name}" for file in (PAGE.parents[1] / "clients" / "js" / "src").iterdir()}
    page = {file.name for file in PAGE.iterdir() if file.is_file()}
    assert set(FILES) == client | page - {"package.json"}


def test_nothing_in_the_page_needs_an_exception() -> None:
    """No script, style or handler stands in the page itself, and no module makes markup of a string."""
    page = FILES["index.html"]
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=|javascript:", page)
    for name, code in FILES.items():
        if name.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code)


@pytest.mark.parametrize(
    "path",
    [
        "/package.json",
        "/index.html",
        "/client",
        "/client/",
        "/page/page.js",
        "/clients/js/src/roomd.js",
        "/client/../page.js",
        "/client/../generate_types.py",
        "/../storage/schema.sql",
        "/%2e%2e/config.py",
    ],
)
def test_nothing_else_of_the_folder(daemon: Daemon, path: str) -> None:
    """What else lies beside the page's files is not served, nor is anything above them."""
    assert fetch(daemon, path)[0].status == 404


@pytest.mark.parametrize("path", ["/", "/page.js", "/asyncapi.json"])
def test_kept_copies(daemon: Daemon, path: str) -> None:
    """A browser asks each time, and is told in a line that its copy is good; HEAD says what GET would."""
    response, body = fetch(daemon, path)
    tag = response.headers["ETag"]
    assert response.headers["Cache-Control"] == "no-cache"
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for known in (tag, f'W/{tag}, "other"'):
        again, nothing = fetch(daemon, path, {**BROWSER, "If-None-Match": known})
        assert (again.status, nothing, again.headers["ETag"]) == (304, "", tag)
    assert fetch(daemon, path, {**BROWSER, "If-None-Match": '"other"'})[0].status == 200
    head, nothing = fetch(daemon, path, method="HEAD")
    assert (head.status, nothing, head.headers["Content-Length"]) == (200, "", str(len(body.encode())))
    assert fetch(daemon, path, method="POST")[0].status == 405


def test_the_contract(daemon: Daemon) -> None:
    """`/asyncapi.json` is the document that describes this daemon."""
    response, body = fetch(daemon, "/asyncapi.json", {})
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == json.loads(json.dumps(asyncapi.document("/ws")))


def test_without_the_page(make_daemon: Callable[..., Daemon]) -> None:
    """`server.demo = false`: there is no page and none of its files; the words and the contract stay."""
    daemon = make_daemon(ROOMD_SERVER_DEMO="false")
    response, body = fetch(daemon, "/")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert "browser" not in body
    for name in FILES:
        assert fetch(daemon, f"/{name}")[0].status == 404
    assert fetch(daemon, "/asyncapi.json")[0].status == 200


PATHS = {"/rooms": "/rooms", '/a"><script>': "/a&quot;&gt;&lt;script&gt;", "/a&b'": "/a&amp;b&#x27;"}


@pytest.mark.parametrize(("path", "escaped"), PATHS.items())
def test_the_page_knows_the_path(path: str, escaped: str) -> None:
    """The page is told where the WebSocket is, whatever characters the path has."""
    answer = StaticFiles(ServerConfig(path=path)).answer(
        "/", Fields((name.encode(), value.encode()) for name, value in BROWSER.items())
    )
    assert answer is not None
    assert f'<meta name="roomd-path" content="{escaped}">'.encode() in answer.body
    assert b'content="/ws"' not in answer.body


def test_the_page_behind_a_balancer() -> None:
    """Where several nodes serve the rooms, the page is told to add the code of the room."""
    answer = StaticFiles(ServerConfig(path="/a&b"), is_balanced=True).answer(
        "/", Fields((name.encode(), value.encode()) for name, value in BROWSER.items())
    )
    assert answer is not None
    assert b'<meta name="roomd-path" content="/a&amp;b?room=">' in answer.body
