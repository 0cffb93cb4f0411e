"""
The results as a plot.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.loads import Load
from benchmarks.measure import Results
from benchmarks.subjects import Subject


def draw(results: Results, loads: list[Load], subjects: dict[str, Subject], file: Path) -> None:
    """
    Draw it.

    @raise ImportError: without matplotlib.
    """
    _Plot(results, loads, subjects).draw(file)


class _Plot:
    def __init__(self, results: Results, loads: list[Load], subjects: dict[str, Subject]) -> None:
        self._results = results
        self._samples = {load: results.samples.get(load.name, {}) for load in loads}
        self._subjects = subjects

    def draw(self, file: Path) -> None:
        import matplotlib

        matplotlib.use("svg")
        matplotlib.rcParams["svg.hashsalt"] = "txhixie"
        from matplotlib import pyplot

        figure, ((scaled, sized, clients), (memory, latency, legend)) = pyplot.subplots(
            2, 3, figsize=(16, 9)
        )
        curves = self._curves(
            lambda load: (load.size, load.depth) == (16, 1), "connections", "echo", "growth"
        )
        self._draw(scaled, "messages per CPU second, by connections", curves)
        curves = self._curves(
            lambda load: load.connections <= 64 and load.depth <= 4, "size", "echo"
        )
        self._draw(sized, "messages per CPU second, by bytes", curves)
        curves = self._curves(lambda load: load.depth == 1, "connections", "broadcast")
        self._draw(clients, "deliveries per CPU second, by clients", curves)
        for axis in (scaled, sized, clients):
            axis.set_xscale("log")
        mebibytes = {
            name: {count: size / 1024 for count, size in weight.idle.items()}
            for name, weight in self._results.memory.get("memory", {}).items()
        }
        self._draw(memory, "resident MiB, by idle connections", mebibytes)
        memory.set_yscale("linear")
        milliseconds = {
            name: {
                point: 1e3 * median(sample.latency[point] for sample in samples)
                for point in samples[0].latency
            }
            for load, measured in self._samples.items()
            for name, samples in measured.items()
            if load.mode == "rate"
        }
        self._draw(latency, "latency in ms, by percentile", milliseconds)
        shown = {
            label: handle
            for axis in (scaled, sized, clients, memory, latency)
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        legend.legend(shown.values(), shown.keys(), loc="center", ncols=2)
        legend.axis("off")
        figure.tight_layout()
        figure.savefig(file, metadata={"Date": None})

    def _curves(
        self, isShown: Callable[[Load], bool], by: str, *modes: str
    ) -> dict[str, dict[Any, float]]:
        curves: dict[str, dict[Any, float]] = {}
        loads = [
            load
            for load in self._samples
            if load.mode in modes and isShown(load) and not load.deflate and not load.tls
        ]
        for load in sorted(loads, key=attrgetter(by)):
            for name, samples in self._samples[load].items():
                figure = median(sample.perCpuSecond for sample in samples)
                curves.setdefault(name, {})[getattr(load, by)] = figure
        return curves

    def _draw(self, axis: Any, title: str, curves: dict[str, dict[Any, float]]) -> None:
        numbers = {name: number for number, name in enumerate(self._subjects)}
        for name, curve in curves.items():
            axis.plot(
                curve.keys(),
                curve.values(),
                "o-" if self._subjects[name].isOurs else "o--",
                color=f"C{numbers[name] % 10}",
                label=self._subjects[name].label,
            )
        axis.set_yscale("log")
        axis.set_title(title)
