"""Writing what is sent as JSON that every server can read."""

from typing import Any

import msgspec


def encode(value: Any) -> bytes:
    """Encode a value as JSON. Half of a surrogate pair, which is no Unicode, becomes U+FFFD (RFC 8259, section 8.2)."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_well_formed(msgspec.to_builtins(value, enc_hook=_decoded)))


def _decoded(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def _well_formed(value: Any) -> Any:
    match value:
        case str():
            # Two halves that belong together become one character.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list() | tuple():
            return [_well_formed(item) for item in value]
        case dict():
            return {_well_formed(key): _well_formed(item) for key, item in value.items()}
        case _:
            return value
