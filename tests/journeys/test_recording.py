"""A long session with the daemon gives, byte for byte, the frames that are recorded beside this test.

The session (tests/support/recording) has every request of docs/protocol.md, in success and in every refusal, every
error code, every event and every close code. Ids, room codes, times, tokens and what hangs on chance have stable names
in the recording. `frames.txt` has what went over WebSockets, `http.txt` the plain HTTP answers.

After a change that a client is meant to see, record anew and read the difference:

    TEST_ROOMD_RECORD=1 .venv/bin/python -m pytest tests/journeys/test_recording.py
"""

import difflib
import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.support.recording.session import frames, http_answers

HERE = Path(__file__).parent / "recording"
IS_RECORDING = os.environ.get("TEST_ROOMD_RECORD") == "1"
LONGEST_DIFF = 80

UNSEEN_ERRORS = {
    "internal_error": "only a mistake in the daemon has it",
    "storage_low": "it takes a disk that is nearly full: tests/storage/test_space.py has one",
    "events_off": "it takes a server without a log: tests/journeys/test_event_log.py has one",
    "address_unknown": "over TCP an address is always known",
}
CLOSES = {1000, 1002, 1003, 1007, 1009, 1012, 1013, 4401, 4403, 4408, 4409, 4429}
"""Those of docs/protocol.md, section 9, and what RFC 6455 asks for."""


def compare(name: str, text: str) -> None:
    """Check a text against the recorded one, or record it."""
    file = HERE / name
    if IS_RECORDING:
        HERE.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return
    recorded = file.read_text(encoding="utf-8")
    if text != recorded:
        lines = difflib.unified_diff(
            recorded.splitlines(), text.splitlines(), f"recorded: {file.name}", "received", n=3, lineterm=""
        )
        pytest.fail("\n".join(islice(lines, LONGEST_DIFF)), pytrace=False)


@pytest.mark.sqlite
async def test_frames(tmp_path: Path) -> None:
    """Every client receives the recorded frames in the recorded order, and they cover the daemon's own contract."""
    text, contract = await frames(tmp_path)
    compare("frames.txt", text)
    check_coverage(text, json.loads(contract))


async def test_http(tmp_path: Path) -> None:
    """Every plain HTTP request is answered as recorded, but for the date."""
    compare("http.txt", await http_answers(tmp_path))


def check_coverage(text: str, contract: dict[str, Any]) -> None:
    """Check that a recording has every request, reply, event, error and close code that a contract names."""
    names = {key: message["name"] for key, message in contract["components"]["messages"].items()}
    operations = contract["operations"].values()
    asked = [one["messages"] for one in operations if one["action"] == "receive"]
    told = [one["reply"] if one["action"] == "receive" else one for one in operations]
    requests = {names[message["$ref"].split("/")[-1]] for messages in asked for message in messages}
    told_names = {names[message["$ref"].split("/")[-1]] for one in told for message in one["messages"]}
    received = list(typed(text, "<"))
    assert {found["type"] for found in typed(text, ">")} >= requests
    assert {found["type"] for found in received} == told_names
    codes = set(contract["components"]["schemas"]["ErrorCode"]["enum"])
    assert {found["code"] for found in received if found["type"] == "error"} == codes - UNSEEN_ERRORS.keys()
    closes = {int(code) for code in re.findall(r"^[\w ]+ < \[close (\d+)", text, re.MULTILINE)}
    assert closes >= CLOSES


def typed(text: str, direction: str) -> Iterator[dict[str, Any]]:
    """Read the JSON of the recorded frames of a direction that are objects with a type."""
    for line in re.findall(rf"^[\w ]+ {direction} (?:\[again and again\] )?(\{{.*\}})$", text, re.MULTILINE):
        try:
            found = json.loads(line.replace("<seconds>", "0"))
        except ValueError:
            continue
        if isinstance(found.get("type"), str):
            yield found
