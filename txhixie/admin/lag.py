"""
How far the reactor is behind: how late its timers are.
"""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txhixie.metrics import Histogram, Metric

# Seconds from one measurement to the next.
_INTERVAL = 0.25


class ReactorLag(Service):
    """
    Measures while it runs how late a timer is, four times a second.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._histogram = Histogram(
            "txhixie_reactor_lag_seconds",
            "How late timers are, because the reactor was busy. Measured four times a second.",
        )
        self._timer: IDelayedCall | None = None
        self._due = 0.0

    def startService(self) -> None:
        """
        Start to measure.
        """
        super().startService()
        self._wait()

    def stopService(self) -> None:
        """
        Stop to measure.
        """
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def metrics(self) -> list[Metric]:
        """
        Return what was measured.
        """
        return [self._histogram.metric()]

    def _wait(self) -> None:
        self._due = self._clock.seconds() + _INTERVAL
        self._timer = self._clock.callLater(_INTERVAL, self._measure)

    def _measure(self) -> None:
        # Clocks are set back at times.
        self._histogram.observe(max(0.0, self._clock.seconds() - self._due))
        self._wait()
