"""
The factory: what all connections of a server share.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolNegotiationFactory, IReactorTime, ITransport
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import classImplements

from twisted import __version__
from txhixie.application import Application, startFactories, stopFactories
from txhixie.dialects.head import HandshakeError
from txhixie.dialects.messages import ACCELERATED
from txhixie.metrics import Metric
from txhixie.server.accepting import Accepting
from txhixie.server.admission import Admission
from txhixie.server.measures import factoryMetrics
from txhixie.server.protocol import HixieProtocol
from txhixie.server.roster import Roster
from txhixie.settings import Settings
from txhixie.web.channel import PlainHTTP
from txhixie.web.proxies import TrustedProxies
from txhixie.web.site import makeSite
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.shared import Shared
from txhixie.websocket.websocket import WebSocket


class HixieFactory(ServerFactory):
    """
    Serves an application to WebSocket clients of every dialect, and a site to all other clients.

    @ivar application: what answers WebSocket requests.
    @ivar settings: limits and policies.
    """

    protocol = HixieProtocol  # type: ignore[assignment]

    _log = Logger()

    def __init__(
        self,
        application: Application | None,
        site: Site | IResource | None = None,
        settings: Settings = Settings(),
        reactor: IReactorTime | None = None,
    ) -> None:
        """
        @param application: what answers WebSocket requests; C{None} if resources of the site do
            (see L{txhixie.HixieResource}).
        @param site: what answers all other requests, a site or its root resource. By default
            every path answers C{okay}.
        @param settings: limits and policies.
        @param reactor: the clock; by default the reactor that is installed.
        """
        if reactor is None:
            from twisted.internet import reactor as installed

            reactor = IReactorTime(installed)
        self.application = application
        self.settings = settings
        self.trusted = TrustedProxies.parse(settings.trustedProxies)
        self.shared = Shared(settings, reactor)
        self.liveness = Liveness(self.shared)
        self.handshaking: Deadlines[HixieProtocol] = Deadlines(
            reactor, settings.handshakeTimeout, HixieProtocol.handshakeTimedOut
        )
        self.site = makeSite(
            site,
            settings.maxBody,
            self.trusted,
            lambda: self.shared.log.passes("requests of plain HTTP"),
            reactor,
        )
        self.plain = PlainHTTP(self.shared, self.site)
        self.admission = Admission(
            settings.maxConnections, settings.maxPerAddress, self._endLongestIdle
        )
        self.accepting = Accepting(reactor, settings.acceptRate, self._acceptingPaused)
        self._roster = Roster(self.shared, self._rest)
        # Connections that are not admitted, the oldest first: their handshake is not complete, or
        # was refused.
        self._outside: dict[HixieProtocol, None] = {}
        self._isStopped = False
        # Connections of plain HTTP that wait for their next request, the oldest first.
        self._idle: dict[HixieProtocol, None] = {}
        self._observers: list[Callable[[WebSocket], object]] = []
        self._closingObservers: list[Callable[[], object]] = []
        self._goneObservers: list[Callable[[WebSocket], object]] = []
        self._refusalObservers: list[Callable[[bytes, HandshakeError], object]] = []

    # What applications call

    @property
    def connections(self) -> Mapping[str, WebSocket]:
        """
        The open connections by their id, as L{txhixie.WebSocketTransport}s.
        """
        return self._roster.connections

    def sendTextMessage(self, connectionId: str, text: str) -> None:
        """
        Send a message to one connection.

        @raise KeyError: if no connection with that id is open.
        """
        self.connections[connectionId].sendTextMessage(text)

    def broadcastTextMessage(self, text: str, exclude: str | None = None) -> None:
        """
        Send a message to all open connections.

        @param exclude: the id of a connection that does not get it.
        """
        self.shared.turn.run(self._broadcast, text, exclude)

    def _broadcast(self, text: str, exclude: str | None) -> None:
        for connectionId, webSocket in list(self.connections.items()):
            if connectionId != exclude:
                webSocket.sendTextMessage(text)

    def notifyOpened(self, observer: Callable[[WebSocket], object]) -> None:
        """
        Call C{observer} with each connection that completes its opening handshake, before
        C{connectionEstablished} of its application is called.
        """
        self._observers.append(observer)

    def notifyClosing(self, observer: Callable[[], object]) -> None:
        """
        Call C{observer} when all connections are to close. Answers of plain HTTP that would never
        end by themselves have to be ended then.
        """
        self._closingObservers.append(observer)

    def notifyGone(self, observer: Callable[[WebSocket], object]) -> None:
        """
        Call C{observer} with each connection that has ended, after its application has been
        notified.
        """
        self._goneObservers.append(observer)

    def notifyRefused(self, observer: Callable[[bytes, HandshakeError], object]) -> None:
        """
        Call C{observer} with the target and the error of each opening handshake that is refused.
        """
        self._refusalObservers.append(observer)

    def statistics(self) -> dict[str, Any]:
        """
        Return totals of all connections, past and present, but nothing about a single connection:
        seconds under C{uptime}, open connections by dialect under C{connections}, what was
        C{received} and C{sent} since the factory was made under C{messages} and C{bytes}, and how
        often each of L{txhixie.websocket.counters.EVENTS} happened under C{events}. With many
        connections, the totals of messages and bytes may be slightly out of date.
        """
        return self._roster.statistics()

    def metrics(self) -> list[Metric]:
        """
        Return what L{statistics} returns and more, by the conventions of Prometheus.
        """
        return factoryMetrics(self._roster, self.shared)

    def changeOrigins(self, origins: Iterable[str]) -> None:
        """
        Admit other origins from now on. Connections that are already open stay open.

        @param origins: as L{Settings.origins}.
        @raise ValueError: if one of them is not a valid pattern.
        """
        self.settings = self.shared.settings = replace(self.settings, origins=tuple(origins))

    def windDown(self) -> None:
        """
        Answer plain HTTP with C{Connection: close} from now on, until the factory is started
        again. Everything else goes on as before.
        """
        self.shared.isStopping = True

    def closeConnections(self) -> Deferred[None]:
        """
        Close all connections with their closing handshakes, in batches, so that not all clients
        come back at once. Answers of plain HTTP in progress are finished. Connections that take
        longer than L{Settings.drainTimeout} are cut off. New handshakes are refused from now on,
        until the factory is started again.

        @return: fires when no connection is left, and every application has been notified.
        """
        self.admission.close()
        self.shared.isStopping = self.shared.isDraining = True
        for observer in self._closingObservers:
            observer()
        return self._roster.close()

    def abortConnections(self) -> None:
        """
        End all connections now.
        """
        self._roster.abort()

    # What the reactor calls

    def acceptableProtocols(self) -> list[bytes]:
        """
        Return what TLS agrees on with clients that offer ALPN (RFC 7301): none of our dialects runs
        over HTTP/2.
        """
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """
        Admit clients, and start the application and the site.
        """
        self._isStopped = False
        self.admission.open()
        self.shared.isStopping = self.shared.isDraining = False
        if not self.settings.origins:
            self._log.info("every Origin is accepted")
        if not ACCELERATED:
            self._log.warn("websockets runs without its C part: RFC 6455 will be slow")
        startFactories(self.application)
        self.site.doStart()

    def stopFactory(self) -> None:
        """
        Stop the application and the site, and log how many log events were suppressed.
        """
        self._isStopped = True
        stopFactories(self.application)
        self.site.doStop()
        self.shared.log.stop()

    # What the protocols and ports call

    def _acceptingPaused(self) -> None:
        self.shared.count("accepting paused")
        self.shared.log.info(
            "no more connections are accepted for now: {open} are open", open=len(self._roster)
        )

    def adopt(self, transport: ITransport) -> HixieProtocol:
        """
        Return a protocol of this factory for a connection that another factory accepted.
        """
        protocol = HixieProtocol()
        protocol.factory = self
        protocol.makeConnection(transport)
        return protocol

    def newId(self) -> str:
        """
        Return an id that no connection had before.
        """
        return secrets.token_urlsafe(8)

    def connected(self, protocol: HixieProtocol) -> None:
        """
        A connection was made.
        """
        self._roster.connected(protocol)
        self._outside[protocol] = None
        self.handshaking.start(protocol)
        self.accepting.connected()
        if len(self._outside) > self.settings.maxHandshakes:
            oldest = next(iter(self._outside))
            del self._outside[oldest]
            self.shared.count("handshakes evicted")
            oldest.evict()

    def admit(self, protocol: HixieProtocol, host: str) -> None:
        """
        Admit a client whose request head is complete.

        @param host: its address, or an empty string.
        @raise HandshakeError: if it is not admitted.
        """
        self.admission.admit(host)
        protocol.admittedFrom = host
        self._outside.pop(protocol, None)

    def _endLongestIdle(self) -> None:
        """
        End the connection of plain HTTP that has been idle for the longest time, if there is one,
        and stop counting it.
        """
        idle = next(iter(self._idle), None)
        if idle is None:
            return
        assert idle.admittedFrom is not None
        self.admission.release(idle.admittedFrom)
        idle.admittedFrom = None
        self._outside[idle] = None
        self.shared.count("idle evicted")
        idle.evict()

    def setIdle(self, protocol: HixieProtocol, isIdle: bool) -> None:
        """
        Note whether a connection of plain HTTP waits for its next request.
        """
        self._idle.pop(protocol, None)
        if isIdle:
            self._idle[protocol] = None

    def opened(self, protocol: HixieProtocol, webSocket: WebSocket) -> None:
        """
        A connection completed its opening handshake.
        """
        self.handshaking.cancel(protocol)
        self._roster.opened(webSocket)
        for observer in self._observers:
            observer(webSocket)

    def refused(self, target: bytes, error: HandshakeError) -> None:
        """
        An opening handshake was refused.
        """
        for observer in self._refusalObservers:
            observer(target, error)

    def disconnected(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone.
        """
        self.handshaking.cancel(protocol)
        self._outside.pop(protocol, None)
        self._idle.pop(protocol, None)
        if protocol.webSocket is not None:
            self._roster.closed(protocol.webSocket)
        if protocol.admittedFrom is not None:
            self.admission.release(protocol.admittedFrom)
        self.accepting.disconnected()

    def gone(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone, and its application has been notified.
        """
        if protocol.webSocket is not None:
            for observer in self._goneObservers:
                observer(protocol.webSocket)
        self._roster.gone(protocol)

    def _rest(self) -> None:
        """
        Cancel all timers: there are no connections.
        """
        self.handshaking.rest()
        self.liveness.rest()
        self.plain.rest()
        self.shared.rest()
        if self._isStopped:
            # Otherwise nothing would stop the timer of a later event.
            self.shared.log.stop()


# Twisted before 26.4 offers negotiation in a way that current versions of pyOpenSSL refuse. Its
# clients are served without ALPN.
NEGOTIATES = tuple(map(int, __version__.split(".")[:2])) >= (26, 4)
if NEGOTIATES:
    classImplements(HixieFactory, IProtocolNegotiationFactory)
