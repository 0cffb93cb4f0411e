"""
Metrics as data: what a part of the server counts or measures, by the conventions of Prometheus.
They do not know how they are shown, so any part can have some.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Upper bounds for what takes from a millisecond to some seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Sample(NamedTuple):
    """
    One value of a metric.

    @ivar suffix: what follows the name of the metric, as C{"_total"}.
    @ivar labels: what tells this value from the others of the metric.
    """

    suffix: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """
    A metric and all its values.

    @ivar name: the name without the suffix of a sample, as C{"txhixie_handshakes"}.
    @ivar kind: C{"counter"}, C{"gauge"}, C{"histogram"}, or another type that Prometheus knows.
    @ivar meaning: a line about it.
    """

    name: str
    kind: str
    meaning: str
    samples: Sequence[Sample]


def gauge(name: str, meaning: str, values: float | Mapping[str, float], label: str = "") -> Metric:
    """
    Return a metric that goes up and down.

    @param values: its value, or a value for each value of C{label}.
    """
    return Metric(name, "gauge", meaning, _samples("", values, label))


def counter(
    name: str, meaning: str, values: float | Mapping[str, float], label: str = ""
) -> Metric:
    """
    Return a metric that only goes up.

    @param name: the name without C{_total}.
    @param values: its value, or a value for each value of C{label}.
    """
    return Metric(name, "counter", meaning, _samples("_total", values, label))


def _samples(suffix: str, values: float | Mapping[str, float], label: str) -> list[Sample]:
    if isinstance(values, Mapping):
        return [Sample(suffix, {label: each}, value) for each, value in values.items()]
    return [Sample(suffix, {}, values)]


class Histogram:
    """
    Counts how often something took how long.
    """

    def __init__(self, name: str, meaning: str, bounds: Sequence[float] = SECONDS) -> None:
        """
        @param bounds: the upper bounds of the buckets, in ascending order.
        """
        self._name = name
        self._meaning = meaning
        self._bounds = bounds
        # One more than there are bounds: what is above all of them.
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """
        Count a value.
        """
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def metric(self) -> Metric:
        """
        Return what was counted until now.
        """
        samples = []
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            samples.append(Sample("_bucket", {"le": _bound(bound)}, total))
        samples += [Sample("_count", {}, total), Sample("_sum", {}, self._sum)]
        return Metric(self._name, "histogram", self._meaning, samples)


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)


def toJSON(metrics: Iterable[Metric]) -> list[Any]:
    """
    Return metrics as values that JSON has.
    """
    return [
        [each.name, each.kind, each.meaning, [[*sample] for sample in each.samples]]
        for each in metrics
    ]


def fromJSON(values: Iterable[Any]) -> list[Metric]:
    """
    Return the metrics of L{toJSON}.
    """
    return [
        Metric(name, kind, meaning, [Sample(*sample) for sample in samples])
        for name, kind, meaning, samples in values
    ]
