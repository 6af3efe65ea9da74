"""One client's way out: frames as RFC 6455 wants them, and the verdict on slow readers."""

import pytest
from websockets.frames import Frame, Opcode

from roomd.gateway.outbox import Outbox, text_frame
from tests.support.fakes import FakeState, FakeTransport


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_frames_are_the_library_s(size: int) -> None:
    """Every length form of RFC 6455, section 5.2, byte for byte as `websockets` writes it."""
    payload = b"x" * size
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_a_slow_reader_is_closed_once() -> None:
    """Past its bound a client is closed with 4408 and never written to again; up to it, it is served."""
    transport, closes = FakeTransport(), []
    outbox = Outbox(transport, 1000, FakeState(), lambda code, reason: closes.append((code, reason)))
    transport.unread = 1000
    outbox.send(text_frame(b"{}"), text_frame(b"[]"))
    assert transport.frames() == [{}, []]
    transport.unread = 1001
    outbox.send(text_frame(b"{}"))
    outbox.send(text_frame(b"{}"))
    outbox.close(1000)
    assert (transport.frames(), closes, outbox.is_closed) == ([], [(4408, "too slow to read")], True)


BUSY = [(0, False), (500, False), (501, True), (1000, True), (1001, True)]


@pytest.mark.parametrize(("unread", "busy"), BUSY)
def test_a_reader_is_busy_with_half_the_limit_unread(unread: int, busy: bool) -> None:
    """Section 8: signals wait then, long before what is unread would cost the reader its connection."""
    transport, closes = FakeTransport(), []
    outbox = Outbox(transport, 1000, FakeState(), lambda code, _: closes.append(code))
    transport.unread = unread
    assert outbox.is_half_full() is busy
    assert (closes, outbox.is_closed) == ([], False), "asking changes nothing"


def test_a_connection_that_is_over_is_not_written_to() -> None:
    """No data follows a close frame, whoever sent it."""
    transport, connection = FakeTransport(), FakeState()
    outbox = Outbox(transport, 1000, connection, lambda *_: None)
    outbox.send(text_frame(b"{}"))
    connection.is_open = False
    outbox.send(text_frame(b"[]"))
    assert transport.frames() == [{}]
