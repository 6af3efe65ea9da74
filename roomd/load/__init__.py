"""The clients of a load test, for `roomd bench` and for the measurements in bench/.

They are compiled (picows, the extra `roomd[bench]`) and must cost far less than the server does for them, so nothing
here parses JSON while a clock runs: a frame is told by a few of its bytes.
"""

from roomd.load.crowd import Crowd
from roomd.load.cycle import Cycle, Tally, Times
from roomd.load.dialect import Dialect, Kind, Roomd, Told
from roomd.load.line import Line
from roomd.load.trial import Outcome, try_out

__all__ = ["Crowd", "Cycle", "Dialect", "Kind", "Line", "Outcome", "Roomd", "Tally", "Times", "Told", "try_out"]
