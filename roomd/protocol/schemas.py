"""JSON Schemas of the messages and their objects, for the AsyncAPI and the OpenAPI document.

Every object and every enumeration has a name of its own, so that generators of code name what they make of it.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from roomd.protocol import errors, log_events, objects
from roomd.protocol.errors import ErrorKind
from roomd.protocol.log_events import LogEvent

Json = dict[str, Any]

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, ErrorKind)]
"""Every row of the error table."""


def ref(name: str, place: str = "components/schemas") -> Json:
    """Return a reference to a part of the document."""
    return {"$ref": f"#/{place}/{name}"}


def title(cls: type[msgspec.Struct]) -> str:
    """Return the name of a struct as words."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).capitalize()


def schemas(kinds: Iterable[type[msgspec.Struct]]) -> dict[str, Json]:
    """Return the schemas of messages, and of the objects in them, by name. They are made anew by every call.

    `ErrorReply`, `RoomReply` and `LogEvents` must be among them.
    """
    kinds = list(kinds)
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    structs = {**vars(objects), **vars(log_events), **{cls.__name__: cls for cls in kinds}}
    enumerations: dict[str, Json] = {}
    shared = _shared_keys(found.values())
    for name, schema in found.items():
        properties = schema.get("properties", {})
        if structs[name].__struct_config__.omit_defaults:
            properties = {key: _omitted(value) for key, value in properties.items()}
        schema["properties"] = {
            key: _named(key if key in shared else f"{name}{_upper(key)}", value, enumerations)
            for key, value in properties.items()
        }
        if issubclass(structs[name], LogEvent):
            for key in ("position", "id"):  # left out only in what is stored
                schema["properties"][key] = {"type": "string"}
                schema["required"].insert(1, key)
    events = found["LogEvents"]["properties"]["events"]
    found["LogEvent"] = {"title": "LogEvent", "anyOf": events["items"]["anyOf"]}
    events["items"] = ref("LogEvent")
    for name in ("ErrorReply", "Admission"):
        found[name]["properties"]["code"] = ref("ErrorCode")
    return {**found, **enumerations, "ErrorCode": _error_code()}


def error_line(kind: ErrorKind) -> str:
    """Describe a row of the error table in Markdown."""
    close = f" Then close {kind.close}." if kind.close else ""
    return f"- `{kind.code}`, {kind.status_code}: {kind.message}.{close}"


def _omitted(schema: Json) -> Json:
    """Remove null from the schema of a key that is left out instead."""
    if schema.get("default", ...) is not None:
        return schema
    options = [option for option in schema["anyOf"] if option != {"type": "null"}]
    return options[0] if len(options) == 1 else {"anyOf": options}


def _shared_keys(found: Iterable[Json]) -> set[str]:
    """Return the keys that have one enumeration wherever they have any."""
    values: dict[str, set[tuple[str, ...]]] = {}
    for schema in found:
        for key, value in schema.get("properties", {}).items():
            if len(value.get("enum", ())) > 1:
                values.setdefault(key, set()).add(tuple(value["enum"]))
    return {key for key, kinds in values.items() if len(kinds) == 1}


def _upper(key: str) -> str:
    return key[0].upper() + key[1:]


def _named(key: str, schema: Json, enumerations: dict[str, Json]) -> Json:
    """Name the enumeration that a key has. One with a single value is a constant."""
    if "enum" not in schema:
        return schema
    values = schema["enum"]
    if len(values) == 1:
        return {"type": "string", "const": values[0]}
    name = _upper(key)
    enumerations[name] = {"title": name, "type": "string", "enum": values}
    return {**ref(name), "default": schema["default"]} if "default" in schema else ref(name)


def _error_code() -> Json:
    return {
        "title": "ErrorCode",
        "type": "string",
        "enum": [kind.code for kind in ERRORS],
        "description": "\n".join(error_line(kind) for kind in ERRORS),
    }
