"""
What all connections of a factory share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txhixie.settings import Settings
from txhixie.websocket.budget import Budget
from txhixie.websocket.counters import Counters
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.memory import usableMemory
from txhixie.websocket.ratelimit import LimitedLogger
from txhixie.websocket.turn import Turn


class _Closing(Protocol):
    def closeTimedOut(self) -> None: ...


class _Lingering(Protocol):
    def lingerTimedOut(self) -> None: ...


class _Unfinished(Protocol):
    def messageTimedOut(self) -> None: ...


class Shared:
    """
    The settings, clock, log, counters, turn, budget and timers of all connections of a factory.

    @ivar clock: the reactor's clock.
    @ivar log: for events that peers can cause as often as they like.
    @ivar budget: limits the memory that all connections hold.
    @ivar unfinished: connections whose peer has L{Settings.messageTimeout} to complete a message.
    @ivar closing: connections whose peer has L{Settings.closeTimeout} to do its part.
    @ivar lingering: connections whose peer has L{Settings.lingerTimeout} to read the rest.
    @ivar isStopping: whether each answer of plain HTTP ends its connection.
    @ivar isDraining: whether all clients have to go now.
    """

    _log = Logger()

    def __init__(self, settings: Settings, clock: IReactorTime) -> None:
        self.settings = settings
        self.clock = clock
        self.seconds = clock.seconds
        self.counters = Counters()
        self.count = self.counters.count
        self.log = LimitedLogger(
            self._log, clock, settings.logRate, lambda: self.count("log events suppressed")
        )
        self.turn = Turn(clock)
        self.isStopping = self.isDraining = False
        limit = settings.memoryLimit
        self.budget = Budget(usableMemory() // 4 if limit is None else limit)
        self.unfinished: Deadlines[_Unfinished] = Deadlines(
            clock, settings.messageTimeout, lambda each: each.messageTimedOut()
        )
        self.closing: Deadlines[_Closing] = Deadlines(
            clock, settings.closeTimeout, lambda each: each.closeTimedOut()
        )
        self.lingering: Deadlines[_Lingering] = Deadlines(
            clock, settings.lingerTimeout, lambda each: each.lingerTimedOut()
        )

    def countLateClose(self, name: str) -> None:
        """
        Count and log a peer that did not do its part in closing.

        @param name: the connection's.
        """
        self.count("closing timed out")
        self.log.debug("{peer} did not close in time", peer=name)

    def afterNextTurn(self, call: Callable[[], object]) -> None:
        """
        Call C{call} after the reactor has once more read and written everything it can.
        """
        self.clock.callLater(0, self.clock.callLater, 0, call)

    def rest(self) -> None:
        """
        Cancel timers that nothing waits for.
        """
        self.unfinished.rest()
        self.closing.rest()
        self.lingering.rest()
        self.turn.rest()
