"""`python -m bench`: measure roomd on one core, beside its ceilings and its peers under the same load."""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from bench import options, plots, report
from bench.processes import StartFailed, available_memory, keep_memory
from bench.suite import SERVERS, WORK, Plan, Suite
from bench.work import crowd, growth, storm

RESULTS = Path(__file__).parent / "results"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("bench", __doc__, rounds=3, seconds=1.5)
    parser.add_argument("--only", nargs="+", choices=WORK, default=tuple(WORK), metavar="WORK", help="a to k")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS, help="what to measure (default all)")
    parser.add_argument(
        "--without", nargs="+", choices=SERVERS, default=(), metavar="SERVER", help="servers to leave out"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="start no round that would end later (default 9)")
    parser.add_argument("--quick", action="store_true", help="one short round, without what is large")
    parser.add_argument("--million", action="store_true", help="a history of one million instead of ten")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where tables and plots go (default bench/results)"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, and write the results; return 1 when a server does not start, or roomd failed at something."""
    args = arguments()
    machine, cores = options.make_ready(args.folder)
    seconds = min(args.seconds, 0.7) if args.quick else args.seconds
    history = growth.MILLION if args.million else growth.TEN_MILLION
    buffers = crowd.LARGEST * storm.read_buffer(crowd.LARGEST)
    has_memory = available_memory() > 2 * buffers  # the server and the kernel need as much
    servers = tuple(server for server in args.servers if server not in args.without)
    plan = Plan(tuple(args.only), servers, seconds, args.quick, history, has_memory)
    if crowd.LARGEST in plan.crowds:
        keep_memory(buffers)
    elif not has_memory:
        print(f"{crowd.LARGEST:,} clients are left out: too little memory for them", file=sys.stderr)
    suite = Suite(plan, cores, args.folder.resolve())
    start = time.monotonic()
    try:
        rounds = _run(suite, 1 if args.quick else args.rounds, start + args.minutes * 60)
    except StartFailed as exc:
        print(f"{exc}\nNothing is written. --without SERVER leaves a server out.", file=sys.stderr)
        return 1
    results = report.Results(machine, rounds, time.monotonic() - start, seconds, suite.samples, suite.failures)
    report.write(results, args.results)
    if find_spec("matplotlib") is not None:
        plots.draw(results, args.results)
    print(report.markdown(results))
    return int(any(failure.server == "roomd" for failure in suite.failures))


def _run(suite: Suite, most: int, end: float) -> int:
    """Measure `most` rounds, or fewer if one would end later than `end`; return how many."""
    suite.check_servers()
    suite.run_once()
    longest = 0.0
    for rounds in range(most):
        begin = time.monotonic()
        if rounds and begin + longest > end:
            return rounds
        suite.run_round()
        longest = max(longest, time.monotonic() - begin)
    return most


if __name__ == "__main__":
    sys.exit(main())
