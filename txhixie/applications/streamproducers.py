"""
Push producers that a stream uses internally.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IPullProducer


@implementer(IPushProducer)
class Pulling:
    """
    Makes a push producer of a pull producer: it asks for data again and again, except while it is
    paused.
    """

    _log = Logger()

    def __init__(
        self,
        producer: IPullProducer,
        later: Callable[[Callable[[], object]], object],
        failed: Callable[[], object],
    ) -> None:
        """
        @param later: calls something in a later turn of the reactor.
        @param failed: called if the producer raises.
        """
        self._producer = producer
        self._later = later
        self._failed = failed
        self._isPaused = False
        self._isOver = False
        # Whether the next call is scheduled.
        self._isDue = False

    def start(self) -> None:
        """
        Ask for the first piece now, as TCP does.
        """
        self._pull()

    def cancel(self) -> None:
        """
        Stop asking.
        """
        self._isOver = True

    def pauseProducing(self) -> None:
        self._isPaused = True

    def resumeProducing(self) -> None:
        self._isPaused = False
        self._pullLater()

    def stopProducing(self) -> None:
        self._isOver = True
        self._producer.stopProducing()

    def _pullLater(self) -> None:
        if not self._isDue and not self._isPaused and not self._isOver:
            self._isDue = True
            self._later(self._isDueNow)

    def _isDueNow(self) -> None:
        self._isDue = False
        self._pull()

    def _pull(self) -> None:
        if self._isPaused or self._isOver:
            return
        try:
            self._producer.resumeProducing()
        except Exception:
            self._isOver = True
            self._log.failure("in the pull producer {producer!r}", producer=self._producer)
            self._failed()
        else:
            self._pullLater()


@implementer(IPushProducer)
class Waiting:
    """
    Produces nothing, but reports when the peer has read what was written.
    """

    def __init__(self, written: Callable[[], object]) -> None:
        """
        @param written: called when the peer has read everything.
        """
        self._written = written
        self._isPaused = False
        self._isOver = False

    def check(self) -> None:
        """
        Call it if there is nothing to wait for.
        """
        if not self._isPaused and not self._isOver:
            self._isOver = True
            self._written()

    def pauseProducing(self) -> None:
        self._isPaused = True

    def resumeProducing(self) -> None:
        self._isPaused = False
        self.check()

    def stopProducing(self) -> None:
        self._isOver = True
