"""Room codes as people paste them: with the link around them."""

from urllib.parse import parse_qs, unquote


def code_of(text: str) -> str:
    """Return the room's code in a link. What is no link is returned as it is: the server folds codes by itself.

    A link is like `https://meet.example/#abc-def-ghi`, `https://meet.example/#code=abc-def-ghi&ticket=…` or
    `https://meet.example/?room=abc-def-ghi`; the scheme may be missing, and other characters may be around it.
    """
    part = text.partition("#")[2] or text.partition("?")[2]
    given = parse_qs(part)
    codes = given.get("code") or given.get("room") or [unquote(part)]
    return codes[0].strip() or text
