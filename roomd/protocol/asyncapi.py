"""The contract as data: an AsyncAPI document, generated from the message structs and the error table.

docs/protocol.md says what the frames mean and in which order they come; the document says their shapes, to
generators and validators. Actions are roomd's: it receives requests and sends replies and events. Schemas stay
open, since unknown keys are ignored.
"""

import inspect

import msgspec

from roomd import __version__
from roomd.protocol.errors import Close
from roomd.protocol.events import EVENTS, Event
from roomd.protocol.replies import ErrorReply, Reply, WaitingReply
from roomd.protocol.requests import REQUESTS, Request, tag_of
from roomd.protocol.schemas import Json, ref, schemas, title

VERSION = "3.0.0"
"""The version of AsyncAPI that the document follows: the newest one that the official generators read."""

SENT: tuple[type[Event | Reply], ...] = (*EVENTS, WaitingReply)
"""What is sent unasked; `waiting` answers a join and is sent again later."""

_CHANNEL = "roomd"
_BEARER = "Authorization"
_SUBPROTOCOLS = "Sec-WebSocket-Protocol"


def document(path: str = "/ws") -> Json:
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
            **{f"receive-{tag_of(request)}": _receive(request) for request in REQUESTS},
            **{f"send-{tag_of(event)}": _send(event) for event in SENT},
        },
        "components": {
            "messages": {cls.__name__: _message(cls) for cls in _messages()},
            "schemas": schemas(_messages()),
            "correlationIds": {"id": {"location": "$message.payload#/id"}},
            "securitySchemes": _security_schemes(),
        },
    }


def _server(protocol: str, host: str, description: str) -> Json:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": host, "description": "Name or address, and port."}},
        "security": [ref(name, "components/securitySchemes") for name in _security_schemes()],
    }


def _security_schemes() -> Json:
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


def _channel(path: str) -> Json:
    headers = {_BEARER: "Bearer <jwt>", _SUBPROTOCOLS: "roomd.v1, or roomd.v1, bearer.<jwt>; never required"}
    properties = {name: {"type": "string", "description": text} for name, text in headers.items()}
    return {
        "address": path,
        "title": "The WebSocket",
        "description": f"One text frame is one message. Close codes:\n\n{_closes()}",
        "messages": {cls.__name__: ref(cls.__name__, "components/messages") for cls in _messages()},
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


def _receive(request: type[Request]) -> Json:
    replies: list[type[Reply]] = [*request.answers, ErrorReply]
    operation = {
        **_operation("receive", request),
        "reply": {"channel": ref(_CHANNEL, "channels"), "messages": [_channel_message(reply) for reply in replies]},
    }
    if request.is_quiet:
        operation["description"] = "`ok` answers only a request with an `id`; an error is always answered."
    return operation


def _send(event: type[Event | Reply]) -> Json:
    return _operation("send", event)


def _operation(action: str, cls: type[msgspec.Struct]) -> Json:
    return {
        "action": action,
        "channel": ref(_CHANNEL, "channels"),
        "title": title(cls),
        "summary": inspect.getdoc(cls),
        "messages": [_channel_message(cls)],
    }


def _messages() -> list[type[Request | Reply | Event]]:
    """Return every message of the wire, each once, in a fixed order."""
    answers = [reply for request in REQUESTS for reply in request.answers]
    return list(dict.fromkeys([*REQUESTS, *answers, ErrorReply, *SENT]))


def _message(cls: type[Request | Reply | Event]) -> Json:
    message = {
        "name": tag_of(cls),
        "title": title(cls),
        "summary": inspect.getdoc(cls),
        "payload": ref(cls.__name__),
    }
    if not issubclass(cls, Event):
        message["correlationId"] = ref("id", "components/correlationIds")
    return message


def _channel_message(cls: type[msgspec.Struct]) -> Json:
    return ref(cls.__name__, f"channels/{_CHANNEL}/messages")
