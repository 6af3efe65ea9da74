"""How deep a frame may be nested: docs/protocol.md, section 1."""

import pytest

from roomd.protocol.codec import BadFrame, decode
from roomd.protocol.requests import Signal

NESTED = '[{"\\"":' * 249 + "[1]" + "}]" * 249
"""With the object around it, 500 levels: the most there may be."""
DEEPER = NESTED.replace("1", "[1]")


@pytest.mark.parametrize(
    "value",
    [NESTED, f'"{"[" * 1000}"', f"[{NESTED[1:-1]}{',{}' * 500}]"],
    ids=["the deepest", "brackets in a string", "brackets beside one another"],
)
def test_as_deep_as_allowed(value: str) -> None:
    """500 levels are read on every version of Python."""
    request = decode(f'{{"type": "signal", "to": "p", "data": {value}}}')
    assert isinstance(request, Signal)
    assert bytes(request.data).decode() == value


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (f'{{"id": 7, "type": "ping", "x": {DEEPER}}}', 7),
        (f'{{"type": "get-room", "code": {DEEPER}}}', None),
    ],
    ids=["an unknown key", "where a text belongs"],
)
def test_deeper_than_allowed(text: str, id_: int | None) -> None:
    """One level more is refused, with the id where the brackets are balanced."""
    with pytest.raises(BadFrame) as caught:
        decode(text)
    assert "nested too deep" in caught.value.message
    assert caught.value.id == id_
