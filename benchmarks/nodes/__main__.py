"""
The command C{python -m benchmarks.nodes}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from statistics import median

from benchmarks.nodes.measure import DEPTH, FEW, MANY, RATE, ROOMS, Sample, measured, weighed
from benchmarks.nodes.setups import MEMORY, PACKAGES, SETUPS
from benchmarks.process import (
    LOAD_CORE,
    SERVER_CORE,
    BenchmarkError,
    installNodePackages,
    raiseFileLimit,
)

Round = dict[str, tuple[Sample, Sample, Sample]]


def _spread(values: list[float], form: str) -> str:
    low, high = min(values), max(values)
    return f"{median(values):{form}} ({low:{form}} to {high:{form}})"


def _table(title: str, header: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join([f"## {title}\n", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _full(rounds: list[Round], label: str) -> list[str]:
    def ratios(of: Callable[[Sample], float]) -> list[float]:
        return [of(each[label][2]) / of(each[MEMORY][2]) for each in rounds]

    samples = [each[label][2] for each in rounds]
    perCpu = [sample.deliveries / sample.nodes for sample in samples]
    alone = [sample.deliveries / sample.busiest for sample in samples]
    return [
        label,
        f"{median(sample.deliveries / sample.wall for sample in samples):,.0f}",
        _spread(perCpu, ",.0f"),
        _spread(ratios(lambda sample: sample.deliveries / sample.nodes), ".2f"),
        f"{median(alone):,.0f}",
        _spread(ratios(lambda sample: sample.deliveries / sample.busiest), ".2f"),
        f"{median(sample.redis / (sample.redis + sample.nodes) for sample in samples):.0%}",
        f"{median(sample.clients / sample.wall for sample in samples):.0%}",
    ]


def _latency(rounds: list[Round], label: str) -> list[str]:
    pairs = [(each[label][0], each[MEMORY][0]) for each in rounds]
    return [
        label,
        _spread([1e3 * sample.p50 for sample, _ in pairs], ".2f"),
        f"{median(1e3 * (sample.p50 - memory.p50) for sample, memory in pairs):+.2f}",
        _spread([1e3 * sample.p99 for sample, _ in pairs], ".2f"),
        f"{median(1e3 * (sample.p99 - memory.p99) for sample, memory in pairs):+.2f}",
    ]


def _cost(rounds: list[Round], label: str) -> list[str]:
    """
    @return: microseconds of a message, without and for each member.
    """
    each, nodes, redis = [], [], []
    for few, many, _ in (line[label] for line in rounds):
        costs = [1e6 * sample.nodes / sample.messages for sample in (few, many)]
        each.append((costs[1] - costs[0]) / (MANY - FEW))
        nodes.append(costs[0] - FEW * each[-1])
        redis.append(1e6 * few.redis / few.messages)
    return [label, _spread(nodes, ".0f"), _spread(each, ".1f"), _spread(redis, ".0f")]


def main() -> None:
    """
    Measure, and print the results.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.nodes", description="Measure nodes.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="the length of a run")
    parser.add_argument("--only", default="", metavar="TEXT", help="setups with this in their name")
    arguments = parser.parse_args()
    installNodePackages(PACKAGES)
    raiseFileLimit()
    setups = [each for each in SETUPS if each.label == MEMORY or arguments.only in each.label]
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        rounds.append({})
        for setup in setups:
            print(f"round {number + 1}: {setup.label}", file=sys.stderr)
            rounds[-1][setup.label] = measured(setup, arguments.seconds)
    rows = [[make(rounds, each.label) for each in setups] for make in (_full, _latency, _cost)]
    per = ("deliveries/s", "per CPU second of all nodes", "ratio")
    busiest = ("per CPU second of the busiest", "ratio", "Redis's part", "clients busy")
    title = f"{MANY} members, {DEPTH} messages under way"
    print(f"One core for all servers ({SERVER_CORE}), one for the clients ({LOAD_CORE}).\n")
    print(_table(title, ("", *per, *busiest), rows[0]))
    title = f"{FEW} members, {RATE} messages a second: milliseconds"
    print(_table(title, ("", "50 %", "added", "99 %", "added"), rows[1]))
    title = f"{RATE} messages a second: microseconds of CPU time"
    header = ("", "nodes, each message", "nodes, each delivery", "Redis, each message")
    print(_table(title, header, rows[2]))
    each, redis = weighed(SETUPS[1])
    print(f"A member takes {each:.1f} KiB in a node, {redis:.1f} KiB in Redis ({ROOMS} rooms).")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"benchmarks.nodes: {error}")
