"""The entry point: the command line. The daemon is imported only when it runs."""

import logging
import signal
from collections.abc import Callable

from roomd.cli.app import build
from roomd.config import Config


def serve(read: Callable[[], Config], demo: bool) -> int:
    """Run the daemon and return the exit code. It is imported here, so that client commands start faster."""
    # The daemon reloads at SIGHUP as soon as it can; until then the signal waits, and does not end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from roomd.system.logging import EventLogger

    logging.setLoggerClass(EventLogger)  # before the daemon's modules create their loggers
    from roomd.daemon import serve

    return serve(read, demo)


def main() -> None:
    """Run the command line."""
    build(serve)()


if __name__ == "__main__":
    main()
