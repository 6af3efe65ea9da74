"""A browser for the page, a daemon that serves it, and tabs."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.daemon import Daemon, serving
from tests.support.needs import BROWSERS, needs

if TYPE_CHECKING:  # Playwright may be missing: then the tests that need it are skipped, the others run
    from playwright.async_api import Browser

    from tests.support.tabs import Tabs


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the second browser to `make browsers`, which `make nightly` runs too."""
    if os.environ.get("TEST_ROOMD_BROWSERS") == "all":
        return
    left_out = [item for item in items if "page" in item.path.parts and "[firefox" in item.name]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


EACH = [pytest.param(name, marks=needs(program, program)) for name, program in BROWSERS.items()]


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=EACH)
async def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "AsyncIterator[Browser]":
    """One browser for all tests, which run in each; each tab has a profile of its own."""
    from tests.support.browsers import launched

    async with launched(request.param, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that soon notices who is gone, with its WebSocket where the page has to be told."""
    path = "/rooms&more"
    folder = tmp_path_factory.mktemp("page")
    with serving(folder, ROOMD_SERVER_PING_INTERVAL="5", ROOMD_SERVER_PATH=path) as daemon:
        daemon.url = f"ws://127.0.0.1:{daemon.port}{path}"
        yield daemon


@pytest.fixture(scope="module")
def all_tabs(browser: "Browser", daemon: Daemon) -> "Tabs":
    """Tabs that go from test to test."""
    from tests.support.tabs import Tabs

    return Tabs(browser, daemon)


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(all_tabs: "Tabs") -> "AsyncIterator[Tabs]":
    """Tabs that are cleared when the test ends, and had nothing to complain of."""
    yield all_tabs
    await all_tabs.clear()
