"""Names and room codes as people type them: docs/protocol.md, sections 1 and 4."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.protocol.text import clean_code, clean_name

NAMES = {
    "plain": ("Jane Smith", "Jane Smith"),
    "trimmed": ("  Jane\t\n", "Jane"),
    "trimmed of Unicode spaces": ("\u3000Jane\u00a0", "Jane"),
    "composed": ("Zoe\u0308", "Zo\u00eb"),
    "longest": ("x" * 50, "x" * 50),
    "longest after trimming": (f" {'x' * 50} ", "x" * 50),
    "longest after composing": ("e\u0301" * 50, "\u00e9" * 50),
    "longest, four to one": ("\u03b1\u0313\u0300\u0345" * 50, "\u1f82" * 50),
    "emoji with a joiner": ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    "right to left": ("\u05d3\u05d5\u05d3", "\u05d3\u05d5\u05d3"),
    "right-to-left mark": ("\u05d3\u200f!", "\u05d3\u200f!"),
    "one astral character": ("\U00020000", "\U00020000"),
    "empty": ("", None),
    "spaces only": (" \t\u2003 ", None),
    "too long": ("x" * 51, None),
    "too long, not ASCII": ("\u00e9" * 51, None),
    "far too long": ("a" + "\u0301\u0323" * 30_000, None),
    "control character": ("Ja\x07ne", None),
    "line break within": ("Ja\nne", None),
    "NUL": ("Jane\x00", None),
    "DEL": ("Jane\x7f", None),
    "C1 control": ("Ja\u0090n\u00e9", None),
    "line separator": ("Ja\u2028ne", None),
    "paragraph separator": ("Ja\u2029ne", None),
    "lone surrogate": ("Jane\ud800", None),
    "invisible only": ("\u200b\u200d", None),
    "combining marks only": ("\u0301\u0302", None),
    **{
        f"direction control {ord(char):x}": (f"Ja{char}ne", None)
        for char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    },
}


@pytest.mark.parametrize(("typed", "name"), NAMES.values(), ids=NAMES.keys())
def test_clean_name(typed: str, name: str | None) -> None:
    """A name is trimmed and put into NFC, then has 1 to 50 code points, none that control or turn the text."""
    assert clean_name(typed, 50) == name


@given(st.text(max_size=80))
def test_clean_name_is_stable(typed: str) -> None:
    """A name that is accepted is in NFC, within its length, and accepted again as it is."""
    name = clean_name(typed, 50)
    if name is not None:
        assert 1 <= len(name) <= 50
        assert unicodedata.is_normalized("NFC", name)
        assert clean_name(name, 50) == name


CODES = {
    "canonical": ("abc-def-ghi", "abc-def-ghi"),
    "spaces": ("ABC DEF GHI", "abc-def-ghi"),
    "run together": ("abcdefghi", "abc-def-ghi"),
    "pasted": (" abc-def-ghi\r\n", "abc-def-ghi"),
    "grouped otherwise": ("ab cd-ef gh-i", "abc-def-ghi"),
    "empty": ("", None),
    "short": ("abc-def-gh", None),
    "long": ("abc-def-ghij", None),
    "digit": ("abc-def-gh1", None),
    "other letters": ("\u0430bc-def-ghi", None),
    "other separators": ("abc_def_ghi", None),
    "line break at the end of a short one": ("abcdefgh\n", None),
    "surrogate": ("abc-def-gh\ud800", None),
}


@pytest.mark.parametrize(("typed", "code"), CODES.values(), ids=CODES.keys())
def test_clean_code(typed: str, code: str | None) -> None:
    """A room code is nine letters a to z, however they are cased, spaced and hyphenated."""
    assert clean_code(typed) == code
