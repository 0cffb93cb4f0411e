"""
What a process says about itself, and what several say together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from txhixie.metrics import Metric, Sample, fromJSON, toJSON

# What has the same value however it is added up.
_TOTALS = ("counter", "histogram", "summary")


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a process says about itself at one moment.

    @ivar metrics: its metrics.
    @ivar statistics: sums, as L{txhixie.HixieFactory.statistics} returns them.
    @ivar problems: why it does not serve, a line each; empty if it does.
    @ivar warnings: what is wrong although it serves, a line each.
    """

    metrics: list[Metric] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def toJSON(self) -> dict[str, Any]:
        """
        Return the report as values that JSON has.
        """
        return {
            "metrics": toJSON(self.metrics),
            "statistics": self.statistics,
            "problems": self.problems,
            "warnings": self.warnings,
        }

    @classmethod
    def fromJSON(cls, values: Mapping[str, Any]) -> Report:
        """
        Return the report of L{toJSON}.
        """
        return cls(
            fromJSON(values["metrics"]),
            values["statistics"],
            values["problems"],
            values["warnings"],
        )


class Totals:
    """
    The metrics of several processes as one. Counters and histograms are added up, those of
    processes that are gone included. Gauges are those of each process, told apart by a label.
    """

    def __init__(self, label: str) -> None:
        """
        @param label: the name of the label; its values are the names of the processes.
        """
        self._label = label
        # The last report of each process, and the totals of those that are gone.
        self._latest: dict[str, list[Metric]] = {}
        self._gone: list[Metric] = []

    def update(self, name: str, metrics: list[Metric]) -> None:
        """
        Take the newest metrics of a process.
        """
        self._latest[name] = metrics

    def remove(self, name: str) -> None:
        """
        Keep the totals of a process, which is gone.
        """
        left = self._latest.pop(name, [])
        totals = [metric for metric in left if metric.kind in _TOTALS]
        self._gone = _sums([*self._gone, *totals])

    def metrics(self) -> list[Metric]:
        """
        Return the metrics of all.
        """
        totals, others = [*self._gone], []
        for name, metrics in self._latest.items():
            for metric in metrics:
                if metric.kind in _TOTALS:
                    totals.append(metric)
                else:
                    others.append(self._labelled(name, metric))
        return [*_sums(totals), *_joined(others)]

    def _labelled(self, name: str, metric: Metric) -> Metric:
        samples = [
            Sample(suffix, {**labels, self._label: name}, value)
            for suffix, labels, value in metric.samples
        ]
        return Metric(metric.name, metric.kind, metric.meaning, samples)


def _grouped(metrics: Iterable[Metric]) -> list[list[Metric]]:
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.name, []).append(metric)
    return list(groups.values())


def _joined(metrics: Iterable[Metric]) -> list[Metric]:
    """
    Return metrics with all samples of those that had the same name.
    """
    return [
        Metric(group[0].name, group[0].kind, group[0].meaning, _samplesOf(group))
        for group in _grouped(metrics)
    ]


def _samplesOf(metrics: Iterable[Metric]) -> list[Sample]:
    return [sample for metric in metrics for sample in metric.samples]


def _sums(metrics: Iterable[Metric]) -> list[Metric]:
    """
    Return metrics with the sums of those that had the same name.
    """
    summed = []
    for metric in _joined(metrics):
        values: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
        for suffix, labels, value in metric.samples:
            key = (suffix, frozenset(labels.items()))
            before = values[key].value if key in values else 0
            values[key] = Sample(suffix, labels, before + value)
        summed.append(Metric(metric.name, metric.kind, metric.meaning, list(values.values())))
    return summed


def sumStatistics(reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return the sums of statistics, however deep they are; of C{uptime} the longest.
    """
    sums: dict[str, Any] = {}
    for report in reports:
        for name, value in report.items():
            if isinstance(value, Mapping):
                sums[name] = sumStatistics([sums.get(name, {}), value])
            elif name == "uptime":
                sums[name] = max(sums.get(name, 0), value)
            else:
                sums[name] = sums.get(name, 0) + value
    return sums
