"""Options that several commands share, and the parsers of their values."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import parse_qs

import msgspec
import typer

from roomd.cli.access import Access
from roomd.client import code_of
from roomd.protocol.text import clean_code

Options = TypeVar("Options")
P = ParamSpec("P")

_TTL = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def room_code(text: str) -> str:
    """Return a room code in its normal form. The text is a code, or a link to the meeting page with one.

    Raises `typer.BadParameter` for any other text.
    """
    typed = code_of(text)
    code = clean_code(typed)
    if code is None:
        raise typer.BadParameter(f"{typed!r} is no room code; they look like abc-def-ghi")
    return code


def time_to_live(text: str) -> float:
    """Return a duration like `15m`, in seconds.

    Raises `typer.BadParameter` for a text that is no duration.
    """
    match = _TTL.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter("must be like 90s, 15m, 1h or 7d")
    return int(match[1]) * _UNIT[match[2]]


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises `typer.BadParameter` for any other text.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError):
        raise typer.BadParameter('must be a JSON object like {"team": "red"}') from None


@dataclass(frozen=True)
class RoomLink:
    """A room, as a code or a link names it."""

    code: str
    """The code, in its normal form."""
    ticket: str | None
    """The one-time ticket in the link; None without one."""


def room_link(text: str) -> RoomLink:
    """Return the code and the ticket in a link to the meeting page, or a code.

    Raises `typer.BadParameter` for any other text.
    """
    return RoomLink(room_code(text), parse_qs(text.partition("#")[2]).get("ticket", [None])[0])


Code = Annotated[
    str,
    typer.Argument(metavar="CODE", parser=room_code, help="The room's code, like abc-def-ghi, or a link to the room."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, in the format of the protocol.")]


def example(*lines: str) -> str:
    """Return the examples of a command as its epilog. The backspace keeps the line breaks (a rule of Click)."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def with_options(kind: Callable[..., Options], command: Callable[Concatenate[Options, P], None]) -> Callable[..., None]:
    """Add the options of a class to a command, whose first argument is then an object of the class.

    Typer reads the options from the signature, so the result has a signature with both lists of options.
    """
    own = list(inspect.signature(command).parameters.values())[1:]
    shared = list(inspect.signature(kind).parameters.values())
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *shared)]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        options = kind(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        command(options, **values)  # type: ignore[call-arg]  # Typer passes the arguments of the signature below

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362 allows it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def connected(command: Callable[Concatenate[Access, P], None]) -> Callable[..., None]:
    """Add the options by which a command connects to the daemon as a client."""
    return with_options(Access, command)
