"""
The runs: all servers of a load in turn, round after round, so that changes of the machine affect
all of them alike.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby

from benchmarks.loads import Load
from benchmarks.process import CACHE, BenchmarkError, Generator, Sample, Server, settle
from benchmarks.profiles import Profile, profiled
from benchmarks.subjects import Subject

# A server's first messages are not typical: compilers warm up, caches fill.
_FIRST_WARM_UP = 0.4
# How often the memory is measured while idle connections are opened.
_STEPS = 4


def say(text: str) -> None:
    """
    Print progress for the person who waits.
    """
    print(text, file=sys.stderr, flush=True)


@dataclass
class Weight:
    """
    The memory that a server's connections take.

    @ivar idle: resident KiB by number of connections, none of which sent a message.
    @ivar used: resident KiB with all of them, after an echo of a message on each.
    """

    idle: dict[int, int]
    used: int = 0

    @property
    def connections(self) -> int:
        """
        The largest number of connections.
        """
        return max(self.idle)

    def each(self, size: int) -> float:
        """
        @param size: resident KiB with all connections.
        @return: KiB for each of them.
        """
        return (size - self.idle[0]) / self.connections


@dataclass
class Results:
    """
    All results.

    @ivar samples: one of each round, by load and server.
    @ivar memory: by load and server.
    @ivar profiles: of handshakes, by server.
    @ivar notes: what could not be measured, and why.
    """

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    memory: dict[str, dict[str, Weight]] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """
        Note that something could not be measured.
        """
        say(f"! {text}")
        self.notes.append(text)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """
        Continue after a L{BenchmarkError}.
        """
        try:
            yield
        except BenchmarkError as error:
            self.note(f"{what}: {error}")


def _likeness(load: Load) -> Load:
    """
    @return: what loads that run together have in common.
    """
    if load.mode in ("growth", "rooms"):
        return replace(load, name="", depth=0, connections=0, rooms=0)
    return replace(load, name="", depth=0)


def _sharesServers(load: Load) -> bool:
    """
    @return: whether servers can be used again after such a load. After a broadcast they cannot: all
        clients would be notified of each one that leaves.
    """
    hasOwn = load.tls or load.deflate or load.storm
    return load.serverMode == "echo" and not hasOwn


def _kind(load: Load, subject: Subject) -> tuple[str, bool, bool]:
    """
    @return: everything about a server that matters for starting it.
    """
    return subject.name, load.deflate, load.tls


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
        # Servers that do not start.
        self._failed: set[tuple[str, bool, bool]] = set()
        # Servers that are kept for the next load.
        self._echoing: dict[str, Server] = {}

    def run(self, loads: Iterable[Load]) -> None:
        """
        Measure all loads.
        """
        try:
            for _, group in groupby(loads, _likeness):
                together = list(group)
                match together[0].mode:
                    case "memory":
                        self._weigh(together[0])
                    case "growth" | "rooms":
                        self._grow(together)
                    case "profile":
                        self._profile(together[0])
                    case "tail":
                        self._runAtHalf(together[0])
                    case _:
                        self._runTogether(together)
        finally:
            self._stop(self._echoing)

    def _stop(self, servers: dict[str, Server]) -> None:
        for server in servers.values():
            server.stop()

    def _start(self, load: Load, servers: dict[str, Server]) -> list[Subject]:
        """
        Make sure that the servers of a load run.

        @param servers: servers that already run; the new ones are added.
        @return: what can be measured.
        """
        found = [self._subjects[name] for name in load.servers.split() if name in self._subjects]
        wanted = [subject for subject in found if _kind(load, subject) not in self._failed]
        new = [subject for subject in wanted if subject.name not in servers]
        for subject in new:
            servers[subject.name] = self._server(load, subject)
        for subject in new:
            with self.results.noting(f"{subject.name} is left out"):
                servers[subject.name].wait()
                continue
            self._failed.add(_kind(load, subject))
            del servers[subject.name]
        return [subject for subject in wanted if subject.name in servers]

    def _server(self, load: Load, subject: Subject) -> Server:
        return Server(
            f"{subject.name}-{load.name}",
            lambda port: subject.command(load.serverMode, port, load.deflate, load.tls),
        )

    def _open(
        self, load: Load, subject: Subject, server: Server, connections: int, mode: str = ""
    ) -> Generator:
        """
        @param mode: the mode of the generator, if it differs from that of the load.
        """
        modes = {"memory": "echo", "growth": "echo", "rooms": "broadcast", "storm": "rate"}
        return Generator(
            server,
            mode or modes.get(load.mode, load.mode),
            path=f"/{load.serverMode}",
            dialect=subject.dialect,
            connections=connections,
            size=load.size,
            rate=load.rate,
            rooms=load.rooms,
            storm=load.storm,
            deflate=load.deflate and not subject.isPlain,
            tls=load.tls,
        )

    def _runTogether(self, loads: list[Load]) -> None:
        """
        Run loads on the same connections.
        """
        load = loads[0]
        servers = self._echoing if _sharesServers(load) else {}
        generators: dict[str, Generator] = {}
        try:
            for subject in self._start(load, servers):
                say(f"{load.title}: {subject.name} gets its connections")
                with self.results.noting(f"{load.title}: {subject.name}"):
                    server = servers[subject.name]
                    generators[subject.name] = self._open(load, subject, server, load.connections)
            settle(servers.values())
            for each in loads:
                self._runRounds(each, generators)
        finally:
            if servers is not self._echoing:
                self._stop(servers)
            for generator in generators.values():
                generator.close()
        if servers is self._echoing:
            settle(servers.values())

    def _profile(self, load: Load) -> None:
        """
        Measure what parts of a server take the time.
        """
        found = self.results.profiles
        for name in load.servers.split():
            if name not in self._subjects:
                continue
            say(f"{load.title}: {name}")
            subject, file = self._subjects[name], CACHE / f"{name}.profile"
            server = Server(
                f"{name}-{load.name}",
                lambda port, subject=subject, file=file: profiled(  # type: ignore[misc]
                    subject.command(load.serverMode, port, load.deflate, load.tls), file
                ),
            )
            with self.results.noting(f"{load.title}: {name}"):
                try:
                    server.wait()
                    generator = self._open(load, subject, server, load.connections, "handshakes")
                    sample = generator.run(0, 3 * self._seconds, load.depth)
                    generator.close()
                    server.end()
                finally:
                    server.stop()
                found[name] = Profile.read(file, sample.units)

    def _runAtHalf(self, load: Load) -> None:
        """
        Measure what each server can do with the connections of a load, and run it at half of that.
        """
        servers = self._echoing
        generators: dict[str, Generator] = {}
        try:
            for subject in self._start(load, servers):
                say(f"{load.title}: {subject.name} is driven to its capacity")
                with self.results.noting(f"{load.title}: {subject.name}"):
                    server = servers[subject.name]
                    full = self._open(load, subject, server, load.connections, "echo")
                    try:
                        capacity = full.run(_FIRST_WARM_UP, 2 * self._seconds, load.depth)
                    finally:
                        full.close()
                    rated = replace(load, rate=capacity.perSecond / 2 / load.connections)
                    generators[subject.name] = self._open(
                        rated, subject, server, load.connections, "rate"
                    )
            settle(servers.values())
            self._runRounds(load, generators)
        finally:
            for generator in generators.values():
                generator.close()
        settle(servers.values())

    def _runRounds(self, load: Load, generators: dict[str, Generator]) -> None:
        for number in range(self._rounds):
            self._runRound(load, number, generators)

    def _runRound(self, load: Load, number: int, generators: dict[str, Generator]) -> None:
        samples = self.results.samples.setdefault(load.name, {})
        warmUp = self._seconds / 4 if number else min(self._seconds, _FIRST_WARM_UP)
        seconds = self._seconds * (2 if load.mode in ("rate", "tail") else 1)
        for name, generator in list(generators.items()):
            del generators[name]
            with self.results.noting(f"{load.title}: {name}"):
                sample = generator.run(warmUp, seconds, load.depth)
                generators[name] = generator
                samples.setdefault(name, []).append(sample)
                if load.storm:
                    # All those clients are gone.
                    settle([generator.server])
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
                for subject in self._start(load, started):
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

    def _sendOne(self, generators: list[Generator]) -> None:
        """
        Let at least one message be echoed on each connection.
        """
        for generator in generators:
            generator.run(0, 0.001, 1)

    def _weigh(self, load: Load) -> None:
        """
        Measure how much servers grow with their connections, and with a message on each. Each
        server had some connections before, and lost them, so that what it needs once is already
        there.
        """
        weights = self.results.memory.setdefault(load.name, {})
        for name in load.servers.split():
            servers: dict[str, Server] = {}
            generators: list[Generator] = []
            try:
                for subject in self._start(replace(load, servers=name), servers):
                    server = servers[name]
                    generators.append(self._open(load, subject, server, 50))
                    self._sendOne(generators)
                    generators.pop().close()
                    settle([server])
                    weight = Weight({0: server.residentKiB()})
                    for step in range(1, _STEPS + 1):
                        count = load.connections // _STEPS
                        generators.append(self._open(load, subject, server, count))
                        settle([server])
                        weight.idle[step * count] = server.residentKiB()
                    self._sendOne(generators)
                    settle([server])
                    weight.used = server.residentKiB()
                    weights[name] = weight
                    each = weight.each(weight.idle[weight.connections])
                    used = weight.each(weight.used)
                    say(f"{load.title}: {name} {each:.1f} KiB each, {used:.1f} KiB once used")
            except BenchmarkError as error:
                self.results.note(f"{load.title}: {name}: {error}")
            finally:
                self._stop(servers)
                for generator in generators:
                    generator.close()
