"""The `id` of frames that cannot be decoded: docs/protocol.md, section 1."""

import json
import time

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roomd.protocol.codec import BadFrame, decode, request_id
from roomd.protocol.frame_ids import find_id
from roomd.protocol.replies import RequestId
from tests.support.cases import FrameCase, frame_cases


@pytest.mark.parametrize("case", frame_cases(), ids=lambda case: case.frame[:60])
def test_a_refusal_carries_the_id(case: FrameCase) -> None:
    """Issue 10, item 8: a frame that cannot be decoded is refused with its `id`, unless it breaks off."""
    with pytest.raises(BadFrame) as caught:
        decode(case.frame)
    assert (caught.value.kind.code, caught.value.id) == (case.code, case.id)


# A frame and its id.
FRAMES: dict[str, tuple[str, RequestId | None]] = {
    "of several the last": ('{"id":1,"x":NaN,"id":2}', 2),
    "of several the last, which is none": ('{"id":1,"x":NaN,"id":{}}', None),
    "the last is null": ('{"id":1,"x":NaN,"id":null}', None),
    "the first is none": ('{"id":{},"id":7}', 7),
    "inside another object": ('{"x":{"id":1},"y":NaN}', None),
    "after another object": ('{"x":{"id":1},"id":2,"y":NaN}', 2),
    "in a string": (r'{"x":"\",\"id\":1","y":NaN}', None),
    "after brackets in a string": ('{"x":"}]{[","id":1,"y":NaN}', 1),
    "with escapes": (r'{"\u0069\u0064":1,"y":NaN}', 1),
    "a text with escapes": (r'{"id":"\u0061\"}","y":NaN}', 'a"}'),
    "an emoji": (r'{"id":"\ud83d\ude00","y":"\ud83d"}', "\U0001f600"),
    "half an emoji": (r'{"id":"\ud83d"}', None),
    "half an emoji, raw": ('{"id":"\ud83d"}', None),
    "half an emoji elsewhere, raw": ('{"id":1,"x":"\ud83d"}', 1),
    "space around everything": (' \t\r\n{ "id" \n:\t7 , "x" : NaN } ', 7),
    "space that JSON has not": ('{"id":\u00a07,"x":1}', None),
    "negative": ('{"id":-1,"x":NaN}', -1),
    "a fraction": ('{"id":1.5}', None),
    "too long": (f'{{"id":"{"x" * 65}"}}', None),
    "two values": ('{"id":7 8}', None),
    "two colons": ('{"id":7:8}', None),
    "no value": ('{"id":,"x":1}', None),
    "no comma": ('{"x":1 "id":7}', None),
    "commas too many": ('{,,"id":7,,}', 7),
    "a key without quotes": ('{id:7}', None),
    "a value that is no JSON": ('{"id":7,"x":tru}', 7),
    "another key that is no JSON": ('{"id":7,x:1}', 7),
    "a control character": ('{"id":7,"x":"\x01"}', 7),
    "an array": ('[{"id":7}]', None),
    "two objects": ('{"id":7}{"id":8}', None),
    "text behind it": ('{"id":7} x', None),
    "text before it": ('x {"id":7}', None),
    "a byte order mark before it": ('\ufeff{"id":7}', None),
    "one bracket too few": ('{"id":7,"x":[}', None),
    "one bracket too many": ('{"id":7,"x":[]]}', None),
    "brackets that cross": ('{"id":7,"x":[{]}}', None),
    "closed by another": ('{"id":7]', None),
    "a string that does not end": ('{"id":7,"x":"}', None),
    "a string that ends in a backslash": ('{"id":7,"x":"\\', None),
    "an escaped quotation mark at the end": ('{"id":7,"x":"\\"}', None),
    "nothing": ("", None),
    "an empty object": ("{}", None),
    "an empty key": ('{"":7}', None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "id_"), FRAMES.values(), ids=FRAMES.keys())
def test_which_id_is_readable(text: str, id_: RequestId | None) -> None:
    """Section 1: the own key `id` of one object with balanced brackets outside strings, the last of several."""
    assert find_id(text) == request_id(text) == reference(text) == id_


