"""
The service of the supervisor: it listens, and lets workers accept and serve.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorCore,
    IReactorProcess,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from txhixie.server.adopting import keepOpen
from txhixie.server.listening import EveryAddressEndpoint
from txhixie.server.signals import HangUp, atNextSignal
from txhixie.server.starting import startOrExit
from txhixie.workers.channel import ANSWERS, LOG, ORDERS, SOCKETS, Message
from txhixie.workers.slot import Slot
from txhixie.workers.worker import NoAnswer, Worker

# Seconds that a worker may take longer to end than its clients have, and seconds that it may take
# to reload.
_GRACE, _RELOADING = 5.0, 30.0


class _Listening(ServerFactory):
    """
    The factory of ports that the supervisor only holds.
    """

    noisy = False

    def logPrefix(self) -> str:
        return "Workers"


class WorkersService(Service):
    """
    Listens while it runs, and lets a number of processes accept from the same sockets. A process
    that ends is replaced.

    The sockets are passed to the workers, instead of being made by each worker with
    C{SO_REUSEPORT}. So if a worker ends, another one accepts the clients that were waiting for it;
    ports below 1024 and Unix sockets need no special treatment; and no process of another user can
    take some of the clients.

    @ivar slots: the places of workers. Each has one, or waits for one.
    """

    _log = Logger()

    def __init__(
        self,
        endpoints: Sequence[int | str],
        count: int,
        task: Message,
        lameDuck: float,
        drain: float,
        reactor: Any = None,
    ) -> None:
        """
        @param endpoints: where to listen: numbers of TCP ports on all addresses, or descriptions.
        @param count: how many workers there are.
        @param task: their first message, see L{txhixie.workers.child}.
        @param lameDuck: seconds for which they go on to accept when they stop.
        @param drain: seconds that their clients have then.
        @param reactor: by default the one that is installed.
        """
        if reactor is None:
            from twisted.internet import reactor

        self._reactor: Any = reactor
        self._clock = IReactorTime(reactor)
        self._endpoints = endpoints
        self._task = {**task, "path": sys.path, "reactor": type(reactor).__module__}
        self._lameDuck = lameDuck
        self._drain = drain
        self._ports: list[Any] = []
        self._gone: Deferred[None] | None = None
        self._timers: list[IDelayedCall] = []
        self._hangUp = HangUp(self.reload)
        self._isReloading = False
        self._reported: list[Callable[[Worker, Message], object]] = []
        self._ended: list[Callable[[Worker], object]] = []
        self.slots = [Slot(str(number), self, self._clock) for number in range(1, count + 1)]

    def notify(
        self,
        reported: Callable[[Worker, Message], object],
        ended: Callable[[Worker], object],
    ) -> None:
        """
        Call C{reported} with the last report of a worker that was stopped, and C{ended} when one is
        gone.
        """
        self._reported.append(reported)
        self._ended.append(ended)

    # Starting

    def privilegedStartService(self) -> None:
        """
        Start listening.

        @raise SystemExit: if that is not possible; the reason is logged in one line.
        """
        super().privilegedStartService()
        startOrExit(self._listen, self._log)

    def _listen(self) -> None:
        for where in self._endpoints:
            if isinstance(where, int):
                endpoint: Any = EveryAddressEndpoint(self._reactor, where)
            else:
                endpoint = serverFromString(self._reactor, where)
            failures: list[Any] = []
            endpoint.listen(_Listening()).addCallbacks(self._listens, failures.append)
            for failure in failures:
                failure.raiseException()

    def _listens(self, port: Any) -> None:
        # The workers accept.
        port.stopReading()
        keepOpen(port)
        self._ports.append(port)

    def startService(self) -> None:
        """
        Start listening, unless L{privilegedStartService} has done so, and start the workers.

        @raise SystemExit: as L{privilegedStartService}.
        """
        if not self._ports:
            self.privilegedStartService()
        super().startService()
        self._hangUp.start()
        IReactorCore(self._reactor).addSystemEventTrigger(
            "before", "shutdown", atNextSignal, self.abort
        )
        startOrExit(self._startWorkers, self._log)

    def _startWorkers(self) -> None:
        for slot in self.slots:
            slot.start()

    def spawn(self, slot: Slot) -> Worker:
        """
        Start a process for a slot.
        """
        task = {**self._task, "worker": slot.name, "sockets": len(self._ports)}
        worker = Worker(slot.name, task, slot, self._clock)
        descriptors: dict[int, Any] = {1: "r", 2: "r", LOG: "r", ORDERS: "w", ANSWERS: "r"}
        for number, port in enumerate(self._ports, SOCKETS):
            descriptors[number] = port.fileno()
        path = os.pathsep.join(filter(None, sys.path))
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            IReactorProcess(self._reactor).spawnProcess(
                worker,
                sys.executable,
                [sys.executable, "-m", "txhixie.workers.child", slot.name],
                env={**os.environ, "PYTHONPATH": path, "TXHIXIE_WORKER": slot.name},
                childFDs={0: null, **descriptors},
            )
        finally:
            os.close(null)
        return worker

    # Called by the slots

    def ready(self, slot: Slot) -> None:
        """
        A worker serves clients.
        """
        self._log.info("worker {worker} serves, as process {pid}", worker=slot.name, pid=slot.pid)

    def cannotStart(self) -> None:
        """
        End everything: a worker could not start at all.
        """
        if self.running:
            atexit.register(_exit, 1)
            self._reactor.stop()

    def reported(self, worker: Worker, report: Message) -> None:
        """
        A worker that stops has made its last report.
        """
        for call in self._reported:
            call(worker, report)

    def ended(self, worker: Worker) -> None:
        """
        A worker is gone.
        """
        for call in self._ended:
            call(worker)
        if self._gone is not None and not self.workers:
            gone, self._gone = self._gone, None
            gone.callback(None)

    @property
    def workers(self) -> list[Worker]:
        """
        The workers that run, ready or not.
        """
        return [slot.worker for slot in self.slots if slot.worker is not None]

    # Reloading

    def reload(self) -> Deferred[None]:
        """
        Let the workers reload, one after the other. Slots that were given up get another worker.

        @return: fires when all have done so.
        """
        if self._isReloading or not self.running:
            return maybeDeferred(lambda: None)
        self._log.info("SIGHUP: the workers reload one after the other")
        self._isReloading = True
        return self._reloadEach().addBoth(self._reloaded)

    @inlineCallbacks
    def _reloadEach(self) -> Any:
        for slot in self.slots:
            slot.retry()
            worker = slot.worker
            if worker is None or not worker.isReady:
                # A new worker reads the current files.
                continue
            try:
                yield worker.ask("reload", _RELOADING)
            except NoAnswer:
                self._log.warn("worker {worker} did not reload", worker=worker.name)

    def _reloaded(self, result: Any) -> Any:
        self._isReloading = False
        return result

    # Stopping

    def abort(self) -> None:
        """
        Let the workers end all connections now.
        """
        for worker in self.workers:
            worker.order({"abort": True})

    def stopService(self) -> Deferred[Any]:
        """
        Stop listening, and let all workers close their clients' connections.

        @return: fires when all are gone.
        """
        # The process is about to end, and should not die from SIGHUP: that is still handled.
        Service.stopService(self)
        for slot in self.slots:
            slot.stop()
        if not self.workers:
            return self._stopListening()
        self._gone = Deferred()
        later = self._clock.callLater
        # Clients should not wait in the queue when no worker accepts any longer.
        self._timers = [
            later(self._lameDuck, self._stopListening),
            later(self._lameDuck + self._drain + _GRACE, self._kill),
        ]
        return self._gone.addCallback(self._stopped)

    def _stopListening(self) -> Deferred[Any]:
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _kill(self) -> None:
        for worker in self.workers:
            self._log.warn("worker {worker} does not end, and is killed", worker=worker.name)
            worker.kill()

    def _stopped(self, result: None) -> Deferred[Any]:
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        return self._stopListening()


def _exit(status: int) -> None:
    """
    End with a status that C{twistd} itself would not use after its reactor has run.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
