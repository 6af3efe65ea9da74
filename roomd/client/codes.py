"""Room codes as people paste them: with the link around them."""

from urllib.parse import parse_qs, urlsplit


def code_of(text: str) -> str:
    """Return the room's code in a link. What is no link is returned as it is: the server folds codes by itself.

    A link is like `https://meet.example/#abc-def-ghi`, `https://meet.example/#code=abc-def-ghi&ticket=…` or
    `https://meet.example/?room=abc-def-ghi`.
    """
    link = text.strip()
    if not link.lower().startswith(("http://", "https://")):
        return text
    parts = urlsplit(link)
    fragment = parts.fragment if "=" in parts.fragment else f"code={parts.fragment}"
    codes = parse_qs(fragment).get("code") or parse_qs(parts.query).get("room")
    return codes[0] if codes else text
