"""
Delays writes until the current read has been handled, so that each connection writes once. Also
delays other calls until everything that arrived together has been handled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ParamSpec, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_P = ParamSpec("_P")


class Writer(Protocol):
    """
    Something that has data to write at the end of a turn.
    """

    def flush(self) -> None:
        """
        Write the data.
        """


class Turn:
    """
    The handling of one read. All connections of a factory share one turn, because they may send to
    each other.

    @ivar isEntered: whether a read is being handled.
    """

    __slots__ = ("_calls", "_clock", "_later", "_timer", "_unsent", "isEntered")

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.isEntered = False
        self._clock = clock
        self._later: list[Callable[[], object]] = []
        self._timer: IDelayedCall | None = None
        self._unsent: list[Writer] = []
        self._calls: deque[Callable[[], object]] = deque()

    def run(self, handle: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """
        Call C{handle} within the current turn, or within a new one.
        """
        if self.isEntered:
            handle(*args, **kwargs)
            return
        self.isEntered = True
        try:
            handle(*args, **kwargs)
        finally:
            self.leave()

    def leave(self) -> None:
        """
        End the turn that began when L{isEntered} was set: write what was sent meanwhile.
        """
        if self._calls:
            self.catchUp()
        self.isEntered = False
        unsent, self._unsent = self._unsent, []
        for writer in unsent:
            try:
                writer.flush()
            except BaseException:
                # An error must not keep the other connections from writing.
                self._log.failure("writing to a connection")

    def flushSoon(self, writer: Writer) -> None:
        """
        Flush a writer now, or at the end of the current turn.
        """
        if self.isEntered:
            self._unsent.append(writer)
        else:
            writer.flush()

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} at the end of the current turn, before anything is written. If there is no
        current turn, call it at once.
        """
        self._calls.append(call)
        if not self.isEntered:
            self.run(self.catchUp)

    def catchUp(self) -> None:
        """
        Make the calls that wait for the end of the turn now.
        """
        while self._calls:
            call = self._calls.popleft()
            try:
                call()
            except BaseException:
                # An application may raise CancelledError or SystemExit. The other calls are still
                # made.
                self._log.failure("in a call after receiving")

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once the reactor has delivered everything that came together with what is being
        handled. Many connections may have been opened or lost at the same time.
        """
        self._later.append(call)
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._settled)

    def _settled(self) -> None:
        self._timer = None
        calls, self._later = self._later, []
        self._calls.extend(calls)
        self.run(self.catchUp)

    def rest(self) -> None:
        """
        Make the calls that wait for the reactor now, and cancel the timer: no connection is left.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._settled()
