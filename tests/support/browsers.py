"""The browsers in which the page is tested: Debian's Chromium and Debian's Firefox, both driven by Playwright."""

import contextlib
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright

from tests.support import firefox
from tests.support.needs import BROWSERS
from tests.support.processes import PATIENCE

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--host-resolver-rules=MAP meet.test 127.0.0.1",
    # Every window would load two pages of the browser's own, for its address bar: more work than ours. As this replaces
    # Playwright's list, it also has what keeps the browser from trying https.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
]

FIREFOX_PREFS: dict[str, str | int | bool] = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    "network.dns.localDomains": "meet.test",
    "ui.prefersReducedMotion": 1,
    "browser.sessionhistory.max_total_viewers": 4,  # pages that come back as they were left, as people have them
    "dom.ipc.processPrelaunch.enabled": False,
    "focusmanager.testmode": True,  # every tab has the focus, as if its window were in front
}


@contextlib.asynccontextmanager
async def launched(name: str, folder: Path) -> AsyncIterator[Browser]:
    """Run a browser by its name; `folder` is for files of its own."""
    program = shutil.which(BROWSERS[name])
    assert program is not None
    how: dict[str, Any] = {"executable_path": program, "args": CHROMIUM_ARGS}
    if name == "firefox":
        script = folder / "firefox"
        script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, firefox.__file__, program])} "$@"\n')
        script.chmod(0o755)
        how = {"executable_path": script, "channel": "moz-firefox", "firefox_user_prefs": FIREFOX_PREFS}
    async with async_playwright() as playwright:
        browser = await getattr(playwright, name).launch(timeout=1000 * PATIENCE, **how)
        try:
            yield browser
        finally:
            await browser.close()
