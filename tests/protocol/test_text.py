"""Names and room codes as people type them: docs/protocol.md, sections 1, 2 and 4."""

import json
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.protocol.text import BLANKS, LONGEST_TYPED_CODE, clean_code, clean_name, display_name, is_user_id

CASES = Path(__file__).parent.parent / "cases"
SEEN = json.loads((CASES / "names.json").read_text(encoding="utf-8"))
""" `invisible` names are refused, `cleaned` ones become others, `kept` ones stay as they are."""
TYPED_CODES = json.loads((CASES / "codes.json").read_text(encoding="utf-8"))
"""What people type, by the code that is meant; `none` is no code."""

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"

NAMES: dict[str, tuple[str, str | None]] = {
    **{ascii(name): (name, None) for name in SEEN["invisible"]},
    **{ascii(typed): (typed, name) for typed, name in SEEN["cleaned"].items()},
    **{ascii(name): (name, name) for name in SEEN["kept"]},
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
    "right-to-left mark": ("\u05d3\u200f!", "\u05d3!"),
    "blank glyph within": ("Jane\u2800Smith", "Jane Smith"),
    "blank glyph at the end": ("Jane\U0001d159", "Jane"),
    "space before an ignorable": ("Jane \u200b", "Jane"),
    "longest after removing": ("\u200b".join("x" * 50), "x" * 50),
    "many ignorables": ("\u200b" * (16 * 50 - 4) + "Jane", "Jane"),
    "too many ignorables": ("\u200b" * (16 * 50 - 3) + "Jane", None),
    "composed after removing": ("Zoe\u2060\u0308", "Zo\u00eb"),
    "emoji with a joiner at its end": ("\U0001f469\u200d", "\U0001f469"),
    "emoji with a skin tone": ("\U0001f469\U0001f3fd\u200d\U0001f4bb", "\U0001f469\U0001f3fd\u200d\U0001f4bb"),
    "keycap": ("1\ufe0f\u20e3", "1\ufe0f\u20e3"),
    "digit with a selector": ("Jane1\ufe0f", "Jane1"),
    "flag with tags": (ENGLAND, ENGLAND),
    "tags after a letter": (f"J{ENGLAND[1:]}", "J"),
    "flag without an end": (ENGLAND[:-1], ENGLAND[0]),
    "variant of an ideograph": ("\u845b\U000e0100", "\u845b\U000e0100"),
    "variant of a Mongolian letter": ("\u1820\u180b", "\u1820\u180b"),
    "variant of a Myanmar letter": ("\u1000\ufe00", "\u1000\ufe00"),
    "Bengali ya-phalaa": ("\u09b0\u200d\u09cd\u09af", "\u09b0\u200d\u09cd\u09af"),
    "joiner between Latin letters": ("J\u200dane", "Jane"),
    "non-joiner at the end": ("\u0645\u06cc\u200c", "\u0645\u06cc"),
    "two joiners": ("\u0915\u094d\u200d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
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


def test_a_name_is_bounded_before_it_is_normalised() -> None:
    """Four code points may become one by NFC, so 201 visible ones are too long for 50, and are refused at once."""
    assert clean_name("\u00e9" * 201, 50) is None
    assert clean_name("\u00e9" * 50 + "\u200b" * 100, 50) == "\u00e9" * 50


AROUND_JOINERS = (
    "\u200c\u200d\ufe0f\ufe00\U000e0100\u180b\u200b\u0301\u094d\u0915\u0951\u06cc\u1820\u845b\u2764\U0001f469 a1"
)


@given(st.text(max_size=80) | st.text(AROUND_JOINERS, max_size=30))
def test_clean_name_is_stable(typed: str) -> None:
    """A name that is accepted is in NFC, within its length, and accepted again as it is."""
    name = clean_name(typed, 50)
    if name is not None:
        assert 1 <= len(name) <= 50
        assert unicodedata.is_normalized("NFC", name)
        assert clean_name(name, 50) == name


def test_blank_glyphs() -> None:
    """Every character is in the list that Unicode names a blank, of those that count as visible by their category."""
    found = {
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.name(char, "").endswith((" BLANK", " NULL NOTEHEAD")) and unicodedata.category(char)[0] in "LNPS"
    }
    assert found <= set(BLANKS)
    assert all(unicodedata.name(char, "BLANK").endswith(("BLANK", "NULL NOTEHEAD")) for char in BLANKS)


USER_IDS = {
    "plain": ("alice", True),
    "of any script": ("\u674e \U0001f600", True),
    "longest": ("x" * 128, True),
    "longer when decomposed": ("\u0958" * 128, True),
    "empty": ("", False),
    "too long": ("x" * 129, False),
    "zero-width space": ("ali\u200bce", False),
    "joined emoji": ("\U0001f469\u200d\U0001f4bb", False),
    "selector": ("\u2764\ufe0f", False),
    "override": ("\u202ealice", False),
    "right-to-left mark": ("\u05d3\u200f", False),
    "control": ("ali\x00ce", False),
    "line separator": ("ali\u2028ce", False),
    "surrogate": ("ali\ud800ce", False),
    "spaces": ("  ", False),
    "blank glyph": ("\u2800", False),
    "Hangul filler": ("\u3164", False),
}


@pytest.mark.parametrize(("text", "is_one"), USER_IDS.values(), ids=USER_IDS.keys())
def test_is_user_id(text: str, is_one: bool) -> None:
    """A user id has something to see, and nothing hidden."""
    assert is_user_id(text, 128) == is_one


@pytest.mark.parametrize(
    ("claim", "name"),
    [(None, "alice"), ("Alice\u200b", "Alice"), ("\u3164", "alice"), ("\u202eAlice", "alice"), ("x" * 101, "alice")],
)
def test_display_name(claim: str | None, name: str) -> None:
    """A name that cannot be shown is replaced by the user id."""
    assert display_name(claim, 100, "alice") == name


def test_a_user_id_is_shown_like_a_name() -> None:
    """A user id as display name is trimmed and put into NFC."""
    assert display_name(None, 100, " Zoe\u0308 ") == "Zo\u00eb"


CODES: dict[str, tuple[str, str | None]] = {
    **{f"case {typed!a}": (typed, "abc-def-ghi") for typed in TYPED_CODES["abc-def-ghi"]},
    "four groups": ("ABCDEF GHI-jkl", "abc-def-ghi-jkl"),
    "five groups": ("abc-def-ghi-jkl-mno", "abc-def-ghi-jkl-mno"),
    "six groups": ("abc-def-ghi-jkl-mno-pqr", None),
    **{f"no code {typed!a}": (typed, None) for typed in TYPED_CODES["none"]},
    "quoted": ("\u201cabc-def-ghi\u201d,", "abc-def-ghi"),
    "in backticks": ("`ABC-DEF-GHI`", "abc-def-ghi"),
    "soft hyphens": ("abc\u00addef\u00adghi", "abc-def-ghi"),
    "punctuation within": ("abc.def.ghi", None),
    "far too long": (" " * LONGEST_TYPED_CODE + "abc-def-ghi", None),
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
    """A room code is nine, twelve or fifteen letters a to z, however they are cased, spaced and hyphenated."""
    assert clean_code(typed) == code
