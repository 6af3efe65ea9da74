"""The contract as data (`roomd.asyncapi`) is valid AsyncAPI, fits the structs, and fits docs/protocol.md.

Every JSON example of that page is held against the schema of its message, with no key the schema does not know.
Examples may be shortened, and are completed by these rules:

- `…` in a string is a character of that string;
- `…` in place of a value, and `{…}`, stand for any value the schema allows there; so `[{…}]` is a list of one;
- `{"id", "text"}` is an object with just these keys, each with any value the schema allows there.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator
from msgspec import inspect as shape

from roomd.config import ServerConfig
from roomd.protocol import errors, replies, requests
from roomd.protocol.asyncapi import SENT, VERSION, document
from roomd.protocol.codec import BadFrame, decode
from roomd.protocol.errors import ErrorKind
from roomd.protocol.events import Event
from roomd.protocol.replies import Reply
from roomd.protocol.requests import REQUESTS, Request

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()
SPEC = ROOT / "clients" / "js" / "node_modules" / "@asyncapi" / "specs" / "schemas" / f"{VERSION}.json"

Json = dict[str, Any]
DOCUMENT = document()
SCHEMAS: dict[str, Json] = DOCUMENT["components"]["schemas"]
MESSAGES: dict[str, Json] = DOCUMENT["components"]["messages"]
BY_NAME = {request.__name__: request for request in REQUESTS}
SAID = [*Reply.__subclasses__(), *Event.__subclasses__()]


# The document as such.


def official() -> Draft7Validator:
    """AsyncAPI's own schema of documents."""
    return Draft7Validator(json.loads(SPEC.read_text()))


needs_spec = pytest.mark.skipif(not SPEC.exists(), reason="needs @asyncapi/specs: `make test` installs it with npm")


@needs_spec
def test_document_is_asyncapi() -> None:
    """The document is valid under the official schema of its version."""
    Draft7Validator.check_schema(official().schema)
    assert [error.message for error in official().iter_errors(DOCUMENT)] == []


BREAKS: dict[str, Callable[[Json], Any]] = {
    "no info": lambda broken: broken.pop("info"),
    "another version": lambda broken: broken.update(asyncapi="2.6.0"),
    "an action that is none": lambda broken: broken["operations"]["receive-ping"].update(action="publish"),
    "a message in place of a reference": lambda broken: broken["operations"]["receive-ping"].update(messages=[{}]),
    "an unknown key": lambda broken: broken["channels"]["roomd"].update(subscribe={}),
    "a payload that is no schema": lambda broken: broken["components"]["schemas"]["Room"].update(type="room"),
    "a binding of another kind": lambda broken: broken["channels"]["roomd"]["bindings"]["ws"].update(method="PUT"),
}


@needs_spec
@pytest.mark.parametrize("damage", BREAKS.values(), ids=BREAKS.keys())
def test_a_broken_document_is_found(damage: Callable[[Json], Any]) -> None:
    """The official schema would tell."""
    broken = document()
    damage(broken)
    assert not official().is_valid(broken)


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def target(ref: str) -> Any:
    """What a reference of the document points to."""
    found: Any = DOCUMENT
    for key in ref.removeprefix("#/").split("/"):
        found = found[key]
    return found


def test_references_lead_somewhere() -> None:
    """Every reference is to something in the document, and every message is of use to an operation."""
    for ref in references(DOCUMENT):
        assert target(ref)
    in_operations = {ref.rsplit("/")[-1] for ref in references(DOCUMENT["operations"])}
    assert in_operations == {*MESSAGES, "roomd"}
    assert all(ref.startswith("#/channels/roomd") for ref in references(DOCUMENT["operations"]))


def test_schemas_are_schemas() -> None:
    """Every payload is a JSON Schema of the draft that AsyncAPI builds on."""
    for schema in SCHEMAS.values():
        Draft7Validator.check_schema(schema)


def test_document_is_plain_json_and_the_callers_own() -> None:
    """The document survives encoding as it is, and what a caller does to it stays with the caller."""
    assert json.loads(msgspec.json.encode(document())) == document()
    document()["components"]["schemas"].clear()
    assert document() == DOCUMENT


def test_address() -> None:
    """The document says where a roomd with default settings is, and takes another path."""
    settings = ServerConfig()
    assert DOCUMENT["channels"]["roomd"]["address"] == settings.path
    assert DOCUMENT["servers"]["direct"]["variables"]["host"]["default"] == f"{settings.host}:{settings.port}"
    assert document("/rooms")["channels"]["roomd"]["address"] == "/rooms"


