"""
Turns for connections that have much to do, so that no other connection waits for long.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds in each turn of the reactor for connections that waited, and the same for new ones.
_TURN = 0.005


class Busy(Protocol):
    """
    A connection that has more to do.
    """

    def goOn(self) -> None:
        """
        Do a part of it.
        """


class Pace:
    """
    Limits the time that its connections together take in a turn of the reactor. When the time is
    used up, connections wait for the next turn, including those that have already begun.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._left = _TURN
        self._began = self._end = 0.0
        self._depth = 0
        self._waiting: dict[Busy, None] = {}
        self._timer: IDelayedCall | None = None

    def begin(self) -> bool:
        """
        Let a connection begin, or continue.

        @return: whether it may. If not, it has to L{wait}; otherwise L{end} follows.
        """
        if self._depth:
            self._depth += 1
            return True
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._nextTurn)
        self._began = self._clock.seconds()
        self._end = self._began + self._left
        self._depth = int(self._left > 0)
        return self._left > 0

    @property
    def isOver(self) -> bool:
        """
        Whether the connection that began should stop.
        """
        return self._clock.seconds() >= self._end

    def end(self) -> None:
        """
        Note that the connection that began has stopped.
        """
        self._depth -= 1
        if self._depth:
            return
        # Clocks are set back at times.
        self._left -= max(0.0, self._clock.seconds() - self._began)

    def wait(self, busy: Busy) -> None:
        """
        Let a connection continue in a later turn.
        """
        self._waiting[busy] = None

    def forget(self, busy: Busy) -> None:
        """
        Stop a connection from waiting.
        """
        self._waiting.pop(busy, None)

    def rest(self) -> None:
        """
        Cancel the timer, if nothing waits.
        """
        if self._timer is not None and not self._waiting:
            self._timer.cancel()
            self._timer = None
            self._left = _TURN

    def _nextTurn(self) -> None:
        self._timer = None
        self._left = _TURN
        for busy in list(self._waiting):
            # Each may end the other connections.
            if busy in self._waiting:
                del self._waiting[busy]
                busy.goOn()
            if self._left <= 0:
                break
        self._left = _TURN
        if self._waiting and self._timer is None:
            self._timer = self._clock.callLater(0, self._nextTurn)
