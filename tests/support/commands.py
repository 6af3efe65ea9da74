"""The command line, run in the test's own process."""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from typer.testing import CliRunner, Result

from roomd.cli.app import build
from roomd.config import Config

OK, REFUSED, MISUSED, UNREACHABLE = 0, 1, 2, 3
DAEMON_STOPPED = 9

Served = list[tuple[Config, Sequence[str] | None]]


def roomd(
    *arguments: object, environ: dict[str, str] | None = None, served: Served | None = None, typed: str | None = None
) -> Result:
    """Run a command in this process; `served` collects what the command would start a daemon with.

    `typed` is its standard input.
    """

    def serve(read: Callable[[], Config], demo: Sequence[str] | None) -> int:
        config = read()
        assert served is not None, "this command must not start a daemon"
        served.append((config, demo))
        return DAEMON_STOPPED

    inherited: dict[str, str | None] = {name: None for name in os.environ if name.startswith("ROOMD_")}
    runner = CliRunner(env={**inherited, **(environ or {})})
    return runner.invoke(
        build(),
        [str(one) for one in arguments],
        input=typed,
        catch_exceptions=False,
        prog_name="roomd",
        obj=serve,
    )


def as_json(result: Result) -> Any:
    """Return the one JSON document a command printed."""
    assert (result.exit_code, result.stderr) == (OK, "")
    return json.loads(result.stdout)
