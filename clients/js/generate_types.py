"""Write src/protocol.js: what the client uses of the protocol as JSDoc types, from roomd's AsyncAPI document.

With `--check` nothing is written; it fails if the file is not current.
"""

import ast
import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from roomd.protocol import asyncapi, objects, replies

TARGET = Path(__file__).parent / "src" / "protocol.js"
HEAD = """\
/**
 * The objects of the protocol, as types.
 *
 * Generated from roomd's AsyncAPI document by generate_types.py: to change it, change roomd, then run `make types`.
 */
"""

Schema = dict[str, Any]

USED = (
    "Participant",
    "Room",
    "Message",
    "Waiting",
    "MessagesReply",
    "BansReply",
    "IceServersReply",
    "RoomReply",
)
"""The schemas that the client refers to; those that they refer to are written too."""


class Alias(NamedTuple):
    """A name for the type of one field."""

    schema: str
    field: str
    name: str
    description: str
    type: str = ""
    """Where the document says less than it could."""


ALIASES = (
    Alias("Participant", "state", "State", "Presence, like `{muted: true}`: at most 16 keys, 1 KiB of JSON."),
    Alias(
        "Waiting",
        "reason",
        "WaitReason",
        "What somebody waits for: the host, or a seat.",
        '"waiting_room" | "room_full"',
    ),
)
NAMES = {(alias.schema, alias.field): alias.name for alias in ALIASES}


def generate() -> str:
    """Return the text of src/protocol.js."""
    schemas: dict[str, Schema] = asyncapi.document()["components"]["schemas"]
    docs = {**_field_docs(objects), **_field_docs(replies)}
    aliases = [_alias(alias, schemas) for alias in ALIASES]
    types = [_object(name, schemas[name], docs.get(name, {})) for name in _reachable(schemas)]
    return "\n".join([HEAD, *aliases, *types, "export {};\n"])


def _reachable(schemas: dict[str, Schema]) -> list[str]:
    """Return the names of the schemas in use, each once."""
    names = list(USED)
    for name in names:  # which grows meanwhile
        references = re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas[name]))
        names.extend(reference for reference in references if reference not in names)
    return names


def _alias(alias: Alias, schemas: dict[str, Schema]) -> str:
    type_ = alias.type or _type(schemas[alias.schema]["properties"][alias.field])
    return f"/**\n * {alias.description}\n *\n * @typedef {{{type_}}} {alias.name}\n */\n"


def _object(name: str, schema: Schema, docs: dict[str, str]) -> str:
    """Describe one schema. The server sends a field that has a default, unless its struct leaves defaults out."""
    lines = schema["description"].splitlines() if "description" in schema else []
    if "properties" not in schema:
        lines += [*([""] if lines else []), f"@typedef {{{_type(schema)}}} {name}"]
    else:
        lines += ["", f"@typedef {{object}} {name}"]
    for field, value in schema.get("properties", {}).items():
        type_ = NAMES.get((name, field)) or _type(value)
        is_sent = field in schema["required"] or ("default" in value and not _leaves_defaults_out(name))
        shown = field if is_sent else f"[{field}]"
        lines.append(f"@property {{{type_}}} {shown} {docs.get(field, '')}")
    body = "\n".join(f" * {line}".rstrip() for line in lines)
    return f"/**\n{body}\n */\n"


def _leaves_defaults_out(name: str) -> bool:
    struct = getattr(objects, name, None) or getattr(replies, name)
    return bool(struct.__struct_config__.omit_defaults)


def _type(schema: Schema) -> str:
    """Write a JSON schema as a TypeScript type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            item = _type(schema["items"])
            return f"({item})[]" if " " in item else f"{item}[]"
        case "object":
            return f"Record<string, {_type(schema.get('additionalProperties', {}))}>"
        case "integer" | "number":
            return "number"
        case "string" | "boolean" | "null" as name:
            return str(name)
        case _:
            return "any"


def _field_docs(module: ModuleType) -> dict[str, dict[str, str]]:
    """Read the docstrings under the fields of a module's classes; the document has none of them."""
    docs: dict[str, dict[str, str]] = {}
    for cls in ast.parse(inspect.getsource(module)).body:
        if not isinstance(cls, ast.ClassDef):
            continue
        fields = docs.setdefault(cls.name, {})
        for field, text in zip(cls.body, cls.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    fields[_camel(name)] = " ".join(inspect.cleandoc(words).split())
    return docs


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def main() -> int:
    """Write the file, or check it."""
    text = generate()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET} is not current: run `make types`", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
