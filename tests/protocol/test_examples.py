"""Every JSON example in docs/protocol.md is valid under the schema of its message, without keys unknown to the schema.

An example may leave parts out, which these rules complete:

- `…` in a string is a character of that string;
- `…` in place of a value, and `{…}`, stand for any value that the schema allows there; `[{…}]` is a list of one;
- `{"id", "text"}` is an object with just these keys, each with any value that the schema allows there.
"""

import copy
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from roomd.protocol.codec import decode
from tests.support.schemas import BY_NAME, PAGE, SCHEMAS, Json, faults, sample, target

ANY = "<any>"
LEFT_OUT = re.compile(r'"(?:[^"\\]|\\.)*"|\{…\}|…')
KEYS_ONLY = re.compile(r'\{("[^"]*"(?:,\s*"[^"]*")*)\}')
CODE = re.compile(r"```json\n(.*?)```|`([^`]+)`", re.DOTALL)

COMMAND = re.compile(r"```sh\n.*?```", re.DOTALL)
"""A command for a shell, which a test of its own runs."""


def readable(text: str) -> str:
    """Return an example as JSON, in which a mark stands for each part that it leaves out."""
    text = LEFT_OUT.sub(lambda found: found[0] if found[0].startswith('"') else f'"{ANY}"', text)
    return KEYS_ONLY.sub(lambda found: "{" + re.sub(r'("[^"]*")', rf'\1: "{ANY}"', found[1]) + "}", text)


def examples(page: str) -> list[Json]:
    """Return every JSON object in a page's blocks and inline code, in order.

    Raises `ValueError` for text that begins like an object and is not one.
    """
    found: list[Json] = []
    page = COMMAND.sub("", page)
    for block, inline in CODE.findall(page):
        rest = readable(block or inline).strip()
        while (block and rest) or re.match(r'\{\s*"', rest):
            example, end = json.JSONDecoder().raw_decode(rest)
            found.append(example)
            rest = rest[end:].lstrip()
    return found


def objects(example: Any) -> Iterator[Json]:
    """Return an example and every object in it."""
    if isinstance(example, dict):
        yield example
        example = list(example.values())
    if isinstance(example, list):
        for item in example:
            yield from objects(item)


def missed(page: str) -> tuple[int, int]:
    """Return how many objects, and how many with a type, are in the text of a page and in none of its examples."""
    found = [each for example in examples(page) for each in objects(example)]
    typed = [each for each in found if isinstance(each.get("type"), str)]
    page = COMMAND.sub("", page)
    return len(re.findall(r'\{\s*"', page)) - len(found), len(re.findall(r'"type":\s*"', page)) - len(typed)


def completed(example: Any, schema: Json) -> Any:
    """Return an example with a valid value for each part that it leaves out."""
    if example == ANY:
        return sample(schema)
    schema = target(schema["$ref"]) if "$ref" in schema else schema
    if isinstance(example, list):
        return [completed(item, schema.get("items", {})) for item in example]
    if isinstance(example, dict):
        inner = schema.get("properties", {})
        return {key: completed(item, inner.get(key, {})) for key, item in example.items()}
    return example


def is_of(schema: Json, kind: str) -> bool:
    """Return whether a schema is that of a message, or of a log event, of this type."""
    return bool(schema.get("properties", {}).get("type", {}).get("const") == kind)


def schema_of(example: Json) -> str:
    """Return the name of an example's schema: the message of its type, or without a type the one that shares most keys.

    Where a request, an event and a log event have the same type, the required keys decide.
    """
    if "type" not in example:
        shared = {name: len(example.keys() & schema.get("properties", {})) for name, schema in CLOSED.items()}
        return max(shared, key=shared.__getitem__)
    names = [name for name, schema in SCHEMAS.items() if is_of(schema, example["type"])]
    fitting = [name for name in names if example.keys() >= set(SCHEMAS[name]["required"])]
    return next(iter([*fitting, *names]), "unknown type")


def closed() -> dict[str, Json]:
    """Return the schemas, which here allow no unknown keys, and one named `state` for presence."""
    schemas = copy.deepcopy(SCHEMAS)
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return {"state": schemas["Participant"]["properties"]["state"], "unknown type": {"not": {}}, **schemas}


