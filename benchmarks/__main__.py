"""
The command C{python -m benchmarks}.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.loads import Load, loads
from benchmarks.measure import Measurement, say
from benchmarks.plot import draw
from benchmarks.process import LOAD_CORE, SERVER_CORE, installNodePackages, raiseFileLimit
from benchmarks.report import Report
from benchmarks.subjects import subjects

# Files a process has open besides its connections.
_OTHER_FILES = 200


def _fitting(load: Load, room: int) -> Load:
    """
    @param room: the largest number of connections.
    """
    connections = min(load.connections, room)
    return replace(load, connections=connections, storm=min(load.storm, room - connections))


def main() -> None:
    """
    Measure, and print the results.
    """
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure txhixie.")
    parser.add_argument("--quick", action="store_true", help="in less than a minute, roughly")
    parser.add_argument("--only", metavar="LOAD,...", help="these loads only")
    parser.add_argument("--servers", metavar="NAME,...", help="these servers only")
    parser.add_argument("--rounds", type=int, help="how often (3; 1 if quick)")
    parser.add_argument("--seconds", type=float, help="the length of a run (0.7; 0.2 if quick)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the report, and a plot by it")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    seconds = arguments.seconds or (0.2 if arguments.quick else 0.7)
    known = {load.name: load for load in loads(arguments.quick)}
    servers = subjects()
    wantedLoads = arguments.only.split(",") if arguments.only else list(known)
    wantedServers = arguments.servers.split(",") if arguments.servers else list(servers)
    for wanted, names in ((wantedLoads, list(known)), (wantedServers, list(servers))):
        if unknown := set(wanted) - set(names):
            parser.error(f"no {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    started = time.monotonic()
    measured = {name: servers[name] for name in servers if name in wantedServers}
    measurement = Measurement(measured, rounds, seconds)
    results = measurement.results
    if SERVER_CORE == LOAD_CORE:
        results.note("there is only one core for the server and the load generator")
    with results.noting("some servers are missing"):
        installNodePackages()
    room = raiseFileLimit() - _OTHER_FILES
    chosen = [known[name] for name in known if name in wantedLoads]
    for load in chosen:
        if load.connections + load.storm > room:
            results.note(f"{load.title}: only {room:,}, because no more files may be open")
    measurement.run([_fitting(load, room) for load in chosen])
    took = f"{seconds:g} s a run, {rounds} of each; {time.monotonic() - started:.0f} s in all"
    report = Report(results, chosen, servers, took)
    if arguments.write is None:
        print(report.markdown(None))
        return
    plot = arguments.write.with_suffix(".svg")
    name: str | None = plot.name
    try:
        draw(results, chosen, servers, plot)
    except ImportError:
        say("matplotlib is not installed: there is no plot")
        name = None
    arguments.write.write_text(report.markdown(name))


if __name__ == "__main__":
    main()
