"""
The fast tests, and what a child does with them: find out which of them execute which lines, or try
a mutant.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest

from tests.mutation.mutants import Mutant

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGE = PROJECT / "txhixie"

# Tests that start child processes, which would import the package without its mutation, or that
# take too long.
SLOW = (
    "tests/abuse",
    "tests/contract/test_trial.py",
    "tests/contract/test_typing.py",
    "tests/fuzz",
    "tests/interop",
    "tests/mutation",
    "tests/test_command.py",
    "tests/test_conformance.py",
    "tests/test_examples.py",
    "tests/test_twistd.py",
)

# Tests with real sockets. There are thousands, and other tests detect most of what these do. They
# run only on request, and last.
SOCKETS = "tests/contract"

# Seconds for everything but the tests, and for a test beyond ten times what it took before.
STARTING, _SPARE = 60.0, 10.0


@dataclass
class Suite:
    """
    What is known about the fast tests.

    @ivar seconds: how long each took.
    @ivar lines: the tests that execute a line, by file and line; an empty name among them
        for what happened between the tests: when a module was imported or a fixture made that
        several tests share.
    @ivar modules: everything that was imported.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)

    def order(self, names: Iterable[str]) -> list[str]:
        """
        @return: the fastest first, and those with real sockets last.
        """
        return sorted(names, key=lambda name: (name.startswith(SOCKETS), self.seconds[name], name))

    def covering(self, mutant: Mutant, isThorough: bool = False) -> list[str]:
        """
        @param isThorough: whether the other tests follow.
        @return: the tests that execute what is mutated, in the order in which they run. If it
            happens between tests, all others follow, those of the same module first.
        """
        lines = self.lines.get(str(mutant.path), {})
        found: set[str] = set()
        for line in range(mutant.line, mutant.last + 1):
            found.update(lines.get(line, ()))
        found = found or set(lines.get(mutant.statement, ()))
        order = self.order(found - {""})
        if "" in found:
            near = {name for names in lines.values() for name in names if name}
            order += self.order(near - found)
        if "" in found or (isThorough and found):
            order += self.order(set(self.seconds) - set(order))
        return order


class _Plugin:
    """
    Chooses and orders the tests, and limits how long each may take.
    """

    def __init__(self, suite: Suite, wanted: Sequence[str]) -> None:
        self.failed: list[str] = []
        self._suite = suite
        self._order = {name: position for position, name in enumerate(wanted)}
        self._end = (
            time.monotonic() + STARTING + 5 * sum(suite.seconds.get(name, 0) for name in wanted)
        )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        # A mutation may change the names of tests, so tests with unknown names run, too.
        known = self._suite.seconds
        chosen = [item for item in items if item.nodeid in self._order or item.nodeid not in known]
        chosen.sort(key=lambda item: self._order.get(item.nodeid, len(self._order)))
        items[:] = chosen

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        spare = _SPARE + 10 * self._suite.seconds.get(nodeid, 0)
        limit(max(0.01, min(spare, self._end - time.monotonic())))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"collecting {report.nodeid}")

    def pytest_sessionfinish(self) -> None:
        limit(STARTING)


class _Watching(_Plugin):
    """
    Finds out which test executes which lines, and how long it takes.
    """

    def __init__(self, watched: coverage.Coverage) -> None:
        super().__init__(Suite(), ())
        self.seconds: dict[str, float] = {}
        self._watched = watched
        self._test = ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        limit(STARTING)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._test = item.nodeid
        self._watched.switch_context(self._test)
        start = time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - start
            self._watched.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        if fixturedef.scope == "function":
            return (yield)
        self._watched.switch_context("")
        try:
            return (yield)
        finally:
            self._watched.switch_context(self._test)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(mutant.path))
        self._source = mutant.source()

    def get_code(self, fullname: str) -> Any:
        # Never from a cache, never into one.
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """
    Finds a mutant instead of its module.
    """

    def __init__(self, mutant: Mutant) -> None:
        parts = mutant.path.relative_to(PROJECT).with_suffix("").parts
        self._name = ".".join(parts).removesuffix(".__init__")
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader = _Loader(fullname, self._mutant)
        return spec


def limit(seconds: float) -> None:
    """
    End the process by a signal if it does not set another limit in time.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _pytest(plugin: _Plugin, arguments: Iterable[str]) -> int:
    options = ["-q", "--tb=short", "-p", "no:cacheprovider"]
    profile = hypothesis.settings(
        database=None,
        deadline=None,
        derandomize=True,
        max_examples=30,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.register_profile("mutation", profile)
    hypothesis.settings.load_profile("mutation")
    return int(pytest.main([*options, *arguments], plugins=[plugin]))


def measure(withSockets: bool) -> Any:
    """
    Run all fast tests.

    @param withSockets: whether those with real sockets run, too.
    @return: what L{Suite} has, and the tests that failed.
    """
    os.environ["COVERAGE_CORE"] = "ctrace"
    watched = coverage.Coverage(data_file=None, config_file=False, source=[str(PACKAGE)])
    plugin = _Watching(watched)
    watched.start()
    left = SLOW if withSockets else (*SLOW, SOCKETS)
    _pytest(plugin, ["tests", *(f"--ignore={path}" for path in left)])
    watched.stop()
    data = watched.get_data()
    lines = {path: data.contexts_by_lineno(path) for path in data.measured_files()}
    return {
        "seconds": plugin.seconds,
        "lines": lines,
        "modules": list(sys.modules),
        "failed": plugin.failed,
    }


def attempt(mutant: Mutant | None, suite: Suite, wanted: Sequence[str]) -> Any:
    """
    Run tests until one fails.

    @param mutant: what to import instead of its module, if anything.
    @param wanted: the tests, in their order.
    @return: pytest's exit status, and the tests that failed.
    """
    sys.dont_write_bytecode = True
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    plugin = _Plugin(suite, wanted)
    status = _pytest(plugin, ["-x", *sorted({name.partition("::")[0] for name in wanted})])
    return {"status": status, "failed": plugin.failed}
