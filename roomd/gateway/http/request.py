"""A request by HTTP, as it was received."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from websockets.datastructures import MultipleValuesError


class Fields(Mapping[str, str]):
    """The header fields of a request. Names are in any case; what has several values is no item of the mapping.

    It is built for every request, and most of its fields are never looked at: that of a library took a third of the
    time of reading a request. It has what the library of WebSockets reads of its own one
    (`websockets.datastructures.Headers`), so that a handshake need not copy it.
    """

    __slots__ = ("by_name",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        by_name: dict[str, list[str]] = {}
        for raw, value in fields:
            name = raw.decode("latin-1").lower()
            if name in by_name:
                by_name[name].append(value.decode("latin-1"))
            else:
                by_name[name] = [value.decode("latin-1")]
        self.by_name = by_name
        """The values of the fields with a name, in their order, by the name in lower case."""

    def __getitem__(self, name: str) -> str:
        values = self.by_name[name.lower()]
        if len(values) > 1:
            raise MultipleValuesError(name)
        return values[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    def get_all(self, name: str) -> list[str]:
        """Return the values of the fields with a name, in their order."""
        return self.by_name.get(name.lower(), [])

    def joined(self, name: str) -> str:
        """Return the values of the fields with a name as one list (RFC 9110, section 5.2); empty without any."""
        return ",".join(self.get_all(name))


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
