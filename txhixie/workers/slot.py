"""
The place of a worker: when one ends, another follows.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txhixie.server.reloading import oneLine
from txhixie.workers.channel import Message
from txhixie.workers.worker import Worker

# Seconds that a worker may take to be ready, and how often in a row it may fail.
_START, _ATTEMPTS = 60.0, 5
# A worker that served for this many seconds is replaced at once. Of others that end in a row the
# first is, too; then the pauses double, in seconds from the first to the longest.
_STEADY, _SHORTEST, _LONGEST = 10.0, 0.5, 30.0


class Owner(Protocol):
    """
    The owner of slots.
    """

    def spawn(self, slot: Slot) -> Worker:
        """
        Start a process for a slot.
        """

    def ready(self, slot: Slot) -> None:
        """
        The worker of a slot serves clients.
        """

    def cannotStart(self) -> None:
        """
        The first worker of a slot could not start.
        """

    def reported(self, worker: Worker, report: Message) -> None:
        """
        A worker that stops has made its last report.
        """

    def ended(self, worker: Worker) -> None:
        """
        A worker is gone.
        """


class Slot:
    """
    The place of a worker.

    @ivar name: its number, which all its workers have.
    @ivar worker: the process in it, ready or not.
    @ivar restarts: how many workers followed the first one.
    """

    _log = Logger()

    def __init__(self, name: str, owner: Owner, clock: IReactorTime) -> None:
        self.name = name
        self.worker: Worker | None = None
        self.restarts = -1
        self._owner = owner
        self._clock = clock
        self._isStopped = False
        self._wasReady = False
        # Workers that ended too soon, one after the other.
        self._failures = 0
        self._timer: IDelayedCall | None = None

    @property
    def isServing(self) -> bool:
        """
        Whether it has a worker that serves.
        """
        return self.worker is not None and self.worker.isReady

    @property
    def pid(self) -> int | None:
        """
        The id of its process.
        """
        return None if self.worker is None else self.worker.pid

    def start(self) -> None:
        """
        Start a worker.

        @raise OSError: if there can be no process.
        """
        self._isStopped = False
        self.worker = self._owner.spawn(self)
        self.restarts += 1
        self._timer = self._clock.callLater(_START, self._startTimedOut)

    def stop(self) -> None:
        """
        Let the worker close its connections and end, and start no other.
        """
        self._isStopped = True
        self._cancel()
        if self.worker is not None:
            self.worker.order({"stop": True})

    def retry(self) -> None:
        """
        Start a worker now, if there is none.
        """
        if self.worker is None and not self._isStopped:
            self._cancel()
            self._failures = 0
            self._startNow()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _startTimedOut(self) -> None:
        self._timer = None
        if self.worker is not None:
            self.worker.ending = f"it was not ready after {_START:g} s"
            self.worker.kill()

    # Called by the worker

    def workerReady(self, worker: Worker) -> None:
        """
        A worker serves clients from now on.
        """
        self._cancel()
        self._wasReady = True
        self._owner.ready(self)

    def workerReported(self, worker: Worker, report: Message) -> None:
        """
        A worker that stops has made its last report.
        """
        self._owner.reported(worker, report)

    def workerEnded(self, worker: Worker) -> None:
        """
        The process of a worker is gone.
        """
        self._cancel()
        self.worker = None
        self._owner.ended(worker)
        if self._isStopped:
            return
        if worker.isReady:
            self._follow(worker)
        elif self._wasReady:
            self._tryAgain(worker.ending or "the log says why")
        else:
            self._isStopped = True
            if worker.ending:
                self._log.critical(
                    "worker {worker} cannot start: {reason}",
                    worker=self.name,
                    reason=worker.ending,
                )
            self._owner.cannotStart()

    def _follow(self, worker: Worker) -> None:
        """
        Replace a worker that has served.
        """
        if self._clock.seconds() - worker.readySince >= _STEADY:
            self._failures = 0
        pause = self._pause()
        self._log.warn(
            "worker {worker} is gone: {reason}; another starts {when}",
            worker=self.name,
            reason=worker.ending,
            when=_when(pause),
        )
        self._startIn(pause)

    def _tryAgain(self, reason: str) -> None:
        """
        Replace a worker that could not start, unless that happened too often.
        """
        pause = self._pause()
        isGivenUp = self._failures > _ATTEMPTS
        self._log.critical(
            "worker {worker} cannot start: {reason}; {next}",
            worker=self.name,
            reason=reason,
            next="SIGHUP tries again" if isGivenUp else f"the next attempt is {_when(pause)}",
        )
        if not isGivenUp:
            self._startIn(pause)

    def _pause(self) -> float:
        self._failures += 1
        if self._failures == 1:
            return 0.0
        return float(min(_LONGEST, _SHORTEST * 2 ** (self._failures - 2)))

    def _startIn(self, pause: float) -> None:
        self._timer = self._clock.callLater(pause, self._startNow)

    def _startNow(self) -> None:
        self._timer = None
        try:
            self.start()
        except OSError as error:
            self._tryAgain(oneLine(error))


def _when(pause: float) -> str:
    return f"in {pause:g} s" if pause else "now"
