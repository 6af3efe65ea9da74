"""The AsyncAPI document (`roomd.protocol.asyncapi`) is valid, and fits the structs that the daemon reads and writes."""

import json
import re
from collections.abc import Callable
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
from tests.support.schemas import DOCUMENT, MESSAGES, PAGE, ROOT, SCHEMAS, Json, faults, references, sample, target

SPEC = ROOT / "clients" / "js" / "node_modules" / "@asyncapi" / "specs" / "schemas" / f"{VERSION}.json"
SENT_FRAMES = [*Reply.__subclasses__(), *Event.__subclasses__()]


# The document alone.


def official() -> Draft7Validator:
    """Return AsyncAPI's own schema of documents."""
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
def test_the_official_schema_finds_errors(damage: Callable[[Json], Any]) -> None:
    """An invalid document is not valid under the official schema."""
    broken = document()
    damage(broken)
    assert not official().is_valid(broken)


def test_references_have_targets() -> None:
    """Every reference has its target in the document, and every message is used by an operation."""
    for ref in references(DOCUMENT):
        assert target(ref)
    in_operations = {ref.rsplit("/")[-1] for ref in references(DOCUMENT["operations"])}
    assert in_operations == {*MESSAGES, "roomd"}
    assert all(ref.startswith("#/channels/roomd") for ref in references(DOCUMENT["operations"]))


def test_schemas_are_schemas() -> None:
    """Every payload is a JSON Schema of the draft that AsyncAPI uses."""
    for schema in SCHEMAS.values():
        Draft7Validator.check_schema(schema)


def test_document_is_json_and_a_new_one_for_each_caller() -> None:
    """The document is the same after encoding and decoding, and a caller's changes to it change no other caller's."""
    assert json.loads(msgspec.json.encode(document())) == document()
    document()["components"]["schemas"].clear()
    assert document() == DOCUMENT


def test_address() -> None:
    """The document has the address of a daemon with default settings, or another path."""
    settings = ServerConfig()
    assert DOCUMENT["channels"]["roomd"]["address"] == settings.path
    assert DOCUMENT["servers"]["direct"]["variables"]["host"]["default"] == f"{settings.host}:{settings.port}"
    assert document("/rooms")["channels"]["roomd"]["address"] == "/rooms"


def test_error_codes() -> None:
    """The document has every error code with its status and text."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, ErrorKind)]
    assert SCHEMAS["ErrorCode"]["enum"] == [kind.code for kind in kinds]
    for kind in kinds:
        assert f"`{kind.code}`, {kind.status_code}: {kind.message}" in SCHEMAS["ErrorCode"]["description"]


# The document and the structs.


def test_every_request_has_its_reply() -> None:
    """Every request has an operation, whose replies are its own and `error`."""
    for request in REQUESTS:
        operation = DOCUMENT["operations"][f"receive-{request.__struct_config__.tag}"]
        names = [ref.rsplit("/")[-1] for ref in references(operation["reply"]["messages"])]
        assert names == [*(reply.__name__ for reply in request.answers), "ErrorReply"]


def test_every_reply_and_event_has_its_operation() -> None:
    """Every reply answers a request, and every event is sent."""
    answers = {reply for request in REQUESTS for reply in request.answers}
    assert answers | {replies.ErrorReply} == set(Reply.__subclasses__())
    assert set(SENT) == {*Event.__subclasses__(), replies.WaitingReply}
    assert len(DOCUMENT["operations"]) == len(REQUESTS) + len(SENT)
    assert set(MESSAGES) == {cls.__name__ for cls in [*REQUESTS, *SENT_FRAMES]}


def test_each_message_has_its_type() -> None:
    """A message has its type as name, a title and a summary, and its payload has just this type."""
    for name, message in MESSAGES.items():
        assert SCHEMAS[name]["properties"]["type"] == {"type": "string", "const": message["name"]}
        assert "type" in SCHEMAS[name]["required"]
        assert message["title"]
        assert message["summary"] == SCHEMAS[name]["description"]


def test_requests_without_a_reply() -> None:
    """The requests that need no reply are those that docs/protocol.md marks."""
    marked = re.findall(r"\| `([a-z-]+)`[^|]* ✉ \|", PAGE)
    assert {request.__struct_config__.tag for request in REQUESTS if request.is_quiet} == set(marked)


def instance(cls: type[msgspec.Struct], full: bool) -> msgspec.Struct:
    """Make a struct with every field, or with the required ones only."""
    fields = [field for field in msgspec.structs.fields(cls) if full or field.required]
    return cls(**{field.name: value(shape.type_info(field.type), full) for field in fields})


def value(kind: shape.Type, full: bool) -> Any:
    """Make a value of a field's type; a text is an error code, which is valid in every text field."""
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
        case shape.Metadata(extra_json_schema={"examples": [first, *_]}) | shape.LiteralType(values=(first, *_)):
            return first
    return VALUES[type(kind)]


