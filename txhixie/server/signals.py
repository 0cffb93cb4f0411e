"""
What is done at signals of the operating system.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads


def _mayHandle() -> bool:
    return threading.current_thread() is threading.main_thread()


def atNextSignal(call: Callable[[], object]) -> None:
    """
    Call C{call} in the reactor at the next SIGINT or SIGTERM, instead of the earlier handler.
    """

    def signalled(number: int, frame: object) -> None:
        from twisted.internet import reactor

        IReactorFromThreads(reactor).callFromThread(call)

    if _mayHandle():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                signal.signal(number, signalled)


class HangUp:
    """
    Calls something at SIGHUP, which otherwise ends the process. A handler that was there before is
    still called.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        """
        @param call: called in the reactor.
        """
        self._call = call
        self._isActive = False
        # What was there before us.
        self._previous: Any = None

    def start(self) -> None:
        """
        Wait for the signal, where there is such a signal.
        """
        if hasattr(signal, "SIGHUP") and _mayHandle():
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
            IReactorFromThreads(reactor).callFromThread(self._call)
        if callable(self._previous):
            self._previous(number, frame)
