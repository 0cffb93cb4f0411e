"""
The results as Markdown.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks import promises, prose
from benchmarks.loads import Load
from benchmarks.measure import Results
from benchmarks.process import CACHE, NODE_PACKAGES
from benchmarks.subjects import Subject

_PACKAGES = ("txhixie", "twisted", "autobahn", "wsproto", "websockets", "picows", "uvloop")
# Modes whose figures have a separate section.
_APART = ("rate", "tail", "storm", "growth", "rooms", "memory", "profile")


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


def _spread(values: list[float], show: Callable[[float], str] = _short) -> str:
    spread = f" ({show(min(values))} to {show(max(values))})" if len(values) > 1 else ""
    return show(median(values)) + spread


def _kibibytes(size: float, most: float | None) -> str:
    if most is None:
        return f"{size:.1f} KiB"
    return f"**{size:.1f} KiB** {'' if size <= most else '**missed** '}≤ {most:g}"


def _percentiles(line: list[dict[str, float]]) -> list[str]:
    """
    @return: in milliseconds.
    """
    return [_spread([1e3 * values[point] for values in line]) for point in line[0]]


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
        @param plot: the path of the plot as seen from the report, if there is one.
        """
        parts = [
            f"# Performance\n\nMeasured by `python -m benchmarks`: {self._how}.\n",
            f"{_machine()}; {', '.join(_versions())}.\n",
            prose.INTRODUCTION,
            *([f"![the measurements as plots]({plot})\n"] if plot else []),
            *(f"Note: {note}.\n" for note in self._results.notes),
            *self._ratios(),
            *([prose.MISSED] if self._peers else []),
            *self._growth("growth", "As connections grow", prose.GROWTH),
            *self._growth("rooms", "As rooms grow", prose.ROOMS),
            *self._memory(),
            *self._profile(),
            *self._latency(),
            *self._figures(),
            *self._headroom(),
        ]
        return "\n".join(parts)

    def _label(self, name: str) -> str:
        return self._subjects[name].label

    def _ratios(self) -> Iterator[str]:
        compared = [self._samples[load] for load in self._samples if load.mode not in _APART]
        peers = [name for name in self._peers if any(name in samples for samples in compared)]
        rows = [
            [load.title, self._subjects[name].dialect]
            + [self._ratio(load, name, peer) if peer in samples else "" for peer in peers]
            for load, samples in self._samples.items()
            for name in self._ours
            if name in samples and load.mode not in _APART
        ]
        header = ("load", "txhixie speaks", *map(self._label, peers))
        return _section("Compared with others", prose.RATIOS, header, rows)

    def _ratio(self, load: Load, name: str, peer: str) -> str:
        pairs = list(zip(*(self._samples[load][each] for each in (name, peer)), strict=False))
        ratios = [ours.perCpuSecond / theirs.perCpuSecond for ours, theirs in pairs]
        wall = median(ours.perSecond / theirs.perSecond for ours, theirs in pairs)
        cell = _spread(ratios, lambda ratio: f"{ratio:.2f}")
        least = promises.RATIOS.get((load.name, name), {}).get(peer)
        if least is not None:
            missed = "" if median(ratios) >= least else "**missed** "
            cell = f"**{cell}** {missed}≥ {least:g}"
        return f"{cell} [{wall:.2f}]"

    def _growth(self, mode: str, title: str, text: str) -> Iterator[str]:
        scaled = [load for load in self._samples if load.mode == mode]
        rows = []
        for name in [*self._ours, *self._peers]:
            measured = [self._samples[load].get(name, []) for load in scaled]
            if measured and all(measured):
                costs = [[1e6 / sample.perCpuSecond for sample in line] for line in measured]
                cells = [self._grown(name, costs[0], cost) for cost in costs]
                rows.append([self._label(name), *cells])
        header = ("", *(load.title.removeprefix("growth, ") for load in scaled))
        return _section(title, text, header, rows)

    def _grown(self, name: str, few: list[float], many: list[float]) -> str:
        growth = median(more / less for less, more in zip(few, many, strict=False))
        missed = " **missed**" if name in self._ours and growth > promises.GROWTH else ""
        return f"{_spread(many, lambda cost: f'{cost:.1f}')} µs, {growth:.2f} times{missed}"

    def _memory(self) -> Iterator[str]:
        rows = []
        for load in self._samples:
            for name, weight in self._results.memory.get(load.name, {}).items():
                fresh = weight.each(weight.idle[weight.connections])
                used = weight.each(weight.used)
                most = promises.FRESH_MEMORY.get((load.name, name))
                mostUsed = promises.USED_MEMORY.get((load.name, name))
                what = f"{self._label(name)}{', deflate' if load.deflate else ''}"
                without = f"{weight.idle[0] / 1024:.0f} MiB"
                cells = [_kibibytes(fresh, most), _kibibytes(used, mostUsed)]
                rows.append([what, f"{weight.connections:,}", without, *cells])
        header = ("", "connections", "without", "each, before a message", "each, after one")
        return _section("Memory of an idle connection", prose.MEMORY, header, rows)

    def _profile(self) -> Iterator[str]:
        profiles = self._results.profiles
        if not profiles:
            return
        parts = next(iter(profiles.values())).shares
        rows = [
            [part, *(f"{each.shares[part]:.0%}" for each in profiles.values())] for part in parts
        ]
        rows.append(["calls of functions", *(f"{each.calls:.0f}" for each in profiles.values())])
        header = ("", *map(self._label, profiles))
        yield from _section("Where the time of a handshake goes", prose.PROFILE, header, rows)

    def _latency(self) -> Iterator[str]:
        for load, measured in self._samples.items():
            if load.mode not in ("rate", "tail", "storm") or not measured:
                continue
            rows = [
                [
                    self._label(name),
                    _short(median(sample.perSecond for sample in samples)),
                    *_percentiles([sample.latency for sample in samples]),
                ]
                for name, samples in measured.items()
            ]
            most = promises.LATENCY.get(load.name)
            for name, row in zip(measured, rows, strict=True):
                if most is not None and name in self._ours:
                    tail = median(sample.latency["99"] for sample in measured[name])
                    missed = "" if 1e3 * tail <= most else "**missed** "
                    row[4] = f"**{row[4]}** {missed}≤ {most:g}"
            everything = [sample for samples in measured.values() for sample in samples]
            rows.append(["sent late", "", *_percentiles([sample.late for sample in everything])])
            counted = "handshakes/s" if load.storm else "messages/s"
            header = (load.title, counted, *(f"{point} %" for point in everything[0].late))
            yield from _section(*prose.LATENCY[load.mode], header, rows)

    def _figures(self) -> Iterator[str]:
        shown = {load: self._samples[load] for load in self._samples if load.mode not in _APART}
        seen = {name for measured in shown.values() for name in measured}
        names = [name for name in (*self._ours, *self._peers) if name in seen]
        rows = []
        for load, measured in shown.items():
            row = [load.title]
            for name in names:
                samples = measured.get(name, [])
                cell = _spread([sample.perCpuSecond for sample in samples]) if samples else ""
                wall = [sample.perSecond for sample in samples]
                row.append(f"{cell} [{_short(median(wall))}]" if samples else "")
            rows.append(row)
        header = ("load", *map(self._label, names))
        return _section("Messages, deliveries, handshakes", prose.FIGURES, header, rows)

    def _headroom(self) -> Iterator[str]:
        rows = []
        for load, measured in self._samples.items():
            if load.mode in _APART:
                continue
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
        return _section("The load generator", prose.GENERATOR, header, rows)
