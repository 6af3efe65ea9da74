"""The metrics in the text format of Prometheus, by prometheus-client.

The library is imported when the first answer is needed: that takes some 40 ms and 3 MB.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.http11 import Response

from roomd.counters import Histogram
from roomd.gateway.http.responses import response
from roomd.metrics.families import FAMILIES, Family, Snapshot, Sources, take_snapshot
from roomd.metrics.nodes import NODE_FAMILIES

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric


class Exporter:
    """Answer with every metric, read from the sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry: CollectorRegistry | None = None

    def load(self) -> "CollectorRegistry":
        """Import the library, and build its registry: roomd's metrics, and the library's of the process and Python."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

            self._registry = CollectorRegistry()
            self._registry.register(self)
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self._registry)
        return self._registry

    def answer(self) -> Response:
        """Return the response to `GET /metrics`."""
        registry = self.load()
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return response(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))

    def describe(self) -> "Iterator[Metric]":
        """Describe nothing in advance: the names stand in the table, and a test holds that none is there twice."""
        return iter(())

    def collect(self) -> "Iterator[Metric]":
        """Build every metric. The library calls this for each answer."""
        snapshot = take_snapshot(self._sources)
        families = FAMILIES if self._sources.peers is None else FAMILIES + NODE_FAMILIES
        return (_metric(family, snapshot) for family in families)


def _metric(family: Family, snapshot: Snapshot) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    figures = family.read(snapshot)
    if isinstance(figures, Histogram):
        histogram = HistogramMetricFamily(family.name, family.help)
        histogram.add_metric([], _buckets(figures), figures.total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for values, figure in figures.items():
        metric.add_metric(values, figure)
    return metric


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the number of values up to each bound, the last one without."""
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    counted, buckets = 0, []
    for bound, count in zip(bounds, histogram.counts, strict=True):
        counted += count
        buckets.append((bound, float(counted)))
    return buckets
