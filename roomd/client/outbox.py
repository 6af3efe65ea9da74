"""Messages on their way: each is sent again under the same `clientId` until it is answered. No I/O."""

import secrets

from roomd.protocol.errors import ErrorKind
from roomd.protocol.objects import Message

MOST_WAITING = 100
"""Messages that may wait to be sent or answered."""

TOO_MANY = ErrorKind(0, "too_many", "Too many messages wait to be sent")
"""What this client refuses itself."""


def new_client_id() -> str:
    """Draw a `clientId` of 22 characters."""
    return secrets.token_urlsafe(16)


class Outbox:
    """Counts the messages that wait, and notices when one that was sent turns up. They are sent one after the other."""

    def __init__(self) -> None:
        self.waiting = 0
        """Messages that wait, the one under way included."""
        self._sender: str | None = None
        self._client_id: str | None = None
        self._has_arrived = False

    @property
    def is_full(self) -> bool:
        """Whether no more messages may wait."""
        return self.waiting >= MOST_WAITING

    def begin(self, client_id: str) -> None:
        """Note the message that is sent from now on."""
        self._client_id = client_id
        self._sender = None
        self._has_arrived = False

    def may_send(self, sender: str) -> bool:
        """Note under which participant the message is sent. False when it may have arrived under another one."""
        if self._sender not in (None, sender):
            return False
        self._sender = sender
        return True

    def arrived(self, message: Message) -> None:
        """Take a message that turned up."""
        if message.client_id is not None and (message.client_id, message.participant_id) == (
            self._client_id,
            self._sender,
        ):
            self._has_arrived = True

    @property
    def has_arrived(self) -> bool:
        """Whether the message that is under way turned up: then it was kept."""
        return self._has_arrived
