"""
What is read anew on SIGHUP.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.reflect import safe_str


def oneLine(error: Exception) -> str:
    """
    Return an error as one line.
    """
    return " ".join(f"{type(error).__name__}: {safe_str(error)}".split())


class Reloading:
    """
    Reads things anew on SIGHUP, which ends the process otherwise. Who waited for the signal before
    is still called.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._parts: list[tuple[str, Callable[[], object]]] = []
        self._isActive = False
        # What was there before us.
        self._previous: Any = None

    def add(self, what: str, reload: Callable[[], object]) -> None:
        """
        Have something read anew from now on.

        @param what: names it in the log.
        @param reload: reads it; if it raises, everything is to stay as it was.
        """
        self._parts.append((what, reload))

    def reload(self) -> None:
        """
        Read everything anew, and log one line that says what.
        """
        done: list[str] = []
        kept: list[str] = []
        for what, reload in self._parts:
            try:
                reload()
            except Exception as error:
                kept.append(f"{what} ({oneLine(error)})")
            else:
                done.append(what)
        words = []
        if done:
            words.append(f"reloaded {', '.join(done)}")
        if kept:
            words.append(f"kept what it had of {', '.join(kept)}")
        log = self._log.warn if kept else self._log.info
        log("SIGHUP: {what}", what="; ".join(words) or "there is nothing to reload")

    def start(self) -> None:
        """
        Wait for the signal, where there is such a signal.
        """
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            self._isActive = True
            if signal.getsignal(signal.SIGHUP) != self._hungUp:
                self._previous = signal.signal(signal.SIGHUP, self._hungUp)

    def stop(self) -> None:
        """
        Leave the signal to others again.
        """
        if self._isActive:
            self._isActive = False
            if signal.getsignal(signal.SIGHUP) == self._hungUp and self._previous is not None:
                signal.signal(signal.SIGHUP, self._previous)

    def _hungUp(self, number: int, frame: Any) -> None:
        from twisted.internet import reactor

        if self._isActive:
            IReactorFromThreads(reactor).callFromThread(self.reload)
        if callable(self._previous):
            self._previous(number, frame)
