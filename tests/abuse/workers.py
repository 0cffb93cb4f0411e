"""
Processes next to the server, on the other core: attackers, and well-behaved clients.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from benchmarks.process import LOAD_CORE, raiseFileLimit
from tests.abuse.subject import AbuseError

# A process that forks the others: faster than new processes, and without threads, unlike this one.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.abuse.attacks"])

Task = Callable[..., Any]


def _work(pipe: Connection, niceness: int, task: Task, *args: object) -> None:
    os.sched_setaffinity(0, {LOAD_CORE})
    os.nice(niceness)
    raiseFileLimit()
    try:
        answer = (True, task(pipe, *args))
    except AssertionError as error:
        answer = (False, str(error) or traceback.format_exc())
    except Exception:
        answer = (False, traceback.format_exc())
    pipe.send(answer)


class Worker:
    """
    A task in a separate process. As a context manager it never outlives its block.
    """

    def __init__(self, task: Task, *args: object, niceness: int = 0) -> None:
        """
        @param task: a function of a module, called with its end of a pipe and with C{args}.
        @param niceness: how far it yields the core to others.
        """
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(
            target=_work, args=(theirs, niceness, task, *args), daemon=True
        )
        self._process.start()
        theirs.close()

    def ask(self, question: object, timeout: float) -> Any:
        """
        @return: the task's next answer.
        @raise AbuseError: if it fails.
        """
        self._pipe.send(question)
        return self.answer(timeout)

    def answer(self, timeout: float) -> Any:
        """
        @return: what the task sends next, or returns.
        @raise AbuseError: if it fails.
        """
        if not self._pipe.poll(timeout):
            raise AbuseError(f"no answer within {timeout:g} s")
        try:
            isWell, answer = self._pipe.recv()
        except EOFError:
            raise AbuseError("the process ended") from None
        if not isWell:
            raise AbuseError(answer)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()
