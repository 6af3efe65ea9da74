"""How a client is closed for the limits and for its token."""

from roomd.protocol.errors import UNAVAILABLE, Close, Refused


class CloseConnection(Exception):  # noqa: N818 - a result, not an error
    """The connection must be closed with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def close_for(refused: Refused) -> CloseConnection:
    """Return how a connection is closed whose token was refused."""
    if refused.kind is UNAVAILABLE:  # the issuer's keys are not available now
        return CloseConnection(Close.CONNECTION_LIMIT, refused.kind.code)
    return CloseConnection(Close.BAD_TOKEN, refused.kind.code)
