"""Find the `id` of a frame that cannot be decoded, so that its refusal can carry it (docs/protocol.md, section 1).

A frame has a readable `id` when it is one object whose brackets outside strings are balanced, however wrong the values
are. The `id` is the value of the object's own key `id`, not of an object inside it; of several, the last.
"""

import re

import msgspec

from roomd.protocol.replies import RequestId

# Strings, structural characters, and what is between them. A string that does not end is one token with all that
# follows, so it is read only once.
_PIECE = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[\]{}:,]|[^"\[\]{}:,]++', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
_SPACE = " \t\r\n"
"""The white space of JSON (RFC 8259, section 2)."""

_keys = msgspec.json.Decoder(str)
_ids: msgspec.json.Decoder[RequestId | None] = msgspec.json.Decoder(RequestId | None)


def find_id(text: str) -> RequestId | None:
    """Return the `id` of a frame; None when it has none or cannot be read. It takes linear time."""
    value = _value_of_id(_PIECE.findall(text.strip(_SPACE)))
    try:
        return _ids.decode(value) if value else None
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _value_of_id(pieces: list[str]) -> str:
    """Return the text of the last `id` of an object; empty without one, and for anything but one whole object."""
    if pieces[:1] != ["{"]:
        return ""
    value = ""
    expected = ["}"]  # the closing brackets that are still to come
    start, colon = 1, 0  # where the member begins, and where its colon is; 0 before it
    for at, piece in enumerate(pieces[1:], 1):
        if piece in _CLOSING:
            expected.append(_CLOSING[piece])
        elif piece in _CLOSING.values() and expected.pop() != piece:
            return ""
        if len(expected) > 1:
            continue
        if piece == ":":
            colon = colon or at
        elif piece == "," or not expected:
            if colon and _is_id("".join(pieces[start:colon])):
                value = "".join(pieces[colon + 1 : at])
            start, colon = at + 1, 0
        if not expected:
            return value if at + 1 == len(pieces) else ""
    return ""


def _is_id(key: str) -> bool:
    """Return whether the text of a key is the string `id`, which may be written with escapes."""
    try:
        return _keys.decode(key) == "id"
    except (msgspec.MsgspecError, UnicodeError):
        return False
