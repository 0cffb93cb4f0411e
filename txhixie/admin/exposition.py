"""
Metrics as Prometheus reads them, by its own library.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client import Metric as PrometheusMetric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from twisted import __version__ as twistedVersion
from txhixie.metrics import Metric, Sample, gauge


class MetricsCollector(Collector):
    """
    Has a registry of prometheus_client show our metrics.

    To show those of a factory in a program that has its own registry::

        REGISTRY.register(MetricsCollector(factory.metrics))

    Collect in the reactor's thread.
    """

    def __init__(self, metrics: Callable[[], Iterable[Metric]]) -> None:
        """
        @param metrics: called for each collection.
        """
        self._metrics = metrics

    def collect(self) -> Iterable[PrometheusMetric]:
        """
        Return the metrics as they are now.
        """
        for each in self._metrics():
            metric = PrometheusMetric(each.name, each.meaning, each.kind)
            for suffix, labels, value in each.samples:
                metric.add_sample(each.name + suffix, dict(labels), value)
            yield metric

    def describe(self) -> Iterable[PrometheusMetric]:
        """
        Return nothing: what there will be is not known yet, and is not collected to find out.
        """
        return ()


def exposition(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """
    Return metrics as text, and its content type.

    @param accept: the C{Accept} field of the request.
    """
    registry = CollectorRegistry()
    registry.register(MetricsCollector(lambda: metrics))
    encode, contentType = choose_encoder(accept)
    return encode(registry), contentType


def processMetrics() -> list[Metric]:
    """
    Return what prometheus_client's own registry has: about the process and Python, and all that an
    application registered.
    """
    return [
        Metric(
            each.name,
            each.type,
            each.documentation,
            [
                Sample(sample.name.removeprefix(each.name), sample.labels, sample.value)
                for sample in each.samples
                # When it began to count is not a number that can be added up.
                if not sample.name.endswith("_created")
            ],
        )
        for each in REGISTRY.collect()
    ]


def buildMetrics(version: str, reactor: object) -> list[Metric]:
    """
    Return what runs here.
    """
    metric = gauge("txhixie_build_info", "What runs here; always 1.", 1)
    labels = {
        "version": version,
        "python": platform.python_version(),
        "twisted": twistedVersion,
        "reactor": type(reactor).__name__,
    }
    return [Metric(metric.name, metric.kind, metric.meaning, [Sample("", labels, 1)])]
