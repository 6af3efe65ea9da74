"""The entry point: the command line. The daemon is imported only when it runs."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial

from roomd.cli.app import command_line
from roomd.config import Config
from roomd.system.activation import inherited_sockets, refuse_waiting


def serve(read: Callable[[], Config], demo: Sequence[str] | None, inherited: Sequence[socket.socket] = ()) -> int:
    """Run the daemon and return the exit code. It is imported here, so that client commands start faster."""
    # The daemon reloads at SIGHUP as soon as it can; until then the signal waits, and does not end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from roomd.system.logging import EventLogger

    logging.setLoggerClass(EventLogger)  # before the daemon's modules create their loggers
    from roomd.daemon import serve

    return serve(read, demo, inherited=inherited)


def main() -> None:
    """Run the command line. When it fails, the clients that wait in inherited sockets are answered so."""
    try:
        inherited = inherited_sockets(os.environ)
    except ValueError as exc:
        print(f"roomd: {exc}", file=sys.stderr)
        sys.exit(2)
    has_failed = True
    try:
        command_line()(obj=partial(serve, inherited=inherited))
    except SystemExit as end:
        has_failed = bool(end.code)
        raise
    finally:
        if has_failed:
            refuse_waiting(inherited)


if __name__ == "__main__":
    main()