CLOSED = closed()


def problems(example: Json) -> list[str]:
    """Return what is wrong with an example of the page."""
    name = schema_of(example)
    return faults(name, completed(example, CLOSED[name]), CLOSED)


@pytest.mark.parametrize("example", examples(PAGE), ids=lambda example: str(example.get("type", "object")))
def test_examples_of_the_page(example: Json) -> None:
    """An example is valid under the schema of its message, and the daemon reads a request."""
    assert problems(example) == []
    name = schema_of(example)
    if name in BY_NAME:
        assert type(decode(json.dumps(completed(example, CLOSED[name])))) is BY_NAME[name]


def test_no_example_is_missed() -> None:
    """Every text that looks like JSON is among the examples; one outside of code is counted as missed."""
    assert missed(PAGE) == (0, 0)
    assert missed(PAGE + '\nSay {"type": "ping"}.\n') == (1, 1)
    assert {schema_of(example) for example in examples(PAGE)} >= {
        "Participant", "Room", "Admission", "state", "Signal", "SignalEvent", "WaitingReply", "ErrorReply",
    }  # fmt: skip


def test_replies_of_the_page() -> None:
    """A frame that follows a request and has its id is one of the request's replies."""
    shown = []
    for request, reply in pairwise(examples(PAGE)):
        asked, answered = schema_of(request), schema_of(reply)
        if asked in BY_NAME and answered not in BY_NAME and "id" in request and request["id"] == reply.get("id"):
            assert answered in {cls.__name__ for cls in BY_NAME[asked].answers}
            shown.append(asked)
    assert len(shown) >= 7


WRONG_EXAMPLES = {
    "no such type": '{"type": "dance"}',
    "a key missing": '{"type": "end-room", "id": 3}',
    "a key misspelt": '{"type": "join-room", "code": "abc-def-ghi", "guestname": "Jane"}',
    "a value of another kind": '{"type": "room-ended", "seq": "15", "roomId": "01jp…"}',
    "no such error": '{"type": "error", "statusCode": 400, "code": "rate_limit", "message": "…"}',
    "neither to nor from": '{"type": "signal", "data": …}',
    "both to and from": '{"type": "signal", "to": "a", "from": "b", "data": {…}}',
    "null where a key is left out": '{"type": "pong", "id": null}',
    "a list of something else": '{"type": "rooms", "rooms": ["…"], "nextCursor": null}',
    "wrong deep inside": '{"type": "rooms", "rooms": [{"id": "…", "code": …}], "nextCursor": null}',
    "keys only, one too many": '{"type": "message", "message": {"id", "participantId", "displayName", "text", "at"}}',
    "an object misspelt": '{"allowed": false, "status": 400}',
    "presence that is no scalar": '{"muted": []}',
}


@pytest.mark.parametrize("text", WRONG_EXAMPLES.values(), ids=WRONG_EXAMPLES.keys())
def test_invalid_examples_are_found(text: str) -> None:
    """An example that is not valid is found, in a block and inline."""
    for page in (f"```json\n{text}\n```", f"Say `{text}`."):
        [example] = examples(page)
        assert problems(example)


def test_an_unreadable_example_is_found() -> None:
    """An example that is not JSON, apart from what it leaves out, is an error."""
    for text in ('{"type": "ping",}', '{"type": "ping"', '{"type": "ping"} x'):
        with pytest.raises(ValueError, match="line 1"):
            examples(f"```json\n{text}\n```")


def test_left_out_parts_are_completed() -> None:
    """A part that an example leaves out is made from the schema; an ellipsis in a string is text."""
    [event] = examples('`{"type": "room-updated", "seq": …, "room": {"id", "code"}}`')
    assert event == {"type": "room-updated", "seq": ANY, "room": {"id": ANY, "code": ANY}}
    assert completed(event, SCHEMAS["RoomUpdated"])["room"] == {"id": "x", "code": "x"}
    [state] = examples('`{"type": "room-state", "epoch": "a…", "participants": [{…}]}`')
    done = completed(state, SCHEMAS["RoomState"])
    assert done["epoch"] == "a…"
    assert faults("Participant", done["participants"][0]) == []
