"""The senders of commands: they turn the answer of a room, or its refusal, into the reply to a request."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from roomd.limits.usage import Charge
from roomd.protocol.errors import Refused
from roomd.protocol.events import Event
from roomd.protocol.replies import Reply, RequestId
from roomd.protocol.requests import Request

A = TypeVar("A")


class Client(Protocol):
    """The part of a client that its replies need."""

    def send(self, frame: Reply | Event) -> None:
        """Send a reply."""

    def acknowledge(self, request: Request) -> None:
        """Send `ok`, if the request needs it."""

    def refuse(self, refused: Refused, to: RequestId | None) -> None:
        """Send an error reply to the request with this `id`."""

    def give_back(self, charge: Charge) -> None:
        """Take a charge back."""


class ReplyAsker(Generic[A]):
    """An asker that sends a reply built from the answer."""

    __slots__ = ("_client", "_reply", "_request")

    def __init__(self, client: Client, request: Request, reply: Callable[[A], Reply]) -> None:
        self._client = client
        self._request = request
        self._reply = reply

    def answered(self, answer: A) -> None:
        """Send the reply."""
        self._client.send(self._reply(answer))

    def refused(self, refused: Refused) -> None:
        """Send the error."""
        self._client.refuse(refused, self._request.id)


class OkAsker:
    """An asker that sends `ok` as the reply. If the request is refused, its `charge` is given back."""

    __slots__ = ("_charge", "_client", "_request")

    def __init__(self, client: Client, request: Request, charge: Charge | None = None) -> None:
        self._client = client
        self._request = request
        self._charge = charge

    def answered(self, answer: None) -> None:  # noqa: ARG002 - it is always None
        """Send `ok`."""
        self._client.acknowledge(self._request)

    def refused(self, refused: Refused) -> None:
        """Send the error."""
        if self._charge is not None:
            self._client.give_back(self._charge)
        self._client.refuse(refused, self._request.id)
