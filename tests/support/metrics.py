"""Read the metrics of a daemon as Prometheus does."""

import time
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from roomd.system.unix_sockets import connect_to
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

Series = dict[str, float]
"""Figures by series, like `roomd_closes_total{code="1000"}`; labels are in the order of the alphabet."""


def parse(text: str) -> Series:
    """Read the text format."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            series = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert series not in found, f"{series} is there twice"
            found[series] = sample.value
    return found


def get(daemon: Daemon) -> str:
    """Ask the admin interface for the metrics; return the text."""
    with connect_to(daemon.database.with_suffix(".sock"), PATIENCE) as connected:
        connected.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with connected.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return body.decode()


def metrics(daemon: Daemon) -> Series:
    """Ask the admin interface for the metrics."""
    return parse(get(daemon))


def wait_for_metrics(daemon: Daemon, are_there: Callable[[Series], bool]) -> Series:
    """Ask until the metrics fulfil a condition; return them."""
    deadline = time.monotonic() + PATIENCE
    while not are_there(found := metrics(daemon)):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found
