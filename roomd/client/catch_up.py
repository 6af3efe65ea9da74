"""Read the messages that a client missed while it was disconnected.

`room-state` shows the last public messages and no private ones, so the client reads the rest by `list-messages`: from
the last message it knows, page by page, by the server's cursors. Messages that arrive meanwhile are held back, so that
every message is told in order and once.

Everything is bounded. After `MOST_PAGES` pages the client gives up the middle: it reads on from the first message that
`room-state` showed. When more than `MOST_MESSAGES` were sent, it keeps the newest. In both cases what is kept has no
holes, and `has_gap` says that something before it is missing.

No I/O and no clock. The JavaScript client has the same rules; `clients/vectors` tests both.
"""

from collections import deque
from collections.abc import Iterable

from roomd.protocol.objects import Message
from roomd.protocol.replies import ErrorReply, MessagesReply
from roomd.protocol.requests import ListMessages

CATCH_UP = "catch-up"
"""The `id` of these requests. It tells their replies from the replies to the program's own requests."""
PAGE = 200
"""Messages to ask for at once: the most that the protocol allows. The server may give fewer."""
MOST_PAGES = 10
"""Requests before the client gives up the middle, and as many again before it stops."""
MOST_MESSAGES = 500
"""Messages that are kept."""
SHORTEST_WAIT = 0.5
"""Seconds: the shortest pause after a refusal that says that asking again helps."""
LONGEST_WAIT = 30.0
"""Seconds: a server that asks for a longer pause between two pages is not asked again."""


class CatchUp:
    """One reading of missed messages. It sends nothing: `request` returns what to send, `read` takes the reply."""

    def __init__(self, after: str | None, shown: Iterable[Message], *, is_news: bool = True) -> None:
        """`after` is the id of the last message before the gap, None for the first message of the room.

        `shown` are the messages of `room-state` to keep when the rest cannot be read. `is_news` is False for messages
        from before this client joined: they go into the view without events.
        """
        self.after = after
        self.cursor = after
        self.is_news = is_news
        self.delay = 0.0
        """Seconds to wait before the next request."""
        self.has_gap = False
        self.is_asked = False
        """A page was asked for on this connection, and its reply has not come."""
        self.is_late = False
        """The next reply answers a request of an earlier reading on this connection: it says nothing."""
        self._shown = list(shown)
        self._read: deque[Message] = deque(maxlen=MOST_MESSAGES)
        self._held_back: deque[Message] = deque(maxlen=MOST_MESSAGES)
        self._requests = 0

    def request(self, code: str) -> ListMessages:
        """Return the request for the next page. `code` is the room's."""
        return ListMessages(id=CATCH_UP, code=code, cursor=self.cursor, limit=PAGE)

    def hold_back(self, message: Message) -> None:
        """Keep a message that arrived during the reading."""
        self._keep(self._held_back, message)

    def held_back(self) -> list[Message]:
        """Return the messages that arrived during the reading."""
        return list(self._held_back)

    def read(self, reply: MessagesReply | ErrorReply) -> bool:
        """Take the reply to `request`. Return whether the reading is finished."""
        self.is_asked = False
        if self.is_late:
            self.is_late = False
            return False
        self.delay = 0.0
        self._requests += 1
        if isinstance(reply, ErrorReply):
            if reply.retry_after is None or reply.retry_after > LONGEST_WAIT:
                self.give_up()
                return True
            self.delay = max(SHORTEST_WAIT, reply.retry_after)
        else:
            for message in reply.messages:
                self._keep(self._read, message)
            if reply.next_cursor is None:
                return True
            self.cursor = reply.next_cursor
        if self._requests == MOST_PAGES and self._shown and self.is_news:
            self._skip_to_shown()
        elif self._requests >= 2 * MOST_PAGES:
            self.give_up()
        return self._requests >= 2 * MOST_PAGES

    def give_up(self) -> None:
        """Stop reading: only what `room-state` showed and what arrived since is known."""
        self.has_gap = True
        self._read = deque(self._shown, maxlen=MOST_MESSAGES)

    def messages(self) -> list[Message]:
        """Return the messages after the gap, in order and without holes, at most `MOST_MESSAGES`."""
        read = {message.id for message in self._read}
        messages = [*self._read, *(message for message in self._held_back if message.id not in read)]
        self.has_gap = self.has_gap or len(messages) > MOST_MESSAGES
        return messages[-MOST_MESSAGES:]

    def _skip_to_shown(self) -> None:
        self.has_gap = True
        self._read = deque(self._shown[:1], maxlen=MOST_MESSAGES)
        self.cursor = self._shown[0].id

    def _keep(self, messages: deque[Message], message: Message) -> None:
        self.has_gap = self.has_gap or len(messages) == messages.maxlen
        messages.append(message)