def test_error_codes() -> None:
    """The document holds every error code with its status and text."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, ErrorKind)]
    assert SCHEMAS["ErrorCode"]["enum"] == [kind.code for kind in kinds]
    for kind in kinds:
        assert f"`{kind.code}`, {kind.status_code}: {kind.message}" in SCHEMAS["ErrorCode"]["description"]


# The document and the structs.


def test_every_request_has_its_reply() -> None:
    """Every request has an operation with a reply of its own beside `error`."""
    for request in REQUESTS:
        operation = DOCUMENT["operations"][f"receive-{request.__struct_config__.tag}"]
        names = [ref.rsplit("/")[-1] for ref in references(operation["reply"]["messages"])]
        assert names == [*(reply.__name__ for reply in request.answers), "ErrorReply"]


def test_everything_said_has_its_operation() -> None:
    """Every reply answers a request, and every event is sent."""
    answers = {reply for request in REQUESTS for reply in request.answers}
    assert answers | {replies.ErrorReply} == set(Reply.__subclasses__())
    assert set(SENT) == {*Event.__subclasses__(), replies.WaitingReply}
    assert len(DOCUMENT["operations"]) == len(REQUESTS) + len(SENT)
    assert set(MESSAGES) == {cls.__name__ for cls in [*REQUESTS, *SAID]}


def test_messages_are_told_apart_by_type() -> None:
    """A message is named by its type, titled and explained, and its payload has no other type."""
    for name, message in MESSAGES.items():
        assert SCHEMAS[name]["properties"]["type"] == {"enum": [message["name"]]}
        assert "type" in SCHEMAS[name]["required"]
        assert message["title"]
        assert message["summary"] == SCHEMAS[name]["description"]


def test_fire_and_forget() -> None:
    """The requests that need no answer are those the protocol marks."""
    marked = re.findall(r"\| `([a-z-]+)`[^|]* ✉ \|", PAGE)
    assert {request.__struct_config__.tag for request in REQUESTS if request.is_quiet} == set(marked)


def faults(name: str, value: Any, schemas: Json = SCHEMAS) -> list[str]:
    """What is wrong with a value under a schema of the document."""
    whole = {"components": {"schemas": schemas}, "$ref": f"#/components/schemas/{name}"}
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(whole).iter_errors(value)]


def instance(cls: type[msgspec.Struct], full: bool) -> msgspec.Struct:
    """A struct with everything it can carry, or with as little as it can."""
    fields = [field for field in msgspec.structs.fields(cls) if full or field.required]
    return cls(**{field.name: value(shape.type_info(field.type), full) for field in fields})


def value(kind: shape.Type, full: bool) -> Any:
    """A value of a field; texts are such as to serve as error codes too."""
    match kind:
        case shape.StructType(cls=cls):
            return instance(cls, full)
        case shape.UnionType(types=types):
            optional = [kind for kind in types if isinstance(kind, shape.NoneType)]
            return value(optional[0] if optional and not full else types[0], full)
        case shape.ListType(item_type=item):
            return [value(item, full)] if full else []
        case shape.DictType(value_type=item):
            return {"key": value(item, full)} if full else {}
    return VALUES[type(kind)]


VALUES = {
    shape.NoneType: None,
    shape.BoolType: True,
    shape.IntType: 1,
    shape.FloatType: 2.5,
    shape.StrType: errors.ROOM_FULL.code,
    shape.RawType: msgspec.Raw(b'{"anything": [null]}'),
}


@pytest.mark.parametrize("full", [False, True], ids=["least", "most"])
@pytest.mark.parametrize("cls", [*REQUESTS, *SAID], ids=lambda cls: cls.__name__)
def test_what_the_structs_write_is_valid(cls: type[msgspec.Struct], full: bool) -> None:
    """A frame as roomd writes it is valid under the schema of its message, and of no other."""
    frame = json.loads(msgspec.json.encode(instance(cls, full)))
    assert faults(cls.__name__, frame) == []
    assert [name for name in MESSAGES if not faults(name, frame)] == [cls.__name__]


def test_what_the_schemas_allow_is_read() -> None:
    """A request made from its schema is one that roomd reads."""
    for request in REQUESTS:
        text = json.dumps(sample({"$ref": f"#/components/schemas/{request.__name__}"}))
        assert type(decode(text)) is request


WRONG_REQUESTS: dict[str, tuple[type[Request], Json]] = {
    "key missing": (requests.GetRoom, {"type": "get-room"}),
    "key null": (requests.GetRoom, {"type": "get-room", "code": None}),
    "key of another type": (requests.JoinRoom, {"type": "join-room", "code": "a", "guestName": 5}),
    "page of none": (requests.ListRooms, {"type": "list-rooms", "limit": 0}),
    "page too large": (requests.ListRooms, {"type": "list-rooms", "limit": 201}),
    "id empty": (requests.Ping, {"type": "ping", "id": ""}),
    "id too long": (requests.Ping, {"type": "ping", "id": "x" * 65}),
    "text too long": (requests.SendMessage, {"type": "send-message", "text": "\U0001f600" * 2001}),
    "presence that is no scalar": (requests.UpdateParticipant, {"type": "update-participant", "state": {"a": []}}),
    "nothing to pass on": (requests.Signal, {"type": "signal", "to": "a"}),
}


@pytest.mark.parametrize(("request_", "frame"), WRONG_REQUESTS.values(), ids=WRONG_REQUESTS.keys())
def test_schemas_refuse_what_roomd_refuses(request_: type[Request], frame: Json) -> None:
    """A request that is no good is neither valid nor read."""
    assert faults(request_.__name__, frame)
    with pytest.raises(BadFrame):
        decode(json.dumps(frame))


def test_absent_null_and_unknown() -> None:
    """Requests may have null for absent and keys nobody knows; replies leave out what they do not have."""
    assert faults("Ping", {"type": "ping", "id": None, "unknown": 1}) == []
    assert faults("PongReply", {"type": "pong"}) == []
    assert faults("PongReply", {"type": "pong", "id": None})
    assert faults("ErrorReply", {"type": "error", "statusCode": 400, "code": "nope", "message": "No"})


# The document and the page.

ANY = "<any>"
ELISION = re.compile(r'"(?:[^"\\]|\\.)*"|\{…\}|…')
KEYS_ONLY = re.compile(r'\{("[^"]*"(?:,\s*"[^"]*")*)\}')
CODE = re.compile(r"```json\n(.*?)```|`([^`]+)`", re.DOTALL)


def readable(text: str) -> str:
    """An example with what it leaves out marked, as JSON."""
    text = ELISION.sub(lambda found: found[0] if found[0].startswith('"') else f'"{ANY}"', text)
    return KEYS_ONLY.sub(lambda found: "{" + re.sub(r'("[^"]*")', rf'\1: "{ANY}"', found[1]) + "}", text)


def examples(page: str) -> list[Json]:
    """Every JSON object in a page's blocks and inline code, in the page's order.

    Raises `ValueError` for what begins like one and is none.
    """
    found: list[Json] = []
    for block, inline in CODE.findall(page):
        rest = readable(block or inline).strip()
        while (block and rest) or re.match(r'\{\s*"', rest):
            example, end = json.JSONDecoder().raw_decode(rest)
            found.append(example)
            rest = rest[end:].lstrip()
    return found


def objects(example: Any) -> Iterator[Json]:
    """An example and every object in it."""
    if isinstance(example, dict):
        yield example
        example = list(example.values())
    if isinstance(example, list):
        for item in example:
            yield from objects(item)


def missed(page: str) -> tuple[int, int]:
    """How many objects, and how many with a type, stand in a page that are in no example."""
    found = [each for example in examples(page) for each in objects(example)]
    typed = [each for each in found if isinstance(each.get("type"), str)]
    return len(re.findall(r'\{\s*"', page)) - len(found), len(re.findall(r'"type":\s*"', page)) - len(typed)


def sample(schema: Json) -> Any:
    """A value of a schema: with every key, and of the first of several kinds."""
    match schema:
        case {"$ref": ref}:
            return sample(target(ref))
        case {"enum": [first, *_]}:
            return first
        case {"anyOf": [first, *_]}:
            return sample(first)
        case {"properties": properties}:
            return {key: sample(inner) for key, inner in properties.items()}
        case {"additionalProperties": inner}:
            return {"key": sample(inner)}
        case {"items": inner}:
            return [sample(inner)]
        case {"type": kind}:
            return {"string": "x", "integer": 1, "number": 1.5, "boolean": True}[kind]
    return {"any": "thing"}


def completed(example: Any, schema: Json) -> Any:
    """An example with a valid value for everything it leaves out."""
    if example == ANY:
        return sample(schema)
    schema = target(schema["$ref"]) if "$ref" in schema else schema
    if isinstance(example, list):
        return [completed(item, schema.get("items", {})) for item in example]
    if isinstance(example, dict):
        inner = schema.get("properties", {})
        return {key: completed(item, inner.get(key, {})) for key, item in example.items()}
    return example


def schema_of(example: Json) -> str:
    """Name the schema an example is of: a type's message or, without a type, the object that shares most of its keys.

    Where a request and an event have the same type, what they carry decides. An object like none is a presence.
    """
    if "type" not in example:
        shared = {name: len(example.keys() & schema.get("properties", {})) for name, schema in CLOSED.items()}
        return max(shared, key=shared.__getitem__)
    names = [name for name, message in MESSAGES.items() if message["name"] == example["type"]]
    fitting = [name for name in names if example.keys() >= set(SCHEMAS[name]["required"])]
    return next(iter([*fitting, *names]), "unknown type")


def closed() -> dict[str, Json]:
    """The schemas without room for keys they do not know, and with a name for what `state` is."""
    schemas = copy.deepcopy(SCHEMAS)
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return {"state": schemas["Participant"]["properties"]["state"], "unknown type": {"not": {}}, **schemas}


CLOSED = closed()


def complaints(example: Json) -> list[str]:
    """What is wrong with an example of the page."""
    name = schema_of(example)
    return faults(name, completed(example, CLOSED[name]), CLOSED)


@pytest.mark.parametrize("example", examples(PAGE), ids=lambda example: str(example.get("type", "object")))
def test_examples_of_the_page(example: Json) -> None:
    """An example of docs/protocol.md is a message of the document; a request is one that roomd reads."""
    assert complaints(example) == []
    name = schema_of(example)
    if name in BY_NAME:
        assert type(decode(json.dumps(completed(example, CLOSED[name])))) is BY_NAME[name]


def test_no_example_is_missed() -> None:
    """Whatever looks like JSON in docs/protocol.md is among the examples, and one outside of code would be noticed."""
    assert missed(PAGE) == (0, 0)
    assert missed(PAGE + '\nSay {"type": "ping"}.\n') == (1, 1)
    assert {schema_of(example) for example in examples(PAGE)} >= {
        "Participant", "Room", "Admission", "state", "Signal", "SignalEvent", "WaitingReply", "ErrorReply",
    }  # fmt: skip


def test_replies_of_the_page() -> None:
    """Where the page shows a request and then a frame with its id, that is a reply of the request's."""
    shown = []
    for request, reply in pairwise(examples(PAGE)):
        asked, answered = schema_of(request), schema_of(reply)
        if asked in BY_NAME and answered not in BY_NAME and "id" in request and request["id"] == reply.get("id"):
            assert answered in {cls.__name__ for cls in BY_NAME[asked].answers}
            shown.append(asked)
    assert len(shown) >= 7


