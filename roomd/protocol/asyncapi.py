"""The contract as data: an AsyncAPI document, generated from the message structs and the error table.

docs/protocol.md says what the frames mean and in which order they come; the document says their shapes, to
generators and validators. Actions are roomd's: it receives requests and sends replies and events. Schemas stay
open, since unknown keys are ignored.
"""

import inspect
import re
from typing import Any

import msgspec

from roomd import __version__
from roomd.protocol import errors, log_events, objects
from roomd.protocol.errors import Close, ErrorKind
from roomd.protocol.events import EVENTS, Event
from roomd.protocol.log_events import LogEvent
from roomd.protocol.replies import ErrorReply, Reply, WaitingReply
from roomd.protocol.requests import REQUESTS, Request

VERSION = "3.1.0"
"""The version of AsyncAPI that the document follows."""

SENT: tuple[type[Event | Reply], ...] = (*EVENTS, WaitingReply)
"""What is sent unasked; `waiting` answers a join and is sent again later."""

_CHANNEL = "roomd"
_BEARER = "Authorization"
_SUBPROTOCOLS = "Sec-WebSocket-Protocol"

_Json = dict[str, Any]


def document(path: str = "/ws") -> _Json:
    """Describe a roomd whose WebSocket is at `path`, in JSON values; made anew by every call."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "roomd",
            "version": __version__,
            "description": "Rooms people can join, over WebSocket: the protocol roomd/1.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "direct": _server("ws", "127.0.0.1:8765", "roomd itself."),
            "proxied": _server("wss", "meet.example", "roomd behind a proxy that terminates TLS."),
        },
        "channels": {_CHANNEL: _channel(path)},
        "operations": {
            **{f"receive-{_tag(request)}": _receive(request) for request in REQUESTS},
            **{f"send-{_tag(event)}": _send(event) for event in SENT},
        },
        "components": {
            "messages": {cls.__name__: _message(cls) for cls in _messages()},
            "schemas": _schemas(),
            "correlationIds": {"id": {"location": "$message.payload#/id"}},
            "securitySchemes": _security_schemes(),
        },
    }


def _server(protocol: str, host: str, description: str) -> _Json:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": host, "description": "Name or address, and port."}},
        "security": [_ref("components/securitySchemes", name) for name in _security_schemes()],
    }


def _security_schemes() -> _Json:
    """Describe how a token comes with the upgrade; the third way, `authenticate`, is a request."""
    optional = "Optional: without a token the connection is a guest's until it sends `authenticate`."
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": optional},
        "subprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": _SUBPROTOCOLS,
            "description": f"For browsers: `roomd.v1, bearer.<jwt>`; the server selects `roomd.v1`. {optional}",
        },
    }


def _channel(path: str) -> _Json:
    headers = {_BEARER: "Bearer <jwt>", _SUBPROTOCOLS: "roomd.v1, or roomd.v1, bearer.<jwt>; never required"}
    properties = {name: {"type": "string", "description": text} for name, text in headers.items()}
    return {
        "address": path,
        "title": "The WebSocket",
        "description": f"One text frame is one message. Close codes:\n\n{_closes()}",
        "messages": {cls.__name__: _ref("components/messages", cls.__name__) for cls in _messages()},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {"type": "object", "properties": properties},
                "bindingVersion": "0.1.0",
            }
        },
    }


def _closes() -> str:
    codes = {name: code for name, code in vars(Close).items() if name.isupper()}
    return "\n".join(f"- {code}: {name.lower().replace('_', ' ')}" for name, code in codes.items())


def _receive(request: type[Request]) -> _Json:
    replies: list[type[Reply]] = [*request.answers, ErrorReply]
    operation = {
        **_operation("receive", request),
        "reply": {"channel": _ref("channels", _CHANNEL), "messages": [_channel_message(reply) for reply in replies]},
    }
    if request.is_quiet:
        operation["description"] = "`ok` answers only a request with an `id`; an error is always answered."
    return operation


def _send(event: type[Event | Reply]) -> _Json:
    return _operation("send", event)


def _operation(action: str, cls: type[msgspec.Struct]) -> _Json:
    return {
        "action": action,
        "channel": _ref("channels", _CHANNEL),
        "title": _title(cls),
        "summary": inspect.getdoc(cls),
        "messages": [_channel_message(cls)],
    }


def _messages() -> list[type[Request | Reply | Event]]:
    """Return every message of the wire, each once, in a fixed order."""
    answers = [reply for request in REQUESTS for reply in request.answers]
    return list(dict.fromkeys([*REQUESTS, *answers, ErrorReply, *SENT]))


def _message(cls: type[Request | Reply | Event]) -> _Json:
    message = {
        "name": _tag(cls),
        "title": _title(cls),
        "summary": inspect.getdoc(cls),
        "payload": _ref("components/schemas", cls.__name__),
    }
    if not issubclass(cls, Event):
        message["correlationId"] = _ref("components/correlationIds", "id")
    return message


def _schemas() -> _Json:
    _, schemas = msgspec.json.schema_components(_messages(), ref_template="#/components/schemas/{name}")
    structs = {**vars(objects), **vars(log_events), **{cls.__name__: cls for cls in _messages()}}
    for name, schema in schemas.items():
        if structs[name].__struct_config__.omit_defaults:
            schema["properties"] = {key: _omitted(value) for key, value in schema["properties"].items()}
        if issubclass(structs[name], LogEvent):
            for key in ("position", "id"):  # left out only in what is stored
                schema["properties"][key] = {"type": "string"}
                schema["required"].insert(1, key)
    events = schemas["LogEvents"]["properties"]["events"]
    schemas["LogEvent"] = {"title": "LogEvent", "anyOf": events["items"]["anyOf"], "discriminator": "type"}
    events["items"] = _ref("components/schemas", "LogEvent")
    for name in ("ErrorReply", "Admission"):
        schemas[name]["properties"]["code"] = _ref("components/schemas", "ErrorCode")
    return {**schemas, "ErrorCode": _error_code()}


def _omitted(schema: _Json) -> _Json:
    """Remove null from the schema of a key that is left out instead."""
    if schema.get("default", ...) is not None:
        return schema
    options = [option for option in schema["anyOf"] if option != {"type": "null"}]
    return options[0] if len(options) == 1 else {"anyOf": options}


def _error_code() -> _Json:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, ErrorKind)]
    return {
        "title": "ErrorCode",
        "type": "string",
        "enum": [kind.code for kind in kinds],
        "description": "\n".join(_error_line(kind) for kind in kinds),
    }


def _error_line(kind: ErrorKind) -> str:
    close = f" Then close {kind.close}." if kind.close else ""
    return f"- `{kind.code}`, {kind.status_code}: {kind.message}.{close}"


def _tag(cls: type[msgspec.Struct]) -> str:
    return str(cls.__struct_config__.tag)


def _title(cls: type[msgspec.Struct]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).capitalize()


def _channel_message(cls: type[msgspec.Struct]) -> _Json:
    return _ref(f"channels/{_CHANNEL}/messages", cls.__name__)


def _ref(place: str, name: str) -> _Json:
    return {"$ref": f"#/{place}/{name}"}
