"""A request by HTTP, as it was received."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Fields(dict[str, list[str]]):
    """The header fields of a request: the values by the name, which is given in lower case here.

    It is built for every request, and most of its fields are never looked at: that of a library took a third of the
    time of reading a request.
    """

    __slots__ = ()

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__()
        for raw, value in fields:
            name = raw.decode("latin-1").lower()
            if name in self:
                self[name].append(value.decode("latin-1"))
            else:
                self[name] = [value.decode("latin-1")]

    def get_all(self, name: str) -> Sequence[str]:
        """Return the values of the fields with a name, in their order."""
        return self.get(name, ())

    def joined(self, name: str) -> str:
        """Return the values of the fields with a name as one list (RFC 9110, section 5.2); empty without any."""
        return ",".join(self.get(name, ()))


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
