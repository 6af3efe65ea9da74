"""The rules for names, user ids and room codes (docs/protocol.md, sections 1, 2 and 4).

The properties of characters are those of the Unicode Character Database, from the package `regex`: the standard library
does not know which code points are default ignorable.
"""

import re
import unicodedata

import regex

SHORTEST_CODE, LONGEST_CODE = 3, 5
"""The groups of three letters that a room code may have."""
_CODE = re.compile(r"[a-z]{3}(?:-[a-z]{3}){2,4}")
_CODE_LETTERS = re.compile(r"(?:[a-z]{3}){3,5}")
_IN_CODES = regex.compile(r"[\p{Pd}\u2212\s\p{Default_Ignorable_Code_Point}]+")  # U+2212 is the minus sign
_AROUND_CODES = regex.compile(r"^[\p{P}\p{S}]+|[\p{P}\p{S}]+$")
LONGEST_TYPED_CODE = 256
"""The characters that a code may have with everything that is removed from it. It bounds the time of normalising."""

# Embeddings, overrides and isolates reorder the text around a name: UAX #9, explicit formatting characters.
_FORBIDDEN = regex.compile(r"[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]")
_HIDDEN = regex.compile(rf"{_FORBIDDEN.pattern}|\p{{Default_Ignorable_Code_Point}}")
_VISIBLE = regex.compile(r"[\p{L}\p{N}\p{P}\p{S}]")

_IGNORABLE = regex.compile(
    r"""(
      \U0001f3f4 [\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,7} \U000e007f      # flags with tags (UTS #51, annex C)
    # emoji with presentation selectors, and joined ones (UTS #51, ED-9a and ED-16)
    | \p{Extended_Pictographic} (?: [\ufe0e\ufe0f] | \p{Emoji_Modifier} )?
      (?: \u200d \p{Extended_Pictographic} (?: [\ufe0e\ufe0f] | \p{Emoji_Modifier} )? )*
    | [0-9\#*] \ufe0f \u20e3                                                       # keycaps (UTS #51, ED-14c)
    # variants of ideographs (UTS #37), and of letters of the scripts in StandardizedVariants.txt
    | \p{Ideographic} [\ufe00-\ufe0f\U000e0100-\U000e01ef]
    | [\u180b-\u180f] (?<= (?=\p{L}) \p{Script=Mongolian} .)
    | \ufe00 (?<= [\p{Script=Myanmar}\p{Script=Phags_Pa}\p{Script=Manichaean}\p{Script=Egyptian_Hieroglyphs}] .)
    # joiners after a virama, and non-joiners between letters that would join (RFC 5892, appendices A.1 and A.2)
    | [\u200c\u200d] (?<= \p{ccc=Virama} \p{Mn}* .)
    | \u200c (?<= [\p{Joining_Type=L}\p{Joining_Type=D}] \p{Joining_Type=T}* .)
      (?= \p{Joining_Type=T}* [\p{Joining_Type=R}\p{Joining_Type=D}] )
    # joiners before a virama: Bengali ra with ya-phalaa (Unicode, section 12.2)
    | \u200d (?<= \p{L} .) (?= \p{Mn}* \p{ccc=Virama} )
    ) | \p{Default_Ignorable_Code_Point}""",
    regex.VERBOSE,
)
"""A sequence that needs its ignorable code points, as the group 1, or an ignorable code point that nothing needs.

What is before an ignorable code point is checked after it was found. Checked first, it would be checked at every
position, in quadratic time.
"""

BLANKS = "\u2800\U00013441\U00013442\U0001d159"
"""The blank glyphs: code points that are no spaces and not ignorable, and show nothing. Their names end with BLANK, and
with NULL NOTEHEAD."""
_BLANKS_TO_SPACES = dict.fromkeys(map(ord, BLANKS), " ")

# A name that fills a frame would take 0.1 s, so one that is mostly ignorable is refused.
_MOST_TYPED = 16

# UAX #15: NFC makes one code point out of at most four. It takes quadratic time for a series of combining marks: 0.7 s
# for a frame full of them. So a text that cannot become short enough is refused before.
_MOST_COMPOSED = 4


def clean_name(text: str, longest: int) -> str | None:
    """Trim a name, remove what cannot be seen, and normalise it to NFC.

    Default ignorable code points are removed, except where an emoji, an ideograph or a script needs them; blank glyphs
    become spaces. Returns None unless the result has 1 to `longest` code points and at least one visible, and the text
    has no control, embedding, override or isolate.
    """
    name = text.strip()
    if name.isascii():  # most names; this is the fast path of a join
        return name if 1 <= len(name) <= longest and name.isprintable() else None
    if len(name) > _MOST_TYPED * longest or _FORBIDDEN.search(name):
        return None
    name = _IGNORABLE.sub(r"\1", name).translate(_BLANKS_TO_SPACES).strip()
    if len(name) > _MOST_COMPOSED * longest:
        return None
    name = unicodedata.normalize("NFC", name)
    return name if len(name) <= longest and _VISIBLE.search(name) else None


def is_user_id(text: str, longest: int) -> bool:
    """Return whether a text can be a user id: 1 to `longest` code points, one visible and none hidden.

    Default ignorable code points, controls and direction characters are hidden. A user id is never changed, because
    others compare it; two ids that look the same would be two users.
    """
    if not 1 <= len(text) <= longest:
        return False
    if text.isascii():  # most user ids; this is the fast path of a token
        return text.isprintable() and not text.isspace()
    return not _HIDDEN.search(text) and _shown(text) is not None


def display_name(claim: str | None, longest: int, user_id: str) -> str:
    """Return a user's name, of at most `longest` code points. Without one that can be shown it is the user id."""
    name = clean_name(claim, longest) if claim is not None else None
    return name or _shown(user_id) or user_id


def _shown(user_id: str) -> str | None:
    return clean_name(user_id, _MOST_COMPOSED * len(user_id))


def clean_code(text: str) -> str | None:
    """Return a room code in the form `abc-def-ghi`, of three to five groups; None if the text is no code.

    Compatibility forms (NFKC) and case are folded. Dashes, spaces and default ignorable code points are removed, and
    so are punctuation and symbols around the code.
    """
    if _CODE.fullmatch(text):  # as programs write it
        return text
    if len(text) > LONGEST_TYPED_CODE:
        return None
    letters = _AROUND_CODES.sub("", _IN_CODES.sub("", unicodedata.normalize("NFKC", text))).lower()
    return join_code(letters) if _CODE_LETTERS.fullmatch(letters) else None


def join_code(letters: str) -> str:
    """Return a room code of these letters, in groups of three."""
    return "-".join(letters[start : start + 3] for start in range(0, len(letters), 3))
