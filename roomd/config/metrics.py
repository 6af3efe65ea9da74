"""The address of the metrics, as the configuration writes it."""

import re
from pathlib import Path

from roomd.config.sections import Config

LOOPBACK = "127.0.0.1"
"""The host of an address that is a port alone: metrics are for programs of this machine, unless another is named."""
_FORMS = "write 9464 for this machine alone, 0.0.0.0:9464, [::]:9464 or unix:/run/roomd/metrics.sock"
_TCP = re.compile(r"(?:(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?:)?(?P<port>[0-9]{1,5})")

MetricsAddress = tuple[str, int] | Path
"""A host and a port, or the path of a Unix socket."""


def parse_metrics_address(text: str) -> MetricsAddress:
    """Read an address to serve metrics at.

    Raises `ValueError` with what is wrong.
    """
    if text.startswith("unix:/"):
        return Path(text.removeprefix("unix:"))
    match = _TCP.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= 65_535:
        raise ValueError(f"is no address to listen on; {_FORMS}")
    return (match["host"] or LOOPBACK).strip("[]"), int(match["port"])


def metrics_address(config: Config) -> MetricsAddress | None:
    """Return where metrics are served; None where they are not.

    Raises `ValueError` for an address that `check` refuses.
    """
    return parse_metrics_address(config.metrics.listen) if config.metrics.listen else None
