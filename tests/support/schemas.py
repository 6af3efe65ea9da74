"""The AsyncAPI document, values that are valid under its schemas, and the text of docs/protocol.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from roomd.protocol.asyncapi import document
from roomd.protocol.requests import REQUESTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()

Json = dict[str, Any]
DOCUMENT = document()
SCHEMAS: dict[str, Json] = DOCUMENT["components"]["schemas"]
MESSAGES: dict[str, Json] = DOCUMENT["components"]["messages"]
BY_NAME = {request.__name__: request for request in REQUESTS}


def references(value: Any) -> Iterator[str]:
    """Return every `$ref` in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def target(ref: str) -> Any:
    """Return what a reference of the document points to."""
    found: Any = DOCUMENT
    for key in ref.removeprefix("#/").split("/"):
        found = found[key]
    return found


def faults(name: str, value: Any, schemas: Json = SCHEMAS) -> list[str]:
    """Return what is wrong with a value under a schema of the document, one text for each error."""
    whole = {"components": {"schemas": schemas}, "$ref": f"#/components/schemas/{name}"}
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(whole).iter_errors(value)]


def sample(schema: Json) -> Any:
    """Make a value that is valid under a schema: with every key, and of the first of several kinds."""
    match schema:
        case {"$ref": ref}:
            return sample(target(ref))
        case {"const": first} | {"enum": [first, *_]} | {"examples": [first, *_]}:
            return first
        case {"anyOf": [first, *_]}:
            return sample(first)
        case {"properties": properties}:
            return {key: sample(inner) for key, inner in properties.items()}
        case {"additionalProperties": inner}:
            return {"key": sample(inner)}
        case {"items": inner}:
            return [sample(inner)]
        case {"type": "object"}:
            return {"any": "thing"}
        case {"type": kind}:
            return {"string": "x", "integer": 1, "number": 1.5, "boolean": True}[kind]
    return {"any": "thing"}
