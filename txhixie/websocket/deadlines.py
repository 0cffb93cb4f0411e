"""
Equal waits for any number of connections on one reactor timer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_T = TypeVar("_T")

# Seconds that those whose time is up may take in a turn of the reactor.
_TURN = 0.005


class Deadlines(Generic[_T]):
    """
    A set of things that each have the same time to get done.

    As all wait equally long, they run out in the order they were started, so that starting and
    cancelling one costs the same for ten connections and for ten thousand. When the time of
    thousands is up at once, they are dealt with in several turns of the reactor.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, seconds: float, expired: Callable[[_T], object]
    ) -> None:
        """
        @param seconds: how long each has.
        @param expired: called once with each that is not cancelled in time.
        """
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._due: dict[_T, float] = {}
        self._timer: IDelayedCall | None = None
        self._isChecking = False

    def start(self, item: _T) -> None:
        """
        Give C{item} the full time from now on, whether or not it was waiting already.
        """
        self._due.pop(item, None)
        self._due[item] = self._clock.seconds() + self._seconds
        if self._timer is None and not self._isChecking:
            self._timer = self._clock.callLater(self._seconds, self._check)

    def cancel(self, item: _T) -> None:
        """
        Stop waiting for C{item}, if it is waited for.
        """
        self._due.pop(item, None)

    def rest(self) -> None:
        """
        Let go of the timer, if nothing is waited for. To do so with each L{cancel} would cost a
        timer for every single wait, where there are few at a time.
        """
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """
        Deal with those whose time is up, and come back for the others.
        """
        self._timer = None
        now = self._clock.seconds()
        self._isChecking = True
        try:
            while self._due:
                item, due = next(iter(self._due.items()))
                wait = max(0.0, due - now)
                if wait or self._clock.seconds() - now > _TURN:
                    self._timer = self._clock.callLater(wait, self._check)
                    break
                del self._due[item]
                self._expire(item)
        finally:
            self._isChecking = False

    def _expire(self, item: _T) -> None:
        try:
            self._expired(item)
        except Exception:
            self._log.failure("when the time of {item} was up", item=item)
