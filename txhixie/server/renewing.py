"""
Ports whose certificates can be read again while they listen.
"""

from __future__ import annotations

import re
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

# The kinds of descriptions that name certificate files.
_TLS = re.compile(r"(?:haproxy:)?(?:ssl|tls):")


def hasCertificates(description: str) -> bool:
    """
    Return whether an endpoint reads certificates.
    """
    return _TLS.match(description) is not None


class _Noting:
    """
    Takes the place of a reactor, and records the factory that an endpoint listens with.
    """

    factory: Any = None

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> None:
        self.factory = factory

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        from twisted.protocols.tls import TLSMemoryBIOFactory

        # Errors that OpenSSL has with the files are found here.
        contextFactory.getContext()
        self.factory = TLSMemoryBIOFactory(contextFactory, False, factory)


@implementer(IStreamServerEndpoint)
class RenewableEndpoint:
    """
    An endpoint that L{hasCertificates}.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, description: str) -> None:
        """
        @param endpoint: what C{description} describes.
        """
        self._endpoint = endpoint
        self._description = description
        self._factory: IProtocolFactory | None = None
        self._port: Any = None

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen as the endpoint does.
        """
        self._factory = protocolFactory
        listening: Deferred[IListeningPort] = self._endpoint.listen(protocolFactory)
        return listening.addCallback(self._listens)

    def _listens(self, port: IListeningPort) -> IListeningPort:
        self._port = port
        return port

    def renew(self) -> None:
        """
        Use the certificates that the files now contain for new connections. No connection is
        refused meanwhile.

        @raise Exception: whatever is wrong with the files; the certificates stay as they are.
        """
        noting = _Noting()
        failures: list[Failure] = []
        endpoint = serverFromString(cast(Any, noting), self._description)
        endpoint.listen(cast(IProtocolFactory, self._factory)).addErrback(failures.append)
        for failure in failures:
            failure.raiseException()
        # Our factory goes on through both of them.
        old = self._port.factory
        noting.factory.doStart()
        self._port.factory = noting.factory
        old.doStop()
