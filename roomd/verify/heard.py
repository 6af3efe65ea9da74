"""The messages that one connection was told: each once, in order, and none left out."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from roomd.verify.facts import RoomFacts
from roomd.verify.records import Text
from roomd.verify.report import Report


class Heard:
    """Replays the messages of one connection. A part begins with each `room-state`, and has no gap.

    What a `room-state` shows is told by it. One that comes unasked may stand for messages that were left out
    (docs/protocol.md, section 6); one that was asked for has those that were committed together with the request.
    """

    def __init__(self, facts: RoomFacts, where: str, report: Report) -> None:
        self.parts: list[list[str]] = []
        """The ids that were told, in parts; the first of each is the last one that the `room-state` had."""
        self._facts = facts
        self._where = where
        self._report = report
        self._known: set[str] = set()
        self._last = ""
        self._is_open = False

    def show(self, texts: Sequence[Text]) -> None:
        """Take the messages of a `room-state`."""
        ids = [text.id for text in texts]
        self._keep(texts)
        self._report.check("order", ids == sorted(set(ids)), f"{self._where}: a room-state has messages out of order")
        self._known.update(ids)
        self._last = max(self._last, *ids[-1:], "")
        self.parts.append([self._last])
        self._is_open = True

    def tell(self, text: Text) -> None:
        """Take a `message`."""
        self._keep([text])
        is_new = text.id not in self._known
        self._report.check("messages", is_new, f"{self._where}: message {text.id} was told twice")
        if is_new:
            self._report.check(
                "order", text.id > self._last, f"{self._where}: message {text.id} came after a later one"
            )
        self._known.add(text.id)
        self._last = max(self._last, text.id)
        if self._is_open:
            self.parts[-1].append(text.id)

    def stop(self) -> None:
        """Note that the connection has no state any more."""
        self._is_open = False

    def check_gaps(self, ids: Sequence[str]) -> None:
        """Check that nothing was left out in a part. `ids` are those of all messages of the room, in order."""
        for part in self.parts:
            told = set(part)
            expected = ids[bisect_right(ids, part[0]) : bisect_left(ids, part[-1])]
            missing = [key for key in expected if key not in told]
            self._report.check("messages", not missing, f"{self._where}: message {missing[:1]} was not told")

    def _keep(self, texts: Sequence[Text]) -> None:
        for text in texts:
            before = self._facts.texts.setdefault(text.id, text)
            self._report.check(
                "messages", before == text, f"{self._where}: message {text.id} is another one for others"
            )
