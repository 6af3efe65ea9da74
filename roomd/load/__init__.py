"""The load test of `roomd bench`. It needs picows, which the extra `roomd[bench]` installs."""

from roomd.load.runner import Result, run_load_test
from roomd.load.times import Times

__all__ = ["Result", "Times", "run_load_test"]
