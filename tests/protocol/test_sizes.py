"""How much objects and texts take on the wire."""

from roomd.protocol.codec import size_of


def test_sizes_are_those_on_the_wire() -> None:
    """A text counts with its quotes and escapes, and in UTF-8."""
    assert [size_of("é"), size_of('"'), size_of({"muted": True})] == [4, 4, 14]
