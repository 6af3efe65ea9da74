"""Debian's Firefox under Playwright.

Playwright's own Firefox is a patched build that has to be downloaded. Its other way to drive Firefox, WebDriver BiDi,
works with any, but for two things: it uses a few commands that the extended support release does not have, and it runs
scripts by `eval`, which Firefox, unlike Chromium, forbids under the Content-Security-Policy of the page. This program
is started as if it were Firefox: it starts the real one, and stands between the two. It answers those commands itself,
and hands over scripts as functions, so that the page is tested with its policy.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

LISTENING = "WebDriver BiDi listening on "
MISSING: dict[str, dict[str, str]] = {
    "network.addDataCollector": {"collector": "none"},
    "browser.setDownloadBehavior": {},
    "emulation.setMediaFeaturesOverride": {},
    "emulation.setScreenOrientationOverride": {},
    "emulation.setScreenSettingsOverride": {},
}
"""The commands that Firefox 140 lacks, with the results that are made up for them. No test depends on what they do."""

EVALUATE = "utilityScript.evaluate(...args)"
"""How Playwright asks the page to run a script: the third of `args` is its text."""
WITHOUT_EVAL = """(utilityScript, ...args) => {
  const { global } = utilityScript;
  const script = () => {
    utilityScript.global = global;
    return (
SCRIPT
    );
  };
  utilityScript.global = { eval: script };
  return utilityScript.evaluate(...args);
}"""


EXTEND = "injectedScript.extend("
"""What is in the script by which Playwright adds to itself: it would run the text of a module by `eval`."""
EXTENDED = """(injectedScript) => {
  const module = {};
  SOURCE
  new (module.exports.default())(injectedScript);
}"""


def without_eval(command: dict[str, Any]) -> str:
    """Return a command as the text to send; a script becomes a part of the function that is called."""
    params = command["params"]
    if command["method"] == "script.callFunction" and EVALUATE in params["functionDeclaration"]:
        script = params["arguments"][3]["value"]
        if EXTEND in script:
            source = next(text for text in strings(params["arguments"][4:]) if "module.exports" in text)
            script = EXTENDED.replace("SOURCE", source)
        params["functionDeclaration"] = WITHOUT_EVAL.replace("SCRIPT", script)
    return json.dumps(command)


def strings(value: object) -> Iterator[str]:
    """Find every string in a JSON value."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from strings(item)
        case dict():
            yield from strings(list(value.values()))


async def carry(near: ServerConnection, address: str) -> None:
    """Pass messages on in both directions, until one side closes."""
    assert near.request is not None
    async with connect(address + near.request.path, max_size=None, compression=None, ping_interval=None) as far:

        async def answer() -> None:
            async for message in far:
                await near.send(message)
            await near.close()

        answering = asyncio.create_task(answer())
        async for message in near:
            command = json.loads(message)
            if (result := MISSING.get(command["method"])) is not None:
                await near.send(json.dumps({"type": "success", "id": command["id"], "result": result}))
            else:
                await far.send(without_eval(command))
        await far.close()
        await answering


async def main(*command: str) -> int:
    """Run Firefox, and return its exit code."""
    firefox = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert firefox.stderr is not None
    address = ""
    while not address and (line := await firefox.stderr.readline()):
        found = re.search(rf"{LISTENING}(\S+)", line.decode(errors="replace"))
        address = found[1] if found else ""
        if not address:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
    if not address:
        return await firefox.wait()
    reading = asyncio.create_task(firefox.stderr.read())  # else its pipe fills up
    serving = serve(
        lambda near: carry(near, address), "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None
    )
    async with serving as server:
        print(f"{LISTENING}ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
        await reading
    return await firefox.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
