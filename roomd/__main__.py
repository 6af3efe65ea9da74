"""The entry point: the command line, around a daemon that is loaded only when it is to run."""

import logging

from roomd.cli.app import build
from roomd.config import Config


def serve(config: Config, demo: bool) -> int:
    """Run the daemon and return the exit code. A client command need not wait for its parts to be imported."""
    from roomd.system.logging import EventLogger

    logging.setLoggerClass(EventLogger)  # before the daemon's modules make their loggers
    from roomd.daemon import serve

    return serve(config, demo)


def main() -> None:
    """Run the command line."""
    build(serve)()


if __name__ == "__main__":
    main()