WRONG_EXAMPLES = {
    "no such type": '{"type": "dance"}',
    "a key missing": '{"type": "get-room", "id": 3}',
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
def test_a_wrong_example_is_found(text: str) -> None:
    """An example that does not fit the document would be complained about, in a block and inline."""
    for page in (f"```json\n{text}\n```", f"Say `{text}`."):
        [example] = examples(page)
        assert complaints(example)


def test_an_unreadable_example_is_found() -> None:
    """An example that is no JSON, elisions aside, is an error, not a silent gap."""
    for text in ('{"type": "ping",}', '{"type": "ping"', '{"type": "ping"} x'):
        with pytest.raises(ValueError, match="line 1"):
            examples(f"```json\n{text}\n```")


def test_elisions() -> None:
    """What an example leaves out is completed by the schema; an ellipsis in a string is text."""
    [event] = examples('`{"type": "room-updated", "seq": …, "room": {"id", "code"}}`')
    assert event == {"type": "room-updated", "seq": ANY, "room": {"id": ANY, "code": ANY}}
    assert completed(event, SCHEMAS["RoomUpdated"])["room"] == {"id": "x", "code": "x"}
    [state] = examples('`{"type": "room-state", "epoch": "a…", "participants": [{…}]}`')
    done = completed(state, SCHEMAS["RoomState"])
    assert done["epoch"] == "a…"
    assert faults("Participant", done["participants"][0]) == []
