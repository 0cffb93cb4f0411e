"""
The producer that an application attaches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from txhixie.application import PushProducer

_METHODS = ("pauseProducing", "resumeProducing", "stopProducing")


class Owner(Protocol):
    """
    The connection that a producer is attached to.
    """

    def applicationFailed(self, failure: Failure) -> None:
        """
        Handle an error of the producer.
        """


class Attachment:
    """
    Holds at most one producer. Its errors are reported to the owner, and go no further.
    """

    __slots__ = ("_isPaused", "_owner", "_producer")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._producer: IPushProducer | PushProducer | None = None
        self._isPaused = False

    def attach(self, producer: IPushProducer | PushProducer) -> None:
        """
        Attach a producer.

        @raise TypeError: if it is not a push producer.
        @raise RuntimeError: if there is one already.
        """
        checkProducer(producer)
        if self._producer is not None:
            raise RuntimeError("a producer is attached already")
        self._producer = producer
        self._isPaused = False

    def detach(self) -> None:
        """
        Forget the producer.
        """
        self._producer = None

    def pause(self) -> None:
        """
        Pause the producer, if there is one that is not paused.
        """
        if self._producer is not None and not self._isPaused:
            self._isPaused = True
            self._call(self._producer.pauseProducing)

    def resume(self) -> None:
        """
        Resume the producer, if there is one that is paused.
        """
        if self._producer is not None and self._isPaused:
            self._isPaused = False
            self._call(self._producer.resumeProducing)

    def stop(self) -> None:
        """
        Stop and forget the producer, if there is one.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            self._call(producer.stopProducing)

    def _call(self, method: Callable[[], object]) -> None:
        try:
            method()
        except BaseException:
            self._owner.applicationFailed(Failure())


def checkProducer(producer: object) -> None:
    """
    @raise TypeError: if C{producer} is not a push producer.
    """
    for method in _METHODS:
        if not callable(getattr(producer, method, None)):
            raise TypeError(f"{producer!r} is not a push producer: it has no {method}")
