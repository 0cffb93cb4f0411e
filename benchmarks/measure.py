"""
The runs: all servers of a load in turn, round after round, so that what changes about the machine
meanwhile changes for all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby

from benchmarks.loads import Load, Subject
from benchmarks.process import BenchmarkError, Generator, Sample, Server, settle

# A server's first messages are unlike all others: compilers warm up, caches fill.
_FIRST_WARM_UP = 0.4
# How often the memory is looked at while idle connections are opened.
_STEPS = 4


def say(text: str) -> None:
    """
    Tell whoever waits.
    """
    print(text, file=sys.stderr, flush=True)


@dataclass
class Results:
    """
    All that was measured.

    @ivar samples: one of each round, by load and server.
    @ivar memory: resident KiB by server and number of connections.
    @ivar notes: what could not be measured, and why.
    """

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    memory: dict[str, dict[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """
        Keep in mind that something could not be measured.
        """
        say(f"! {text}")
        self.notes.append(text)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """
        Go on after a L{BenchmarkError}.
        """
        try:
            yield
        except BenchmarkError as error:
            self.note(f"{what}: {error}")


def _likeness(load: Load) -> Load:
    """
    @return: what loads have in common that run together.
    """
    connections = 0 if load.mode == "growth" else load.connections
    return replace(load, name="", depth=0, connections=connections)


class Measurement:
    """
    Runs loads against servers.
    """

    def __init__(self, subjects: dict[str, Subject], rounds: int, seconds: float) -> None:
        """
        @param subjects: the servers to measure, by name.
        @param seconds: the length of one run.
        """
        self.results = Results()
        self._subjects = subjects
        self._rounds = rounds
        self._seconds = seconds
        self._failed: set[str] = set()
        # Servers that stay for the next load.
        self._echoing: dict[str, Server] = {}

    def run(self, loads: Iterable[Load]) -> None:
        """
        Measure all loads.
        """
        try:
            for _, group in groupby(loads, _likeness):
                together = list(group)
                if together[0].mode == "memory":
                    self._weigh(together[0])
                elif together[0].mode == "growth":
                    self._grow(together)
                else:
                    self._runTogether(together)
        finally:
            self._stop(self._echoing)

    def _stop(self, servers: dict[str, Server]) -> None:
        for server in servers.values():
            server.stop()

    def _start(self, load: Load, mode: str, servers: dict[str, Server]) -> list[Subject]:
        """
        Have the servers of a load up.

        @param servers: those that are up already; gets the others.
        @return: what can be measured.
        """
        wanted = [
            self._subjects[name]
            for name in load.servers.split()
            if name in self._subjects.keys() - self._failed
        ]
        new = [subject for subject in wanted if subject.name not in servers]
        for subject in new:
            servers[subject.name] = Server(subject.name, subject.command, mode)
        for subject in new:
            with self.results.noting(f"{subject.name} is left out"):
                servers[subject.name].wait()
                continue
            self._failed.add(subject.name)
            del servers[subject.name]
        return [subject for subject in wanted if subject.name not in self._failed]

    def _open(self, load: Load, subject: Subject, server: Server, connections: int) -> Generator:
        isBroadcast = load.mode == "broadcast"
        return Generator(
            server,
            "echo" if load.mode in ("memory", "growth") else load.mode,
            path="/broadcast" if isBroadcast else "/echo",
            dialect=subject.dialect,
            connections=connections,
            size=load.size,
            rate=load.rate,
        )

    def _runTogether(self, loads: list[Load]) -> None:
        """
        Run loads on the same connections.
        """
        load = loads[0]
        # Broadcasts leave with their servers: the clients' parting would be announced to all.
        isBroadcast = load.mode == "broadcast"
        servers: dict[str, Server] = {} if isBroadcast else self._echoing
        generators: dict[str, Generator] = {}
        try:
            for subject in self._start(load, "broadcast" if isBroadcast else "echo", servers):
                say(f"{load.title}: {subject.name} gets its connections")
                with self.results.noting(f"{load.title}: {subject.name}"):
                    server = servers[subject.name]
                    generators[subject.name] = self._open(load, subject, server, load.connections)
            settle(servers.values())
            for each in loads:
                for number in range(self._rounds):
                    self._runRound(each, number, generators)
        finally:
            if isBroadcast:
                self._stop(servers)
            for generator in generators.values():
                generator.close()
        if not isBroadcast:
            settle(servers.values())

    def _runRound(self, load: Load, number: int, generators: dict[str, Generator]) -> None:
        samples = self.results.samples.setdefault(load.name, {})
        warmUp = self._seconds / 4 if number else min(self._seconds, _FIRST_WARM_UP)
        seconds = self._seconds * (2 if load.mode == "rate" else 1)
        for name, generator in list(generators.items()):
            del generators[name]
            with self.results.noting(f"{load.title}: {name}"):
                sample = generator.run(warmUp, seconds, load.depth)
                generators[name] = generator
                samples.setdefault(name, []).append(sample)
                say(
                    f"{load.title}, round {number + 1} of {self._rounds}: {name} "
                    f"{sample.perCpuSecond:,.0f} per CPU second, {sample.perSecond:,.0f}/s"
                )

    def _grow(self, loads: list[Load]) -> None:
        """
        Run loads in turn that differ in their number of connections. Each has its own servers.
        """
        servers: dict[str, dict[str, Server]] = {}
        generators: dict[str, dict[str, Generator]] = {}
        try:
            for load in loads:
                started = servers[load.name] = {}
                opened = generators[load.name] = {}
                for subject in self._start(load, "echo", started):
                    say(f"{load.title}: {subject.name} gets its connections")
                    with self.results.noting(f"{load.title}: {subject.name}"):
                        server = started[subject.name]
                        opened[subject.name] = self._open(load, subject, server, load.connections)
            settle(server for started in servers.values() for server in started.values())
            for number in range(self._rounds):
                for load in loads:
                    self._runRound(load, number, generators[load.name])
        finally:
            for started in servers.values():
                self._stop(started)
            for opened in generators.values():
                for generator in opened.values():
                    generator.close()

    def _weigh(self, load: Load) -> None:
        """
        See how much servers grow with their connections. Each has had some before, and lost
        them, so that what they need once is there.
        """
        for name in load.servers.split():
            servers: dict[str, Server] = {}
            generators: list[Generator] = []
            try:
                for subject in self._start(replace(load, servers=name), "echo", servers):
                    server = servers[name]
                    self._open(load, subject, server, 50).close()
                    settle([server])
                    sizes = self.results.memory[name] = {0: server.residentKiB()}
                    for step in range(1, _STEPS + 1):
                        count = load.connections // _STEPS
                        generators.append(self._open(load, subject, server, count))
                        settle([server])
                        sizes[step * count] = server.residentKiB()
                    each = (sizes[step * count] - sizes[0]) / (step * count)
                    say(f"{load.title}: {name} {each:.1f} KiB each")
            except BenchmarkError as error:
                self.results.note(f"{load.title}: {name}: {error}")
            finally:
                self._stop(servers)
                for generator in generators:
                    generator.close()
