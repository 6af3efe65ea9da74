"""How commands, their answers and refusals cross the wire. All of it follows from where they are declared."""

from functools import cache
from typing import Any, TypeVar, Union, get_args

import msgspec

from roomd.protocol import errors
from roomd.protocol.errors import INTERNAL_ERROR, ErrorKind, Refused
from roomd.rooms import commands
from roomd.rooms.room import Command

A = TypeVar("A")

_KINDS = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, ErrorKind)}
"""Every error, by its code."""


class Refusal(msgspec.Struct, array_like=True, frozen=True):
    """A refusal as it crosses the wire."""

    code: str
    """The code of the error."""
    message: str
    """The text for people."""
    retry_after: float | None = None
    """The seconds after which to try again; None for never."""

    def refused(self) -> Refused:
        """Return the refusal. One that this node does not know, of a newer one, is an internal error."""
        return Refused(_KINDS.get(self.code, INTERNAL_ERROR), self.message, self.retry_after)


def refusal(refused: Refused) -> Refusal:
    """Return a refusal as it crosses the wire."""
    return Refusal(refused.kind.code, refused.message, refused.retry_after)


def command_types() -> list[type[Command[Any]]]:
    """Return every command: the classes that `roomd.rooms.commands` names and that have no classes below them."""
    named = [vars(commands)[name] for name in commands.__all__]
    return [one for one in named if issubclass(one, Command) and not one.__subclasses__()]


@cache
def _answer_decoder(command: type[Command[Any]]) -> "msgspec.msgpack.Decoder[Any]":
    """Return the decoder of the answers to a command: `A` of the `Command[A]` that it derives from."""
    (answer,) = next(
        get_args(base) for one in command.__mro__ for base in vars(one).get("__orig_bases__", ()) if get_args(base)
    )
    return msgspec.msgpack.Decoder(answer)


_encoder = msgspec.msgpack.Encoder()


@cache
def _command_decoder() -> "msgspec.msgpack.Decoder[Command[Any]]":
    return msgspec.msgpack.Decoder(Union[tuple(command_types())])  # noqa: UP007 - it is made of a list


def encode(value: object) -> bytes:
    """Encode what crosses the wire. A whole number of more than 64 bits, as metadata may have, becomes a float."""
    try:
        return _encoder.encode(value)
    except OverflowError:  # MessagePack has no larger ones
        return _encoder.encode(_with_floats(value))


def _with_floats(value: object) -> object:
    match value:
        case int() if not -(2**63) <= value < 2**64:
            return float(str(value))  # infinity where that is too large, too
        case dict():
            return {key: _with_floats(one) for key, one in value.items()}
        case list() | tuple():
            return [_with_floats(one) for one in value]
        case msgspec.Struct():
            fields = {field: _with_floats(getattr(value, field)) for field in value.__struct_fields__}
            return msgspec.structs.replace(value, **fields)
    return value


def encode_command(command: Command[Any]) -> msgspec.Raw:
    """Encode a command. Its tag is the name of its class."""
    return msgspec.Raw(encode(command))


def decode_command(raw: msgspec.Raw) -> Command[Any]:
    """Decode a command. Raises `msgspec.DecodeError` for one that this node does not know."""
    return _command_decoder().decode(raw)


def encode_answer(answer: object) -> msgspec.Raw:
    """Encode an answer."""
    return msgspec.Raw(encode(answer))


def decode_answer(command: Command[A], raw: msgspec.Raw) -> A:
    """Decode the answer to a command. Raises `msgspec.DecodeError`."""
    answer: A = _answer_decoder(type(command)).decode(raw)
    return answer