VALUES = {
    shape.NoneType: None,
    shape.AnyType: [None],
    shape.BoolType: True,
    shape.IntType: 1,
    shape.FloatType: 2.5,
    shape.StrType: errors.ROOM_FULL.code,
    shape.AnyType: {"anything": [None]},
    shape.RawType: msgspec.Raw(b'{"anything": [null]}'),
}


@pytest.mark.parametrize("full", [False, True], ids=["least", "most"])
@pytest.mark.parametrize("cls", [*REQUESTS, *SENT_FRAMES], ids=lambda cls: cls.__name__)
def test_encoded_structs_are_valid(cls: type[msgspec.Struct], full: bool) -> None:
    """A frame as the daemon writes it is valid under the schema of its message, and of no other."""
    frame = json.loads(msgspec.json.encode(instance(cls, full)))
    assert faults(cls.__name__, frame) == []
    assert [name for name in MESSAGES if not faults(name, frame)] == [cls.__name__]


def test_requests_made_from_schemas_are_read() -> None:
    """The daemon reads a request made from its schema."""
    for request in REQUESTS:
        text = json.dumps(sample({"$ref": f"#/components/schemas/{request.__name__}"}))
        assert type(decode(text)) is request


WRONG_REQUESTS: dict[str, tuple[type[Request], Json]] = {
    "key missing": (requests.EndRoom, {"type": "end-room"}),
    "key null": (requests.EndRoom, {"type": "end-room", "code": None}),
    "key of another type": (requests.JoinRoom, {"type": "join-room", "code": "a", "guestName": 5}),
    "page of none": (requests.ListRooms, {"type": "list-rooms", "limit": 0}),
    "a cursor that is none": (requests.ListRooms, {"type": "list-rooms", "cursor": "nonsense"}),
    "page too large": (requests.ListRooms, {"type": "list-rooms", "limit": 201}),
    "id empty": (requests.Ping, {"type": "ping", "id": ""}),
    "id too long": (requests.Ping, {"type": "ping", "id": "x" * 65}),
    "text too long": (requests.SendMessage, {"type": "send-message", "text": "\U0001f600" * 2001}),
    "presence that is no scalar": (requests.UpdateParticipant, {"type": "update-participant", "state": {"a": []}}),
    "no data": (requests.Signal, {"type": "signal", "to": "a"}),
}


@pytest.mark.parametrize(("request_", "frame"), WRONG_REQUESTS.values(), ids=WRONG_REQUESTS.keys())
def test_invalid_requests(request_: type[Request], frame: Json) -> None:
    """An invalid request is not valid under its schema, and the daemon does not read it."""
    assert faults(request_.__name__, frame)
    with pytest.raises(BadFrame):
        decode(json.dumps(frame))


def test_absent_null_and_unknown() -> None:
    """Requests may have unknown keys, and null in place of no key; replies leave out keys without a value."""
    assert faults("Ping", {"type": "ping", "id": None, "unknown": 1}) == []
    assert faults("PongReply", {"type": "pong"}) == []
    assert faults("PongReply", {"type": "pong", "id": None})
    assert faults("ErrorReply", {"type": "error", "statusCode": 400, "code": "nope", "message": "No"})
