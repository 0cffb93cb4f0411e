"""
What was measured, as Markdown and as a plot.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.loads import GROWTH_PROMISE, MEMORY_PROMISES, PROMISES, Load, Subject
from benchmarks.measure import Results
from benchmarks.process import CACHE, NODE_PACKAGES

_PACKAGES = ("txhixie", "twisted", "autobahn", "wsproto", "websockets", "picows", "uvloop")
_INTRODUCTION = """\
The server has one core to itself, the load generator another. The servers of a load are measured
in turn, round after round; figures are medians of the rounds, with the lowest and the highest.
Messages are counted per CPU second of the server, which is steadier than wall time.
"""
_RATIOS = """\
How many times as many messages per CPU second as the peer, compared round by round, and in square
brackets per second of wall time. Bold is what txhixie sets out to reach, with the least that does.
"""
_GROWTH = f"""\
The CPU time of an echo of 16 B at depth 1, and how many times that with the fewest connections,
compared round by round. txhixie's is to stay within {GROWTH_PROMISE:g} times.
"""
_MEMORY = """\
Resident memory with that many connections, less that without, for each of them.
"""
_LATENCY = """\
Milliseconds from when a message was due to its echo, by percentile. Messages are due at a fixed
rate, whether or not those before are answered. The last line is how late the generator sent them.
"""
_FIGURES = """\
Per CPU second of the server, and in square brackets per second of wall time.
"""
_GENERATOR = """\
What the load generator drives a bare TCP server in C to, how much it can do itself in a second
without waits, what the fastest WebSocket server makes of it, and the part of the time that the
generator did not wait for that one. It never sleeps while it waits, so waking it costs nobody.
"""


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


def _spread(values: list[float], show: Callable[[float], str] = _short) -> str:
    spread = f" ({show(min(values))} to {show(max(values))})" if len(values) > 1 else ""
    return show(median(values)) + spread


def _section(title: str, text: str, header: Iterable[str], rows: list[list[str]]) -> Iterator[str]:
    if rows:
        lines = [list(header), *rows]
        lines.insert(1, ["---"] * len(lines[0]))
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        yield f"## {title}\n\n{text}\n{table}"


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    with suppress(OSError):
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
        yield f"Node {node.stdout.strip()}"
    for name in NODE_PACKAGES:
        with suppress(OSError):
            manifest = json.loads((CACHE / "node_modules" / name / "package.json").read_bytes())
            yield f"{name} {manifest['version']}"


def _machine() -> str:
    model = platform.machine()
    with suppress(OSError, IndexError):
        model = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].split("\n")[0]
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


class Report:
    """
    The report on one run.
    """

    def __init__(
        self, results: Results, loads: list[Load], subjects: dict[str, Subject], how: str
    ) -> None:
        """
        @param how: how long and how often it was measured.
        """
        self._results = results
        self._samples = {load: results.samples.get(load.name, {}) for load in loads}
        self._subjects = subjects
        self._how = how
        seen = {name for samples in self._samples.values() for name in samples}
        self._ours = [name for name in subjects if name in seen and subjects[name].isOurs]
        self._peers = [name for name in subjects if name in seen and not subjects[name].isOurs]

    def markdown(self, plot: str | None) -> str:
        """
        @param plot: where the plot is found from the report, if there is one.
        """
        parts = [
            f"# Performance\n\nMeasured by `python -m benchmarks`: {self._how}.\n",
            f"{_machine()}; {', '.join(_versions())}.\n",
            _INTRODUCTION,
            *([f"![the measurements as plots]({plot})\n"] if plot else []),
            *(f"Note: {note}.\n" for note in self._results.notes),
            *self._ratios(),
            *self._growth(),
            *self._memory(),
            *self._latency(),
            *self._figures(),
            *self._headroom(),
        ]
        return "\n".join(parts)

    def _label(self, name: str) -> str:
        return self._subjects[name].label

    def _ratios(self) -> Iterator[str]:
        peers = [name for name in self._peers if name != "bare-c"]
        rows = [
            [load.title, self._subjects[name].dialect]
            + [self._ratio(load, name, peer) if peer in samples else "" for peer in peers]
            for load, samples in self._samples.items()
            for name in self._ours
            if name in samples and load.mode not in ("rate", "growth")
        ]
        header = ("load", "txhixie speaks", *map(self._label, peers))
        return _section("Compared with others", _RATIOS, header, rows)

    def _ratio(self, load: Load, name: str, peer: str) -> str:
        pairs = list(zip(*(self._samples[load][each] for each in (name, peer)), strict=False))
        ratios = [ours.perCpuSecond / theirs.perCpuSecond for ours, theirs in pairs]
        wall = median(ours.perSecond / theirs.perSecond for ours, theirs in pairs)
        cell = _spread(ratios, lambda ratio: f"{ratio:.2f}")
        least = PROMISES.get((load.name, name), {}).get(peer)
        if least is not None:
            missed = "" if median(ratios) >= least else "**missed** "
            cell = f"**{cell}** {missed}≥ {least:g}"
        return f"{cell} [{wall:.2f}]"

    def _growth(self) -> Iterator[str]:
        scaled = [load for load in self._samples if load.mode == "growth"]
        rows = []
        for name in [*self._ours, *self._peers]:
            measured = [self._samples[load].get(name, []) for load in scaled]
            if measured and all(measured):
                costs = [[1e6 / sample.perCpuSecond for sample in line] for line in measured]
                cells = [self._grown(name, costs[0], cost) for cost in costs]
                rows.append([self._label(name), *cells])
        header = ("", *(f"{load.connections:,} connections" for load in scaled))
        return _section("As connections grow", _GROWTH, header, rows)

    def _grown(self, name: str, few: list[float], many: list[float]) -> str:
        growth = median(more / less for less, more in zip(few, many, strict=False))
        missed = " **missed**" if name in self._ours and growth > GROWTH_PROMISE else ""
        return f"{_spread(many, lambda cost: f'{cost:.1f}')} µs, {growth:.2f} times{missed}"

    def _memory(self) -> Iterator[str]:
        rows = []
        for name, sizes in self._results.memory.items():
            each = (sizes[max(sizes)] - sizes[0]) / max(sizes)
            most = MEMORY_PROMISES.get(name)
            verdict = "" if most is None else f"{'' if each <= most else '**missed** '}≤ {most:g}"
            cells = [f"{max(sizes):,}", f"{sizes[0] / 1024:.0f} MiB", f"{each:.1f} KiB", verdict]
            rows.append([self._label(name), *cells])
        header = ("", "connections", "without", "each", "at most")
        return _section("Memory of an idle connection", _MEMORY, header, rows)

    def _latency(self) -> Iterator[str]:
        for load, measured in self._samples.items():
            if load.mode != "rate" or not measured:
                continue
            everything = [sample for samples in measured.values() for sample in samples]
            lines = {self._label(name): [s.latency for s in measured[name]] for name in measured}
            lines["sent late"] = [sample.late for sample in everything]
            points = list(everything[0].late)
            rows = [
                [label, *(_spread([1e3 * values[point] for values in line]) for point in points)]
                for label, line in lines.items()
            ]
            header = (load.title, *(f"{point} %" for point in points))
            yield from _section("Latency", _LATENCY, header, rows)

    def _figures(self) -> Iterator[str]:
        names = [*self._ours, *self._peers]
        rows = []
        for load, measured in self._samples.items():
            row = [load.title]
            for name in names:
                samples = measured.get(name, [])
                cell = _spread([sample.perCpuSecond for sample in samples]) if samples else ""
                wall = [sample.perSecond for sample in samples]
                row.append(f"{cell} [{_short(median(wall))}]" if samples else "")
            if load.mode not in ("rate", "growth", "memory"):
                rows.append(row)
        header = ("load", *map(self._label, names))
        return _section("Messages, deliveries, handshakes", _FIGURES, header, rows)

    def _headroom(self) -> Iterator[str]:
        rows = []
        for load, measured in self._samples.items():
            rates = {name: median(s.perSecond for s in measured[name]) for name in measured}
            others = [name for name in rates if not name.startswith("bare")]
            if "bare-c" in rates and others:
                best = max(others, key=lambda name: rates[name])
                busy = median(sample.busy / sample.wall for sample in measured[best])
                able = median(sample.units / sample.busy for sample in measured["bare-c"])
                cells = [f"{_short(rates[best])}/s, {self._label(best)}", f"{busy:.0%}"]
                bare = [_short(rates["bare-c"]) + "/s", _short(able) + "/s"]
                rows.append([load.title, *bare, *cells])
        header = ("load", "bare TCP in C", "by itself", "fastest", "busy")
        return _section("The load generator", _GENERATOR, header, rows)

    # The plot

    def plot(self, file: Path) -> None:
        """
        Draw it.

        @raise ImportError: without matplotlib.
        """
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
            name: {count: size / 1024 for count, size in sizes.items()}
            for name, sizes in self._results.memory.items()
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
        loads = [load for load in self._samples if load.mode in modes and isShown(load)]
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
                label=self._label(name),
            )
        axis.set_yscale("log")
        axis.set_title(title)
