"""The rules for names and room codes (docs/protocol.md, sections 1 and 4)."""

import re
import unicodedata

_CODE = re.compile(r"[a-z]{3}-[a-z]{3}-[a-z]{3}")
_CODE_LETTERS = re.compile(r"[a-z]{9}")
_CODE_SEPARATORS = re.compile(r"[\s-]+")

# Embeddings, overrides and isolates reorder the text around a name: UAX #9, explicit formatting characters.
_DIRECTION_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_VISIBLE_CATEGORIES = frozenset("LNPS")

# UAX #15: NFC makes one code point out of at most four. It takes quadratic time for a series of combining marks: 0.7 s
# for a frame full of them. So a text that cannot become short enough is refused before.
_MOST_COMPOSED = 4


def clean_name(text: str, longest: int) -> str | None:
    """Trim a name and normalise it to NFC.

    Returns None unless the result has 1 to `longest` code points, all printable and at least one visible.
    """
    name = text.strip()
    if len(name) > _MOST_COMPOSED * longest:
        return None
    if name.isascii():  # most names; this is the fast path of a join
        is_valid = name.isprintable()
    else:
        name = unicodedata.normalize("NFC", name)
        categories = {unicodedata.category(char) for char in name}
        is_valid = (
            not categories & _FORBIDDEN_CATEGORIES
            and _DIRECTION_CONTROLS.isdisjoint(name)
            and any(category[0] in _VISIBLE_CATEGORIES for category in categories)
        )
    return name if is_valid and 1 <= len(name) <= longest else None


def clean_code(text: str) -> str | None:
    """Return a room code in the form `abc-def-ghi`; None if the text is no code.

    People may type it as `ABC DEF GHI` or `abcdefghi`.
    """
    if _CODE.fullmatch(text):  # as programs write it
        return text
    letters = _CODE_SEPARATORS.sub("", text).lower()
    return f"{letters[:3]}-{letters[3:6]}-{letters[6:]}" if _CODE_LETTERS.fullmatch(letters) else None
