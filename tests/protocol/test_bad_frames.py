"""What is no frame: each hostile text is refused as `bad_frame` or `unknown_type`, and nothing else is raised."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.protocol import replies
from roomd.protocol.codec import BadFrame, decode, encode, error_reply, request_id
from roomd.protocol.errors import BAD_FRAME, UNKNOWN_TYPE
from roomd.protocol.requests import REQUESTS, tag_of

ID = "0190d2a3b4c5d6e7f8091a2b"
FACES = "\U0001f600" * 2000
"""2,000 code points, which are 8,000 bytes of UTF-8 and 4,000 units of UTF-16."""
DEEP = 30_000
# text, what the message says after "Malformed frame: " (None: not asserted), the id that could be read
HOSTILE: dict[str, tuple[str, str | None, int | str | None]] = {
    "nothing": ("", None, None),
    "blank": ("  ", None, None),
    "no JSON": ("hello", None, None),
    "half an object": ('{"type": "ping"', None, None),
    "trailing characters": ('{"type": "ping"} x', None, None),
    "two frames": ('{"type": "ping"}{"type": "ping"}', None, None),
    "byte order mark": ('\ufeff{"type": "ping"}', None, None),
    "control character": ('{"type": "a\x01"}', None, None),
    "NaN": ('{"type": "ping", "x": NaN}', None, None),
    "array": ("[]", "Expected `object`, got `array`", None),
    "null": ("null", "Expected `object`, got `null`", None),
    "string": ('"ping"', "Expected `object`, got `str`", None),
    "no type": ('{"id": 7}', "Object missing required field `type`", 7),
    "type null": ('{"type": null, "id": 7}', "Expected `str`, got `null` - at `$.type`", 7),
    "type a number": ('{"type": 5, "id": 7}', "Expected `str`, got `int` - at `$.type`", 7),
    "type an object": ('{"type": {}, "id": 7}', "Expected `str`, got `object` - at `$.type`", 7),
    "unknown type in a broken frame": ('{"type": "nope", "x": [}', None, None),
    "key missing": ('{"type": "end-room", "id": 7}', "Object missing required field `code`", 7),
    "key null": ('{"type": "end-room", "code": null}', "Expected `str`, got `null` - at `$.code`", None),
    "key of another type": ('{"type": "join-room", "code": "a", "guestName": 5, "id": 7}',
     "Expected `str | null`, got `int` - at `$.guestName`", 7),
    "number as text": ('{"type": "create-room", "maxParticipants": "5"}',
     "Expected `int | null`, got `str` - at `$.maxParticipants`", None),
    "bool as number": ('{"type": "create-room", "maxParticipants": true}',
     "Expected `int | null`, got `bool` - at `$.maxParticipants`", None),
    "fraction": ('{"type": "create-room", "maxParticipants": 2.5}',
     "Expected `int | null`, got `float` - at `$.maxParticipants`", None),
    "page of none": ('{"type": "list-rooms", "limit": 0}', "Expected `int` >= 1 - at `$.limit`", None),
    "page too large": ('{"type": "list-rooms", "limit": 201}', "Expected `int` <= 200 - at `$.limit`", None),
    "a cursor that is none": (
        '{"type": "list-rooms", "id": 7, "cursor": "nonsense"}',
        "Expected `str` matching regex '^[0-9a-f]{24}$' - at `$.cursor`", 7,
    ),
    "an empty cursor": ('{"type": "list-messages", "id": 7, "code": "a", "cursor": ""}', None, 7),
    "a cursor with a line": (f'{{"type": "list-participants", "id": 7, "code": "a", "cursor": "{ID}\\n"}}', None, 7),
    "a cursor that is no user id": (r'{"type": "list-bans", "id": 7, "cursor": "\u0000nonsense"}', None, 7),
    "huge number": ('{"type": "create-room", "maxParticipants": 1e999}', None, None),
    "number of 60,000 digits": (f'{{"type": "create-room", "maxParticipants": {"9" * 60_000}}}', None, None),
    "id bool": ('{"type": "ping", "id": true}', None, None),
    "id fraction": ('{"type": "ping", "id": 1.5}', None, None),
    "id empty": ('{"type": "ping", "id": ""}', None, None),
    "id too long": (f'{{"type": "ping", "id": "{"x" * 65}"}}', None, None),
    "id huge": (f'{{"type": "ping", "id": {"9" * 60_000}}}', None, None),
    "id object": ('{"type": "ping", "id": {"a": 1}}', None, None),
    "nested arrays": ("[" * 60_000, None, None),
    "nested in an unknown key": (f'{{"id": 7, "type": "ping", "x": {"[" * DEEP}{"]" * DEEP}}}', "nested too deep", 7),
    "nested objects": (f'{{"type": "ping", "x": {"{" * 2}', None, None),
    "lone surrogate, escaped": (r'{"type": "join-room", "code": "a", "guestName": "\ud800"}', None, None),
    "lone surrogate before text": (r'{"type": "ping", "id": "\ud800 and more"}', None, None),
    "surrogates in the wrong order": (r'{"type": "ping", "id": "\ude00\ud83d"}', None, None),
    "lone surrogate in the type": (r'{"type": "\udc00"}', None, None),
    "lone surrogate, raw": ('{"type": "ping", "id": "\ud800"}', "not valid Unicode", None),
    "two types": ('{"type": "ping", "type": "leave-room"}', "Invalid value 'leave-room' - at `$.type`", None),
    "long type, then a known one": (f'{{"type": "{"x" * 60_000}", "type": "ping"}}', f"Invalid value '{'x' * 185}…",
     None),
}  # fmt: skip

SCALARS = "Expected `bool | int | float | str | null`, got"
SAY, STATE, SIGNAL, REMOVE = (
    f'{{"type": "{type_}", "id": 7, '
    for type_ in ("send-message", "update-participant", "signal", "remove-participant")
)
HOSTILE |= {
    "client id empty": (SAY + '"text": "hi", "clientId": ""}', "Expected `str` of length >= 1 - at `$.clientId`", 7),
    "client id of 65": (
        f'{SAY}"text": "hi", "clientId": "{"x" * 65}"}}', "Expected `str` of length <= 64 - at `$.clientId`", 7
    ),
    "client id a number": (
        SAY + '"text": "hi", "clientId": 5}', "Expected `str | null`, got `int` - at `$.clientId`", 7
    ),
    "text missing": (SAY + '"to": "p"}', "Object missing required field `text`", 7),
    "text null": (SAY + '"text": null}', "Expected `str`, got `null` - at `$.text`", 7),
    "text empty": (SAY + '"text": ""}', "Expected `str` of length >= 1 - at `$.text`", 7),
    "text of 2,001": (f'{SAY}"text": "{FACES}x"}}', "Expected `str` of length <= 2000 - at `$.text`", 7),
    "text of 2,001, escaped": (
        f'{SAY}"text": {json.dumps(FACES + "x")}}}', "Expected `str` of length <= 2000 - at `$.text`", 7
    ),
    "text with half a surrogate": (SAY + r'"text": "\ud800 "}', None, 7),
    "to a number": (SAY + '"text": "hi", "to": 5}', "Expected `str | null`, got `int` - at `$.to`", 7),
    "state missing": (STATE + '"x": 1}', "Object missing required field `state`", 7),
    "state null": (STATE + '"state": null}', "Expected `object`, got `null` - at `$.state`", 7),
    "state an array": (STATE + '"state": ["muted"]}', "Expected `object`, got `array` - at `$.state`", 7),
    "state with an object": (STATE + '"state": {"a": {}}}', f"{SCALARS} `object` - at `$.state[...]`", 7),
    "state with an array": (STATE + '"state": {"a": 1, "b": []}}', f"{SCALARS} `array` - at `$.state[...]`", 7),
    "state of 2^53": (
        STATE + '"state": {"a": 9007199254740992}}', "Expected `int` <= 9007199254740991 - at `$.state[...]`", 7
    ),
    "state of -2^53": (
        STATE + '"state": {"a": -9007199254740992}}', "Expected `int` >= -9007199254740991 - at `$.state[...]`", 7
    ),
    "state of 60,000 digits": (f'{STATE}"state": {{"a": {"9" * 60_000}}}}}', None, 7),
    "state beyond all numbers": (STATE + '"state": {"a": 1e999}}', "Number out of range - at `$.state[...]`", 7),
    "state with half a surrogate": (STATE + r'"state": {"\ud800 ": 1}}', None, 7),
    "data missing": (SIGNAL + '"to": "p"}', "Object missing required field `data`", 7),
    "data malformed": (SIGNAL + '"to": "p", "data": {"a":}}', None, 7),
    "data NaN": (SIGNAL + '"to": "p", "data": NaN}', None, 7),
    "data with half a surrogate": (SIGNAL + r'"to": "p", "data": "\ud800 "}', None, 7),
    "data nested too deep": (f'{SIGNAL}"to": "p", "data": {"[" * DEEP}{"]" * DEEP}}}', "nested too deep", 7),
    "data for nobody": (SIGNAL + '"data": 1}', "Object missing required field `to`", 7),
    "reason of 201": (
        f'{REMOVE}"participantId": "p", "reason": "{"x" * 201}"}}', "Expected `str` of length <= 200 - at `$.reason`", 7
    ),
    "ban a number": (REMOVE + '"participantId": "p", "ban": 1}', "Expected `bool | null`, got `int` - at `$.ban`", 7),
    "nobody to remove": (REMOVE + '"ban": true}', "Object missing required field `participantId`", 7),
    "nobody to admit": ('{"type": "admit-participant"}', "Object missing required field `participantId`", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "detail", "id_"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_frames(text: str, detail: str | None, id_: int | str | None) -> None:
    """What is no request raises BadFrame and nothing else, says briefly what is wrong, and keeps the id it had."""
    with pytest.raises(BadFrame) as caught:
        decode(text)
    bad = caught.value
    assert bad.kind is BAD_FRAME
    assert bad.id == request_id(text) == id_
    assert bad.message.startswith("Malformed frame: ")
    assert len(bad.message) < 300
    if detail is not None:
        assert bad.message == f"Malformed frame: {detail}"


UNKNOWN = {
    "unknown": ('{"type": "dance", "id": 7}', 7),
    "empty": ('{"type": ""}', None),
    "cased otherwise": ('{"type": "Ping", "id": "a"}', "a"),
    "a later version's": ('{"type": "start-recording", "codec": "opus", "id": 7}', 7),
    "a reply's": ('{"type": "pong"}', None),
    "with an id that is none": ('{"type": "dance", "id": {}}', None),
    "long": (f'{{"type": "{"x" * 60_000}", "id": 7}}', 7),
}


@pytest.mark.parametrize(("text", "id_"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_types(text: str, id_: int | str | None) -> None:
    """A well-formed frame of a type roomd does not know is an error of its own, with the frame's id."""
    with pytest.raises(BadFrame) as caught:
        decode(text)
    assert (caught.value.kind, caught.value.message, caught.value.id) == (UNKNOWN_TYPE, "Unknown type", id_)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEYS = ["type", "id", "code", "guestName", "maxParticipants", "limit", "token", "state", "data", "to", "text", "reason"]
keys = st.sampled_from(KEYS) | st.text()
types = st.sampled_from([tag_of(request) for request in REQUESTS])
values = st.dictionaries(keys, json_values | types).map(json.dumps)
surrogates = st.text(st.characters(categories=["Cs", "L", "P"]))


@given(st.text() | surrogates | values)
def test_decode_raises_only_bad_frame(text: str) -> None:
    """Whatever a client sends is a request or a BadFrame, and either can be answered."""
    try:
        answer: replies.Reply = replies.PongReply(id=decode(text).id)
    except BadFrame as bad:
        answer = error_reply(bad, bad.id)
    told = json.loads(encode(answer))
    assert told["type"] == "pong" or told["code"] in ("bad_frame", "unknown_type")
