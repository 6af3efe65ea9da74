"""A request by HTTP, as it was received."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Fields:
    """The header fields of a request, whose names are given in lower case here.

    It is built for every request, and most of its fields are never looked at: that of a library took a third of the
    time of reading a request.
    """

    __slots__ = ("_values",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for raw, value in fields:
            name = raw.decode("latin-1").lower()
            if name in self._values:
                self._values[name].append(value.decode("latin-1"))
            else:
                self._values[name] = [value.decode("latin-1")]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def items(self) -> Iterable[tuple[str, Sequence[str]]]:
        """Iterate over the names, each with its values."""
        return self._values.items()

    def get_all(self, name: str) -> Sequence[str]:
        """Return the values of the fields with a name, in their order."""
        return self._values.get(name, ())

    def joined(self, name: str) -> str:
        """Return the values of the fields with a name as one list (RFC 9110, section 5.2); empty without any."""
        return ",".join(self._values.get(name, ()))


class Request(NamedTuple):
    """A request, without its body."""

    method: str
    """The method, like `GET`."""
    path: str
    """The path, with the parameters of the URL."""
    headers: Fields
    """The header fields."""
    protocol: str
    """The version, like `HTTP/1.1`."""
