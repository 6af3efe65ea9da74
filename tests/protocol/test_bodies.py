"""The bodies of requests by HTTP: frames whose type is known already."""

import pytest

from roomd.protocol.codec import BadFrame, decode_body
from roomd.protocol.requests import EndRoom, GetRoom

DEEP = b'{"code": ' + b"[" * 600 + b"]" * 600 + b"}"


@pytest.mark.parametrize("body", [b'{"code": "abc"}', b'{"type": "get-room", "code": "abc"}'])
def test_a_body(body: bytes) -> None:
    """A body is a frame, with or without its type."""
    assert decode_body(GetRoom, body) == GetRoom(code="abc")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type": "get-room", "code": "abc"}', b"\xff", DEEP])
def test_no_body(body: bytes) -> None:
    """What is no such frame is refused as one, and nothing else is raised."""
    with pytest.raises(BadFrame) as found:
        decode_body(EndRoom, body)
    assert found.value.kind.code == "bad_frame"
