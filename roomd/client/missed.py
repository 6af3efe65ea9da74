"""What was said while a client was away: what to read of it, how much of it is told, and in which order.

`room-state` has the last public messages and no private ones, so the rest is read from `list-messages`: from the last
message known before, page by page, by the server's cursors. What comes live meanwhile is held back, so that everything
is told in its order, and once.

All of it is bounded. Where the pages do not end, reading begins anew at the first message that `room-state` shows; and
where more was said than is kept, the newest is. Either way what is left has no holes, and `has_gap` says that something
before it is missing.
"""

from collections import deque
from collections.abc import Iterable

from roomd.protocol.objects import Message
from roomd.protocol.replies import MessagesReply
from roomd.protocol.requests import ListMessages

CATCH_UP = "catch-up"
"""The id of the requests: by it their replies are told from those to what the client's user asks."""
PAGE = 200
"""Messages to ask for at once: the most the protocol gives. The server may give fewer."""
MOST_PAGES = 10
"""Pages to read before reading begins anew, nearer to the end; and then once more."""
MOST_MESSAGES = 500
"""Messages that are kept."""


class Missed:
    """One catching-up. It sends nothing itself: `request` is what to ask next."""

    def __init__(self, after: str | None, shown: Iterable[Message]) -> None:
        """`after` is the last message known, None when there is none; `shown` are those after it in `room-state`."""
        self.after = after
        self.cursor = after
        self.has_gap = False
        self._shown = list(shown)
        self._read: deque[Message] = deque(maxlen=MOST_MESSAGES)
        self._live: deque[Message] = deque(maxlen=MOST_MESSAGES)
        self._pages = 0

    def request(self, code: str) -> ListMessages:
        """Ask for the next page."""
        return ListMessages(id=CATCH_UP, code=code, cursor=self.cursor, limit=PAGE)

    def hear(self, message: Message) -> None:
        """Hold back what is said meanwhile."""
        self._keep(self._live, message)

    def read(self, page: MessagesReply) -> bool:
        """Take a page in, and say whether it was the last one to read."""
        for message in page.messages:
            self._keep(self._read, message)
        if page.next_cursor is None:
            return True
        self.cursor = page.next_cursor
        self._pages += 1
        if self._pages == MOST_PAGES and self._shown:
            self._begin_anew()
        elif self._pages >= 2 * MOST_PAGES:
            self.give_up()
        return self._pages >= 2 * MOST_PAGES

    def give_up(self) -> None:
        """Leave it at what is known without reading."""
        self.has_gap = True
        self._read = deque(self._shown, maxlen=MOST_MESSAGES)

    def said(self) -> list[Message]:
        """Return what was said, in its order, without holes."""
        read = {message.id for message in self._read}
        said = [*self._read, *(message for message in self._live if message.id not in read)]
        self.has_gap = self.has_gap or len(said) > MOST_MESSAGES
        return said[-MOST_MESSAGES:]

    def _begin_anew(self) -> None:
        self.has_gap = True
        self._read = deque(self._shown[:1], maxlen=MOST_MESSAGES)
        self.cursor = self._shown[0].id

    def _keep(self, messages: deque[Message], message: Message) -> None:
        self.has_gap = self.has_gap or len(messages) == messages.maxlen
        messages.append(message)
