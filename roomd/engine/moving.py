"""What becomes of a room that another process takes over, and of the commands that it was to serve."""

from roomd.engine.ports import RETRY_AFTER
from roomd.protocol.errors import UNAVAILABLE, Refused


class RoomLost(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """Another process has the room, or may have it: this one must load it again before it serves it.

    Nothing was changed, unless `is_in_doubt`: then it is not known whether the append was stored.
    """

    def __init__(self, *, is_in_doubt: bool = False) -> None:
        super().__init__("in doubt" if is_in_doubt else "nothing was changed")
        self.is_in_doubt = is_in_doubt


class Moved(Refused):
    """The room was lost, and the command must be submitted again where the room is now.

    Nothing was changed, unless `is_in_doubt`: then the command may have had its effect.
    """

    def __init__(self, *, is_in_doubt: bool = False) -> None:
        super().__init__(UNAVAILABLE, retry_after=RETRY_AFTER)
        self.is_in_doubt = is_in_doubt


class Uncertain(Refused):
    """It stays unknown whether a command had its effect. Its client is disconnected, and finds out when it is back."""

    def __init__(self) -> None:
        super().__init__(UNAVAILABLE, "It is not known whether this was done", RETRY_AFTER)