SPACE = " \t\r\n"
MATCHING = {"}": "{", "]": "["}


def reference(text: str) -> RequestId | None:
    """Read a frame character by character, and return its `id`."""
    text = text.strip(SPACE)
    if not text.startswith("{"):
        return None
    open_brackets, in_string, is_escaped = ["{"], False, False
    members: list[list[str]] = [[""]]  # of the object itself: the key, and the value after the first colon
    for at, char in enumerate(text[1:], 1):
        if in_string:
            is_escaped, in_string = char == "\\" and not is_escaped, is_escaped or char != '"'
        elif char == '"':
            in_string = True
        elif char in "{[":
            open_brackets.append(char)
        elif char in MATCHING and open_brackets.pop() != MATCHING[char]:
            return None
        elif not open_brackets:
            return last_id(members) if at == len(text) - 1 else None
        elif char == "," and len(open_brackets) == 1:
            members.append([""])
            continue
        elif char == ":" and len(open_brackets) == 1 and len(members[-1]) == 1:
            members[-1].append("")
            continue
        members[-1][-1] += char
    return None


def last_id(members: list[list[str]]) -> RequestId | None:
    """Return the value of the last member with the key `id`; None when it is not a valid one."""
    found: RequestId | None = None
    for key, *value in members:
        try:
            is_id = bool(value) and msgspec.json.decode(key, type=str) == "id"
        except (msgspec.MsgspecError, UnicodeError):
            continue
        if is_id:
            try:
                found = msgspec.json.decode(value[0], type=RequestId | None)
            except (msgspec.MsgspecError, UnicodeError):
                found = None
    return found


PIECES = st.sampled_from([
    "{", "}", "[", "]", ":", ",", '"', "\\", '"id"', '"id":', '"id":7', '"id":"a"', '{"id":', r'"\u0069d":', "null",
    "NaN", "7", '"x":', r'"\ud83d"', "\ud83d", " ", "\n", "\u00a0", "}}", "]}", '{"type":"ping",', '\\"', '"\\\\"',
])  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
@example('{"id":7,"x":[]}')
def test_the_id_of_any_text(text: str) -> None:
    """Whatever the text, the search finds what reading it character by character finds."""
    assert find_id(text) == reference(text)
    assert find_id("{" + text + "}") == reference("{" + text + "}")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("id"), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text() | st.just("id"), values), st.integers(-(2**53), 2**53) | st.text(min_size=1, max_size=64)
)
def test_the_id_of_any_object(fields: dict[str, object], id_: RequestId) -> None:
    """The id of an object that JSON can write, with NaN or without, is found wherever it stands."""
    others = {key: value for key, value in fields.items() if key != "id"}
    assert find_id(json.dumps({"id": id_, **others})) == id_
    assert find_id(json.dumps({**fields, "id": id_})) == id_


LONG = 50_000
HOSTILE = {
    "nested": '{"id":7,"x":' + "[" * LONG + "]" * LONG + "}",
    "never closed": '{"id":7,"x":' + "[{" * LONG,
    "closed at once": '{"id":7,"x":[' + "[],{}," * LONG,
    "members": '{"id":7' + ',"":1' * LONG + "}",
    "ids": "{" + '"id":7,' * LONG + '"id":7}',
    "colons": "{" + ":" * LONG + "}",
    "commas": "{" + "," * LONG + "}",
    "quotation marks": '{"id":7,' + '"' * LONG + "}",
    "a string that does not end": '{"id":7,"' + '\\"' * LONG,
    "strings that do not end": '{"id":7,' + '"x\\"' * LONG,
    "backslashes": '{"id":7,"' + "\\" * (2 * LONG + 1),
    "space": '{"id":' + " " * LONG + "7" + " " * LONG + ',"x":NaN}',
    "digits": '{"id":' + "9" * LONG + "}",
    "a long key": '{"' + "id" * LONG + '":7}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_search_takes_linear_time(text: str) -> None:
    """It takes milliseconds; going back to where a string began for each quotation mark would take minutes."""
    begin = time.process_time()
    find_id(text)
    assert time.process_time() - begin < 10
