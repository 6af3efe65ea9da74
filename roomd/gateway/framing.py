"""The frames of a client in a stream of bytes (RFC 6455): how long the next is, its payload, and the first close."""

from websockets.protocol import Protocol

REFUSED = 0
"""What `measure` returns for a header that the library refuses without reading the payload."""
SHORT = 1024
"""The bytes of a frame up to which it is decoded here, which is faster than by the library. `limits.frame` is
never less, so that such a frame is within it."""

ABNORMAL = 1006
"""The code of a connection that ended without a close frame (section 7.4.1)."""

# The first byte of a text message in one frame; in the second byte, the mask bit and the length bits.
_WHOLE_TEXT, _MASKED, _SIZE = 0x81, 0x80, 0x7F
_OPCODES = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})


def measure(data: bytes, start: int, longest: int) -> int:
    """Return the number of bytes of the frame that begins at `start`. Its payload may have `longest` bytes.

    When its header is incomplete, return how many bytes are needed to read more of it.
    """
    available = len(data) - start
    if available < 2:
        return 2
    size = data[start + 1] & _SIZE
    if data[start + 1] < _MASKED or data[start] & 0x0F not in _OPCODES:
        return REFUSED
    head = 6
    if size >= 126:
        head = 8 if size == 126 else 14
        if available < head - 4:
            return head - 4
        size = int.from_bytes(data[start + 2 : start + head - 4])
    return head + size if size <= longest else REFUSED


def short_text(data: bytes) -> bytes | None:
    """Return the payload of a short text message in one masked frame, if the bytes are exactly that; else None.

    It is unmasked (section 5.3) with one XOR of two large integers.
    """
    total = len(data)
    if not 6 <= total <= SHORT or data[0] != _WHOLE_TEXT or data[1] < _MASKED:
        return None
    size, start = data[1] & _SIZE, 6
    if size == 126:
        size, start = int.from_bytes(data[2:4]), 8
    if total != start + size or size == 127:
        return None
    keys = (data[start - 4 : start] * (size // 4 + 1))[:size]
    return (int.from_bytes(data[start:]) ^ int.from_bytes(keys)).to_bytes(size)


def first_close(library: Protocol) -> int:
    """End the stream; return the code of the first close frame, the client's or ours, or 1006 without one.

    An error of the client is closed with the code of the error (RFC 6455, section 7.1.7).
    """
    library.receive_eof()
    ended = library.close_exc
    _release_frames(ended)
    first = ended.rcvd if ended.rcvd_then_sent or ended.sent is None else ended.sent
    return first.code if first is not None else ABNORMAL


def _release_frames(error: BaseException | None) -> None:
    """Remove the tracebacks of an exception and of its causes.

    The library keeps the exception of its parser, and waits for the garbage collector itself. With Python 3.12 the
    frames in a traceback refer to the frames of their callers, so the connection would wait with it.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
