"""Decode requests from text, and encode replies and events to bytes."""

import functools
import operator
from collections.abc import Callable, Mapping

import msgspec

from roomd.protocol.errors import BAD_FRAME, UNKNOWN_TYPE, Refused
from roomd.protocol.events import Event
from roomd.protocol.frame_ids import find_id
from roomd.protocol.nesting import is_too_deep
from roomd.protocol.objects import Scalar
from roomd.protocol.replies import ErrorReply, Reply, RequestId
from roomd.protocol.requests import BY_HTTP, REQUESTS, Request


class BadFrame(Refused):
    """A frame that is not a valid request."""

    id: RequestId | None = None
    """The `id` of the frame; None when it has none or cannot be read."""


class _Envelope(msgspec.Struct):
    type: str


class _Identified(msgspec.Struct):
    id: RequestId | None = None


_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(functools.reduce(operator.or_, REQUESTS))
_bodies = {cls: msgspec.json.Decoder(cls) for cls in BY_HTTP}
_envelopes = msgspec.json.Decoder(_Envelope)
_identified = msgspec.json.Decoder(_Identified)
_encoder = msgspec.json.Encoder()

_TYPES = {cls.__struct_config__.tag for cls in REQUESTS}

_LONGEST_DETAIL = 200
"""The characters of a detail in an error text. msgspec quotes the client's text, which may be a whole frame."""

# Input that is nested too deep raises RecursionError: by our bound, or in msgspec by the limit of the interpreter.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode(text: str) -> Request:
    """Decode one request.

    Raises `BadFrame` (400 `bad_frame` or `unknown_type`) for any other text, and nothing else.
    """
    try:
        if is_too_deep(text):
            raise RecursionError
        return _requests.decode(text)
    except _UNREADABLE as exc:
        raise _bad_frame(text, exc) from None


def decode_body(kind: type[Request], body: bytes) -> Request:
    """Decode the body of a request by HTTP: a frame whose `type` is known, and need not be there.

    Raises `BadFrame` (400 `bad_frame`) for any other bytes, and nothing else.
    """
    try:
        if is_too_deep(body.decode()):
            raise RecursionError
        return _bodies[kind].decode(body)
    except _UNREADABLE as exc:
        raise BadFrame(BAD_FRAME, f"{BAD_FRAME.message}: {_detail(exc)}") from None


def request_id(text: str) -> RequestId | None:
    """Return the `id` of a frame, also of one that is malformed; None when it has none or cannot be read."""
    try:
        return _identified.decode(text).id
    except _UNREADABLE:
        return find_id(text)


def _bad_frame(text: str, exc: Exception) -> BadFrame:
    try:
        is_known = _envelopes.decode(text).type in _TYPES
    except _UNREADABLE as unreadable:
        is_known, exc = True, unreadable  # without a readable type the error is `bad_frame`
    bad = BadFrame(BAD_FRAME, f"{BAD_FRAME.message}: {_detail(exc)}") if is_known else BadFrame(UNKNOWN_TYPE)
    bad.id = request_id(text)
    return bad


def _detail(exc: Exception) -> str:
    """Describe the error of a frame. The text of msgspec is used only if it is about the frame."""
    if isinstance(exc, RecursionError):
        return "nested too deep"
    if isinstance(exc, UnicodeError):
        return "not valid Unicode"
    detail = str(exc)
    return detail if len(detail) <= _LONGEST_DETAIL else f"{detail[:_LONGEST_DETAIL]}…"


encode: Callable[[Reply | Event], bytes] = _encoder.encode
"""Encode one reply or event as UTF-8 JSON."""


def size_of(value: msgspec.Struct | Mapping[str, Scalar | None] | str) -> int:
    """Return the number of bytes of an object, a state or a text as UTF-8 JSON."""
    return len(_encoder.encode(value))


def error_reply(refused: Refused, request_id: RequestId | None) -> ErrorReply:
    """Build the `error` reply to the request with this `id`; None for a frame without one."""
    kind = refused.kind
    return ErrorReply(
        id=request_id,
        status_code=kind.status_code,
        code=kind.code,
        message=refused.message,
        retry_after=refused.retry_after,
        oldest=refused.oldest,
    )
