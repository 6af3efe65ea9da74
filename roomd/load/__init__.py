"""The guests of `roomd bench`, a load test of a running daemon. They need picows: the extra `roomd[bench]`."""

from roomd.load.times import Times
from roomd.load.trial import Outcome, try_out

__all__ = ["Outcome", "Times", "try_out"]
