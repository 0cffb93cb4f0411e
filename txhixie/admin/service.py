"""
The service of the admin endpoint.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.application.strports import service as endpointService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txhixie.admin.pages import AdminPages, Reports
from txhixie.server.starting import startOrExit
from txhixie.web.proxies import TrustedProxies
from txhixie.web.site import makeSite

# Bytes that a request may have for a body. It needs none.
_MOST_BODY = 1024


class AdminService(MultiService):
    """
    Serves the admin pages for as long as another service runs, and until it has ended.
    """

    _log = Logger()

    def __init__(self, served: IService, reports: Reports, endpoint: str, reactor: Any) -> None:
        """
        @param served: the other service. It becomes a part of this one.
        @param reports: makes the reports that are shown.
        @param endpoint: where to listen.
        """
        super().__init__()
        site = makeSite(
            AdminPages(reports),
            _MOST_BODY,
            TrustedProxies.parse(()),
            # They are asked every few seconds.
            lambda: False,
            IReactorTime(reactor),
        )
        self._served = served
        self._listening = endpointService(endpoint, site, reactor)
        self._listening.setServiceParent(self)
        served.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """
        Start to listen.

        @raise SystemExit: if that is not possible; the reason is logged in one line.
        """
        startOrExit(super().privilegedStartService, self._log)

    def startService(self) -> None:
        """
        Start to listen, unless L{privilegedStartService} has done so.

        @raise SystemExit: as L{privilegedStartService}.
        """
        startOrExit(super().startService, self._log)

    def stopService(self) -> Deferred[Any]:
        """
        Stop the other service first: until it has ended the pages show how that goes.
        """
        Service.stopService(self)
        stopped: Deferred[Any] = maybeDeferred(self._served.stopService)
        return stopped.addBoth(self._stopRest)

    def _stopRest(self, result: Any) -> Deferred[Any]:
        others = [each for each in self if each is not self._served]
        over = DeferredList([maybeDeferred(each.stopService) for each in reversed(others)])
        return over.addCallback(lambda _: result)
