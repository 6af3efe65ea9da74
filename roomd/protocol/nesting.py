"""Bound how deep a frame is nested (docs/protocol.md, section 1).

Without a bound of our own the interpreter's decides: about 1,000 levels in Python 3.11, 1,500 in 3.12 and 10,000 in
3.13. A daemon would then pass on what a client, or the daemon of another machine, cannot read.
"""

from roomd.protocol.frame_ids import PIECE

DEEPEST = 500
"""How many objects and arrays may stand in one another."""


def is_too_deep(text: str) -> bool:
    """Return whether more than `DEEPEST` brackets are open at once. It takes linear time, and little for short text."""
    if len(text) <= DEEPEST or text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for piece in PIECE.findall(text):
        if piece[0] in "[{":
            depth += len(piece)
            if depth > DEEPEST:
                return True
        elif piece[0] in "]}":
            depth -= len(piece)
    return False
