"""
The service that listens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import MultiService
from twisted.application.strports import service as endpointService
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txhixie.server.accepting import ControlledEndpoint
from txhixie.server.adopting import Adopting, adoptable
from txhixie.server.factory import HixieFactory
from txhixie.server.listening import EveryAddressEndpoint
from txhixie.server.reloading import Reloading
from txhixie.server.renewing import RenewableEndpoint, hasCertificates
from txhixie.server.signals import atNextSignal
from txhixie.server.starting import startOrExit


class Lasting(Protocol):
    """
    A service that can be started and stopped.
    """

    def startService(self) -> object:
        """
        Start.
        """

    def stopService(self) -> Any:
        """
        Stop.

        @return: a Deferred that fires when that is done, or C{None}.
        """


class HixieService(MultiService):
    """
    Listens on endpoints while it runs. When it stops, all connections are closed with their closing
    handshakes.

    @ivar reloading: what is read again on SIGHUP: the certificates of C{ssl:} and C{tls:}
        descriptions, and whatever is added to it.
    """

    _log = Logger()

    def __init__(
        self,
        factory: HixieFactory,
        *endpoints: int | str | IStreamServerEndpoint,
        descriptors: Sequence[int] = (),
    ) -> None:
        """
        @param factory: serves the connections.
        @param endpoints: where to listen: numbers of TCP ports on all addresses, descriptions such
            as C{"tcp:3400:interface=127.0.0.1"}, or endpoints.
        @param descriptors: of sockets that listen already, one for each endpoint, if this process
            is one of several that share them; by default new ones are made.
        """
        super().__init__()
        self.factory = factory
        self.reloading = Reloading()
        self._lameDuck: Deferred[Any] | None = None
        self._isEnding = False
        self._lasting: list[Lasting] = []
        # In a worker its supervisor says what a second signal means.
        self._isSupervised = bool(descriptors)
        from twisted.internet import reactor

        if descriptors:
            factory.accepting.share()
            for endpoint, descriptor in zip(endpoints, descriptors, strict=True):
                self._listenOn(endpoint, Adopting(reactor, descriptor))
        else:
            for endpoint in endpoints:
                self._listenOn(endpoint, reactor)

    def _listenOn(self, where: int | str | IStreamServerEndpoint, reactor: Any) -> None:
        if isinstance(where, str):
            description = adoptable(where) if isinstance(reactor, Adopting) else where
            listening = endpointService(description, self.factory, reactor)
            if hasCertificates(where):
                listening.endpoint = renewable = RenewableEndpoint(listening.endpoint, where)
                self.reloading.add(f"the certificates of {where}", renewable.renew)
        else:
            if isinstance(where, int):
                where = EveryAddressEndpoint(reactor, where)
            listening = StreamServerEndpointService(where, self.factory)
            listening._raiseSynchronously = True
        listening.endpoint = ControlledEndpoint(
            listening.endpoint, self.factory.accepting, self.factory.settings
        )
        listening.setServiceParent(self)

    def outlive(self, service: Lasting) -> None:
        """
        Start another service before this one, and stop it after the last connection is gone.
        """
        self._lasting.append(service)

    def privilegedStartService(self) -> None:
        """
        Start listening.

        @raise SystemExit: if that is not possible; the reason is logged in one line.
        """
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """
        Start listening, unless L{privilegedStartService} has done so.

        @raise SystemExit: as L{privilegedStartService}.
        """
        from twisted.internet import reactor

        for each in self._lasting:
            each.startService()
        self._start(super().startService)
        self.reloading.start()
        # Otherwise the reactor would handle the first signal by itself.
        IReactorCore(reactor).addSystemEventTrigger("before", "shutdown", self._endAtNextSignal)

    def _endAtNextSignal(self) -> None:
        """
        End all connections at once when a second signal comes.
        """
        self._isEnding = True
        if not self._isSupervised:
            atNextSignal(self.abort)

    def abort(self) -> None:
        """
        End all connections now.
        """
        if self._lameDuck is not None:
            self._lameDuck.cancel()
        self.factory.abortConnections()

    def _start(self, start: Callable[[], None]) -> None:
        startOrExit(start, self._log)

    def stopService(self) -> Deferred[Any]:
        """
        Stop listening, after L{Settings.lameDuck} seconds, and close all connections.

        @return: fires when the last connection is gone.
        """
        seconds = self.factory.settings.lameDuck
        if not seconds:
            return self._stop()
        self._log.info("stopping in {seconds:g} s, and accepting until then", seconds=seconds)
        self.factory.windDown()
        self._lameDuck = deferLater(self.factory.shared.clock, seconds)
        self._lameDuck.addErrback(lambda failure: failure.trap(CancelledError))
        return self._lameDuck.addCallback(lambda _: self._stop())

    def _stop(self) -> Deferred[Any]:
        self._lameDuck = None
        self.factory.accepting.clear()
        stopped = maybeDeferred(super().stopService)
        over = DeferredList([stopped, self.factory.closeConnections()])
        return over.addCallback(self._stopped)

    def _stopped(self, results: object) -> Deferred[Any]:
        # A process that is about to end does not have to die of SIGHUP.
        if not self._isEnding:
            self.reloading.stop()
        return DeferredList([maybeDeferred(each.stopService) for each in self._lasting])
