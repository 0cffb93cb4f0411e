"""
Equal waits for any number of connections on one reactor timer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_T = TypeVar("_T")

# The longest time in seconds that expired items may take in one turn of the reactor.
_TURN = 0.005


class Deadlines(Generic[_T]):
    """
    A set of items that all have the same time limit.

    All items wait equally long, so they expire in the order in which they were started. Starting
    and cancelling therefore cost the same for ten connections and for ten thousand. If thousands
    expire at once, they are handled in several turns of the reactor.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, seconds: float, expired: Callable[[_T], object]
    ) -> None:
        """
        @param seconds: the time limit of each item.
        @param expired: called once with each item that is not cancelled in time.
        """
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._due: dict[_T, float] = {}
        self._timer: IDelayedCall | None = None
        self._isChecking = False

    def start(self, item: _T) -> None:
        """
        Give C{item} the full time from now on, whether or not it was waiting before.
        """
        self._due.pop(item, None)
        self._due[item] = self._clock.seconds() + self._seconds
        if self._timer is None and not self._isChecking:
            self._timer = self._clock.callLater(self._seconds, self._check)

    def cancel(self, item: _T) -> None:
        """
        Stop waiting for C{item}, if it was waiting.
        """
        self._due.pop(item, None)

    def rest(self) -> None:
        """
        Cancel the timer if nothing is waiting. If each L{cancel} did this, every single wait would
        cost a timer when there are only a few at a time.
        """
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """
        Handle the expired items, and schedule the next call for the others.
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
