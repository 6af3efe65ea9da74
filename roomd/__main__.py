"""The entry point: the command line. The daemon is imported only when it runs."""

import logging

from roomd.cli.app import build
from roomd.config import Config


def serve(config: Config, demo: bool) -> int:
    """Run the daemon and return the exit code. It is imported here, so that client commands start faster."""
    from roomd.system.logging import EventLogger

    logging.setLoggerClass(EventLogger)  # before the daemon's modules create their loggers
    from roomd.daemon import serve

    return serve(config, demo)


def main() -> None:
    """Run the command line."""
    build(serve)()


if __name__ == "__main__":
    main()
