"""
The service that listens, and its end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.application.strports import service as listeningService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.reflect import safe_str

from txhixie.server.accepting import ControlledEndpoint
from txhixie.server.factory import HixieFactory


class _CannotStart(SystemExit, Exception):
    """
    Ends the process, all has been said. It is an C{Exception}, too, so that C{twistd} removes its
    pidfile and a daemon's parent is told.
    """


class HixieService(MultiService):
    """
    Listens on some endpoints while it runs; its connections are closed in good order when it
    stops.
    """

    _log = Logger()

    def __init__(self, factory: HixieFactory, descriptions: list[str]) -> None:
        """
        @param descriptions: endpoint descriptions to listen on.
        """
        super().__init__()
        self.factory = factory
        for description in descriptions:
            listening = listeningService(description, factory)
            listening.endpoint = ControlledEndpoint(listening.endpoint, factory.accepting)
            listening.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """
        Start to listen.

        @raise SystemExit: if that cannot be; the reason is logged in one line.
        """
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """
        Start to listen, where nobody did it before with more privileges.

        @raise SystemExit: as L{privilegedStartService}.
        """
        from twisted.internet import reactor

        self._start(super().startService)
        # The reactor ends by itself after the first signal, and only then.
        IReactorCore(reactor).addSystemEventTrigger("before", "shutdown", self._endAtNextSignal)

    def _endAtNextSignal(self) -> None:
        """
        Wait for nobody any more when a second signal comes: it means now.
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if callable(signal.getsignal(number)):
                    signal.signal(number, self._endNow)

    def _endNow(self, number: int, frame: object) -> None:
        from twisted.internet import reactor

        IReactorFromThreads(reactor).callFromThread(self.factory.abortConnections)

    def _start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except (CannotListenError, OSError, OverflowError) as error:
            self._log.critical("{error}", error=oneLine(error))
            raise _CannotStart(1) from error

    def stopService(self) -> Deferred[Any]:
        """
        Stop to listen, and say good-bye to all clients.

        @return: fires when the last one is gone.
        """
        self.factory.accepting.clear()
        stopped = maybeDeferred(super().stopService)
        return DeferredList([stopped, self.factory.closeConnections()])


def oneLine(error: Exception) -> str:
    """
    @return: what went wrong, for a line of its own.
    """
    return " ".join(f"{type(error).__name__}: {safe_str(error)}".split())
