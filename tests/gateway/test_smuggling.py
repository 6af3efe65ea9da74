"""Request smuggling: whatever a proxy takes for one request, roomd takes for the same one, or for none.

Where a connection is not kept, nothing behind the case is served. A proxy that sees other ends of requests than roomd
can pass a request of one client as that of another (RFC 9112, section 11.2).
"""

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roomd.gateway.http.reading import FRAMING_LIMIT
from tests.support.api import ApiStage, parse, request
from tests.support.smuggling import CASES, CHUNKED, GET, HEAD, Case, fill


@pytest.mark.parametrize("piece", [100_000, 1], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_cases(case: Case, piece: int, caplog: pytest.LogCaptureFixture) -> None:
    """The answers and the state of the connection are those of the case, however its bytes are cut."""
    caplog.set_level(logging.WARNING)
    stage = await ApiStage().open()
    client, data = stage.connect(), fill(case.data, stage.token())
    found = [answer.status for answer in await client.send(*(data[i : i + piece] for i in range(0, len(data), piece)))]
    assert found == case.statuses
    if 101 in found:
        assert client.connection not in stage.listener._http_connections, "it is a WebSocket"
        return
    if not case.is_kept and not client.transport.has_ended:
        assert await client.send(b"\r\n\r\n") == []
    assert client.is_kept is case.is_kept
    after = await client.send(request("list-rooms", stage.token()))
    assert [answer.status for answer in after] == ([200] if case.is_kept else [])
    assert caplog.records == []


@pytest.mark.parametrize("over", range(-8, 9))
async def test_an_end_of_chunks_where_parsing_pauses(over: int) -> None:
    """A large body is parsed in pieces. Wherever a piece ends, the request behind the body is served as its own."""
    stage = await ApiStage().open()
    client = stage.connect()
    for pieces in (1, 2):
        size = pieces * FRAMING_LIMIT - len(b"4000\r\n\r\n0\r\n\r\n") + over
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"{}".ljust(size))
        sent = fill(CHUNKED + body, stage.token()) + request("list-rooms", stage.token(), b"[]")
        assert [answer.status for answer in await client.send(sent)] == [200, 400]


PARTS = st.sampled_from(
    [HEAD, CHUNKED, GET, b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"2\r\n{}\r\n", b"{}", b"Content-Length: 2\r\n",
     b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n", b"Host: x\r\n", b"Expect: 100-continue\r\n",
     b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"POST ", b"HTTP/1.1\r\n", b"\n",
     b"\x00"]
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.one_of(PARTS, PARTS, PARTS, st.binary(max_size=8)), max_size=12))
async def test_anything(caplog: pytest.LogCaptureFixture, pieces: list[bytes]) -> None:
    """Whatever comes, what is answered is whole responses, and the log has no fault."""
    caplog.set_level(logging.ERROR)
    stage = await ApiStage().open()
    client = stage.connect()
    for piece in pieces:
        client.transport.receive(fill(piece, stage.token()))
    await stage.idle()
    assert all(answer.status in STATUSES for answer in parse(client.transport.written()))
    client.transport.lose()
    await stage.idle()
    assert stage.listener.strangers == 0
    assert caplog.records == []


STATUSES = {100, 200, 400, 401, 405, 413, 415, 417, 426, 431, 501}
