"""
Forks a child for every mutant, and reports the result.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from resource import RLIMIT_AS, RLIMIT_CORE, setrlimit
from typing import Any, NoReturn

from tests.mutation.mutants import Mutant
from tests.mutation.suite import PACKAGE, PROJECT, STARTING, Suite, attempt, limit, measure

KILLED, SURVIVED, UNCOVERED, TIMED_OUT = "killed", "survived", "not covered", "timed out"

# Bytes of address space that a child may use.
_MEMORY = 2 << 30
# Modules that children import themselves: a reactor's descriptors cannot be shared, and the mutated
# modules must not be imported yet.
_NOT_SHARED = ("__main__", "conftest", "tests", "twisted.internet.reactor", "twisted.plugins")


@dataclass
class Result:
    """
    The result of a mutant.

    @ivar verdict: one of L{KILLED}, L{SURVIVED}, L{UNCOVERED}, L{TIMED_OUT}.
    @ivar detail: the test that failed, or why the process ended.
    @ivar tests: how many tests could have found it.
    @ivar seconds: how long that took.
    """

    mutant: Mutant
    verdict: str
    detail: str = ""
    tests: int = 0
    seconds: float = 0.0


class Children:
    """
    Forked processes, each with its work.

    @ivar directory: where they write their output and results.
    """

    def __init__(self, directory: Path) -> None:
        self.running: dict[int, Any] = {}
        self.directory = directory

    def start(self, key: Any, work: Callable[[], Any]) -> None:
        """
        Let a child do C{work}, whose result can be written as JSON.
        """
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            self._work(work)
        self.running[pid] = key

    def _work(self, work: Callable[[], Any]) -> NoReturn:
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            limit(STARTING)
            setrlimit(RLIMIT_AS, (_MEMORY, _MEMORY))
            setrlimit(RLIMIT_CORE, (0, 0))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            log = os.open(self._file("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(PROJECT)
            result = json.dumps(work())
            limit(STARTING)
            self._file("json").write_text(result, encoding="utf-8")
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _file(self, suffix: str, pid: int | None = None) -> Path:
        return self.directory / f"{pid or os.getpid()}.{suffix}"

    def wait(self) -> tuple[Any, Any, int, str]:
        """
        Wait for a child to end.

        @return: what it was started as, its result or C{None}, the number of the signal that
            ended it or 0, and what it printed.
        """
        pid, status = os.waitpid(-1, 0)
        _killGroup(pid)
        key = self.running.pop(pid)
        file, log = self._file("json", pid), self._file("log", pid)
        result = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        printed = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        file.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        return key, result, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, printed

    def stop(self) -> None:
        """
        End those that run.
        """
        for pid in self.running:
            _killGroup(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.running.clear()


def _killGroup(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class _Refusing(MetaPathFinder):
    """
    Refuses to import modules that must not be shared.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if _isShared(fullname):
            return None
        raise ImportError(f"{fullname} must not be shared")


def _isShared(name: str) -> bool:
    return not f"{name}.".startswith(tuple(f"{no}." for no in (*_NOT_SHARED, PACKAGE.name)))


def _preload(modules: Iterable[str]) -> None:
    """
    Import what children share.
    """
    refusing = _Refusing()
    sys.meta_path.insert(0, refusing)
    for name in filter(_isShared, modules):
        # Some cannot be imported alone, or need a reactor.
        with suppress(Exception):
            importlib.import_module(name)
    sys.meta_path.remove(refusing)
    gc.freeze()


def prepare(children: Children, withSockets: bool) -> Suite:
    """
    Run all fast tests, and import what they share.

    @param withSockets: whether the tests with real sockets run, too.
    @raise RuntimeError: if tests fail without a mutation.
    """
    children.start(None, partial(measure, withSockets))
    _, result, _, printed = children.wait()
    if result is None or result.pop("failed") or not result["seconds"]:
        raise RuntimeError(f"The tests fail without a mutation.\n{printed}")
    lines = {
        path: {int(line): names for line, names in found.items()}
        for path, found in result.pop("lines").items()
    }
    suite = Suite(lines=lines, **result)
    _preload(suite.modules)
    return suite


def tryAll(
    children: Children,
    suite: Suite,
    mutants: Sequence[Mutant],
    jobs: int,
    isThorough: bool,
    done: Callable[[Result], None],
) -> None:
    """
    Try mutants.

    @param jobs: how many at a time.
    @param isThorough: whether mutants that survive the tests of their lines meet all others, too.
    @param done: called with each result.
    @raise RuntimeError: if the tests fail without a mutation, run like this.
    """
    waiting = [(mutant, suite.covering(mutant, isThorough)) for mutant in reversed(mutants)]
    _checkOrder(children, suite, suite.order({name for _, names in waiting for name in names}))
    while waiting or children.running:
        if waiting and len(children.running) < jobs:
            mutant, wanted = waiting.pop()
            if wanted:
                work = partial(attempt, mutant, suite, wanted)
                children.start((mutant, len(wanted), time.monotonic()), work)
            else:
                done(Result(mutant, UNCOVERED))
            continue
        (mutant, count, start), result, number, _printed = children.wait()
        verdict, detail = judge(result, number)
        done(Result(mutant, verdict, detail, count, time.monotonic() - start))


def _checkOrder(children: Children, suite: Suite, wanted: Sequence[str]) -> None:
    if wanted:
        children.start(None, partial(attempt, None, suite, wanted))
        _, result, _, printed = children.wait()
        if result is None or result["status"]:
            raise RuntimeError(f"The tests fail without a mutation, the fastest first.\n{printed}")


def judge(result: Any, number: int) -> tuple[str, str]:
    """
    @param result: of L{attempt}, or C{None} if it did not return.
    @param number: the signal that ended the child, or 0.
    @return: the verdict, and its reason.
    """
    if number == signal.SIGALRM:
        return TIMED_OUT, ""
    if result is None:
        return KILLED, signal.Signals(number).name if number else "the process ended"
    if result["status"] == 0:
        return SURVIVED, ""
    return KILLED, result["failed"][0] if result["failed"] else f"status {result['status']}"
