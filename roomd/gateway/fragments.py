"""The fragments of one message that is not complete (RFC 6455, section 5.4)."""

FRAGMENT_LIMIT = 4096
"""The number of frames that one message may have."""
FRAGMENTS_A_REQUEST = 4
"""The number of fragments that count as one request against the rate limit."""


class Fragments:
    """Join the fragments of a message. The library has checked their order and their size."""

    __slots__ = ("count", "data", "is_text", "last_size")

    def __init__(self, *, is_text: bool) -> None:
        self.is_text = is_text
        """Whether it is a text message; else it is a binary one."""
        self.data = bytearray()
        """The payloads, joined."""
        self.count = 0
        """The number of fragments."""
        self.last_size = 0
        """The bytes of the last payload."""

    def add(self, payload: bytes | bytearray | memoryview) -> None:
        """Add the payload of the next fragment."""
        self.data += payload
        self.last_size = len(payload)
        self.count += 1

    def held(self) -> int:
        """Return the bytes that are held: the library keeps the last payload as well."""
        return len(self.data) + self.last_size

    def are_too_many(self) -> bool:
        """Return whether the message has more frames than it may have."""
        return self.count > FRAGMENT_LIMIT

    def must_be_counted(self) -> bool:
        """Return whether the last fragment counts as a request."""
        return self.count % FRAGMENTS_A_REQUEST == 0
