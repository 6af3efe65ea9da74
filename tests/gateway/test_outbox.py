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


Closes = list[tuple[int, str]]


def opened() -> tuple[Outbox, FakeTransport, FakeState, Closes]:
    """Make an outbox of a thousand bytes; the closes are those it asks for."""
    transport, connection, closes = FakeTransport(), FakeState(), []
    return Outbox(transport, 1000, connection, lambda *close: closes.append(close)), transport, connection, closes


def test_a_full_outbox_takes_no_events() -> None:
    """What a client asked for is written all the same, and once everything was sent, events are again."""
    outbox, transport, connection, closes = opened()
    assert outbox.offer(text_frame(b"{}"))
    connection.is_full = True
    assert not outbox.offer(text_frame(b"[1]"))
    outbox.send(text_frame(b"[2]"), text_frame(b"[3]"))
    outbox.send(text_frame(b"[4]"))
    connection.is_full = False
    assert outbox.offer(text_frame(b"[5]"))
    assert (transport.frames(), closes) == ([{}, [2], [3], [4], [5]], [])


@pytest.mark.parametrize(("unread", "full", "holds"), [(2000, True, 0), (2001, True, 1), (9000, False, 0)])
def test_a_client_whose_replies_wait_is_not_read(unread: int, full: bool, holds: int) -> None:
    """With more than twice the limit nothing is read until it was sent; without waiting events that is enough alone."""
    outbox, transport, connection, closes = opened()
    transport.unread, connection.is_full = unread, full
    outbox.send(text_frame(b"{}"))
    assert (connection.holds, transport.frames(), closes) == (holds, [{}], [])
    outbox.check()
    assert connection.holds == 2 * holds


BUSY = [(0, False, False), (500, False, False), (501, False, True), (1001, True, True), (1, True, True)]


@pytest.mark.parametrize(("unread", "full", "busy"), BUSY)
def test_a_reader_is_busy_with_half_the_limit_unread(unread: int, full: bool, busy: bool) -> None:
    """Section 8: signals wait then, and while events are left out."""
    outbox, transport, connection, closes = opened()
    transport.unread, connection.is_full = unread, full
    assert outbox.is_half_full() is busy
    assert (closes, outbox.is_closed) == ([], False), "asking changes nothing"


def test_a_client_that_reads_nothing_is_closed() -> None:
    """After so many ticks in which none of what waits was taken, once; whatever was written meanwhile."""
    outbox, transport, connection, closes = opened()
    outbox.tick(3)
    outbox.send(text_frame(b"{}"))
    transport.unread += 4
    outbox.tick(3)
    for _ in range(3):
        assert closes == []
        outbox.send(text_frame(b"{}"))
        connection.bytes_written += 9
        transport.unread += 4 + 9
        outbox.tick(3)
    assert closes == [(4408, "too slow to read")]
    outbox.tick(3)
    assert (len(closes), outbox.is_closed) == (1, True)


def test_a_client_that_reads_little_stays() -> None:
    """One byte in time is enough, however much comes meanwhile; so is that nothing waits."""
    outbox, transport, _, closes = opened()
    for tick in range(20):
        outbox.send(text_frame(b"{}"))
        transport.unread += 4 - (tick % 3 == 2)
        outbox.tick(3)
    transport.unread = 0
    for _ in range(9):
        outbox.tick(3)
    assert closes == []


def test_a_connection_that_is_over_is_not_written_to() -> None:
    """No data follows a close frame, whoever sent it."""
    outbox, transport, connection, closes = opened()
    outbox.send(text_frame(b"{}"))
    connection.is_open = False
    outbox.send(text_frame(b"[]"))
    assert outbox.offer(text_frame(b"[]")), "nothing is to be sent later"
    connection.is_open = True
    outbox.close(1000)
    outbox.close(1000)
    outbox.send(text_frame(b"[]"))
    assert outbox.offer(text_frame(b"[]"))
    assert (transport.frames(), closes) == ([{}], [(1000, "")])
