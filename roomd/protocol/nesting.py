"""Bound how deep a frame is nested (docs/protocol.md, section 1).

Without a bound of our own the interpreter's decides: about 1,000 levels before Python 3.12 and 10,000 since. A daemon
would then pass on what a client, or the daemon of another machine, cannot read.
"""

import re

DEEPEST = 500
"""Objects and arrays that may stand in one another."""

# A string that does not end is one piece with all that follows, so it is read only once.
_PIECE = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[{]++|[\]}]++', re.DOTALL)


def is_too_deep(text: str) -> bool:
    """Return whether more than `DEEPEST` brackets are open at once. It takes linear time, and little for short text."""
    if len(text) <= DEEPEST or text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for piece in _PIECE.findall(text):
        if piece[0] in "[{":
            depth += len(piece)
            if depth > DEEPEST:
                return True
        elif piece[0] != '"':
            depth -= len(piece)
    return False
