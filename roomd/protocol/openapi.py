"""The server API as data: an OpenAPI document, generated from the structs of the requests and the error table.

docs/protocol.md, section 11, says how the API is used. Schemas stay open, since unknown keys are ignored.
"""

import inspect
from typing import Any

from roomd import __version__
from roomd.protocol.events import LogEvents
from roomd.protocol.log_events import AnyLogEvent
from roomd.protocol.replies import ErrorReply, OkReply, Reply
from roomd.protocol.requests import BY_HTTP, MOST_WATCHED, Request, tag_of
from roomd.protocol.schemas import ERRORS, Json, error_line, ref, schemas, title

VERSION = "3.1.0"
"""The version of OpenAPI that the document follows."""
PREFIX = "/api/v1/"
"""The first part of the paths of the API."""

EVENTS = PREFIX + "events"
"""The path by which the event log is read, with `GET`."""

MOST_EVENTS = 1000
"""The largest `limit` of a request for events."""
EVENTS_DEFAULT = 100
"""The `limit` of a request without one."""
MOST_SECONDS = 25
"""The largest `wait`: proxies often end a request that gets no answer for 30 seconds."""
_PAGE = "EventsPage"

_RESPONSES = "components/responses"
_TEXTS = {
    413: "The body has more bytes than a frame may have, by default 64 KiB.",
    415: "The body is no JSON: send it with the header Content-Type: application/json.",
}
"""The refusals that have a text for people in place of a frame."""
_SAMPLES: Json = {
    "code": "abc-def-ghi",
    "name": "Weekly",
    "isLocked": True,
    "participantId": "01jq5w3x7k0000000000000000",
    "userId": "bob",
    "text": "The meeting ends in five minutes.",
    "limit": 100,
}
"""Values for the example of a request, by key."""
_SHOWN = ("name", "isLocked", "userId", "limit")
"""The keys that an example has though they are not required."""


def document() -> Json:
    """Describe the server API, in JSON values; made anew by every call."""
    found = _schemas()
    return {
        "openapi": VERSION,
        "info": {
            "title": "roomd",
            "version": __version__,
            "summary": "The server API of roomd: requests that need no WebSocket.",
            "description": "A request is charged to its user. The WebSocket is described by `/asyncapi.json`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The daemon that serves this document."}],
        "security": [{"bearer": []}],
        "paths": {
            **{PREFIX + tag_of(request): {"post": _operation(request, found)} for request in BY_HTTP},
            EVENTS: {"get": _events()},
        },
        "components": {
            "schemas": found,
            "responses": {**{str(status): _error(status) for status in _statuses()}, **_texts()},
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "The token of a user or an admin.",
                }
            },
        },
    }  # fmt: skip


def _operation(request: type[Request], found: dict[str, Json]) -> Json:
    body = found[request.__name__]
    return {
        "operationId": tag_of(request).replace("-", "_"),
        "tags": ["rooms"],
        "summary": inspect.getdoc(request),
        "requestBody": {
            "required": bool(body.get("required")),
            "content": _content(ref(request.__name__), {"example": _example(body)}),
        },
        "responses": {
            "200": {"description": "The reply.", "content": _content(_reply(request.answers))},
            **{str(status): ref(str(status), _RESPONSES) for status in sorted({*_statuses(), *_TEXTS})},
        },
    }


def _events() -> Json:
    """Describe how the event log is read."""
    many = {"type": "array", "items": {"type": "string"}, "maxItems": MOST_WATCHED}
    return {
        "operationId": "list_events",
        "tags": ["events"],
        "summary": "Read the event log.",
        "description": "With `Accept: text/event-stream` the response is a stream of Server-Sent Events. A client that "
        "reconnects to it sends the last `id` as `Last-Event-ID`, in place of `after`.",
        "parameters": [
            _parameter(
                "after", {"type": "string"}, "A position, or `latest`; without it the oldest event is the first."
            ),
            _parameter("limit", _between(1, MOST_EVENTS, EVENTS_DEFAULT), "The most events in the response."),
            _parameter("wait", _between(0, MOST_SECONDS, 0), "The seconds to wait for an event."),
            _parameter("room", many, "The codes of rooms; for admins all rooms without it."),
        ],
        "responses": {
            "200": {"description": "The events that follow, and where to read on.", "content": _content(ref(_PAGE))},
            **{str(status): ref(str(status), _RESPONSES) for status in _statuses()},
        },
    }


def _parameter(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _between(least: int, most: int, default: int) -> Json:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def _reply(answers: tuple[type[Reply], ...]) -> Json:
    found = [ref(reply.__name__) for reply in answers]
    return found[0] if len(found) == 1 else {"oneOf": found}


def _content(schema: Json, more: Json | None = None) -> Json:
    return {"application/json": {"schema": schema, **(more or {})}}


def _schemas() -> dict[str, Json]:
    replies = [reply for request in BY_HTTP for reply in request.answers]
    found = schemas(dict.fromkeys([*BY_HTTP, *replies, OkReply, ErrorReply, LogEvents]))
    found[_PAGE] = _page(found.pop(LogEvents.__name__))
    names = {str(kind.__struct_config__.tag): ref(kind.__name__)["$ref"] for kind in AnyLogEvent.__args__}
    found["LogEvent"]["discriminator"] = {"propertyName": "type", "mapping": names}
    for request in BY_HTTP:
        _make_body(found[request.__name__], title(request))
    return found


def _page(frame: Json) -> Json:
    """Make the schema of a part of the log of that of an `events` frame: without `type`."""
    del frame["properties"]["type"]
    return {**frame, "title": _PAGE, "required": list(frame["properties"])}


def _make_body(schema: Json, name: str) -> None:
    """Make the schema of a body of that of a frame: without `type` and `id`, and with the room that it is about.

    `code` can be left out on a WebSocket only, for the room of the seat there; or where another key names the room.
    """
    properties = schema["properties"]
    del properties["type"], properties["id"]
    required = [key for key in schema["required"] if key != "type"]
    if "code" in properties and "code" not in required and "externalId" not in properties:
        properties["code"] = {"type": "string"}
        required.append("code")
    if required:
        schema["required"] = required
    else:
        del schema["required"]
    schema["title"] = name


def _example(body: Json) -> Json:
    """Return a body with every key that is required, and some others."""
    return {key: _SAMPLES[key] for key in body["properties"] if key in _SHOWN or key in body.get("required", ())}


def _statuses() -> list[int]:
    return sorted({kind.status_code for kind in ERRORS})


def _error(status: int) -> Json:
    kinds = [kind for kind in ERRORS if kind.status_code == status]
    frame = {"type": "error", "statusCode": status, "code": kinds[0].code, "message": kinds[0].message}
    found: Json = {
        "description": "\n".join(error_line(kind) for kind in kinds),
        "content": _content(ref("ErrorReply"), {"example": frame}),
    }
    if headers := _HEADERS.get(status):
        found["headers"] = headers
    return found


_RETRY: dict[str, Any] = {
    "Retry-After": {"description": "The seconds after which to try again.", "schema": {"type": "integer"}}
}
_HEADERS: dict[int, Json] = {
    401: {"WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}}},
    429: _RETRY,
    503: _RETRY,
}


def _texts() -> Json:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {str(status): {"description": text, "content": content} for status, text in _TEXTS.items()}
