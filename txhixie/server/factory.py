"""
The factory: what all connections of a server share.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from zope.interface import implementer

from txhixie.dialects.choosing import DIALECT_NAMES
from txhixie.dialects.framing import ACCELERATED
from txhixie.dialects.head import HandshakeError
from txhixie.server.accepting import Accepting
from txhixie.server.admission import Admission
from txhixie.server.ending import Ending
from txhixie.server.messagelog import LoggedProtocol
from txhixie.server.opening import Opening
from txhixie.server.protocol import HixieProtocol
from txhixie.settings import SLOW_POLICIES, Settings
from txhixie.web.proxies import TrustedProxies
from txhixie.web.request import makeSite
from txhixie.websocket.counters import EVENTS
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.ratelimit import LimitedLogger
from txhixie.websocket.turn import Gathering

if TYPE_CHECKING:
    from twisted.web.websocket import WebSocketProtocol

# Clients are told to go in batches of so many at least, so many seconds apart, within this part
# of the time they have.
_BATCH, _BETWEEN_BATCHES, _PART_FOR_BATCHES = 100, 0.1, 0.8

# What each connection counts.
_COUNTERS = ("messagesReceived", "messagesSent", "bytesReceived", "bytesSent")


class Application(Protocol):
    """
    What answers WebSocket requests: Twisted's C{WebSocketServerFactory}, with leave to refuse and
    to take its time.
    """

    def buildProtocol(
        self, request: Request
    ) -> WebSocketProtocol | Awaitable[WebSocketProtocol | None] | None:
        """
        @return: the protocol of a new connection, or C{None} to refuse it with 404; or a Deferred
            or coroutine of either.
        @raise txhixie.HandshakeError: to refuse it with another status.
        """


@implementer(IProtocolNegotiationFactory)
class HixieFactory(Gathering, ServerFactory):
    """
    Serves an application to WebSocket clients of every dialect, and a site to everybody else.

    @ivar connections: the open connections by their id.
    @ivar seconds: tells the time.
    """

    protocol = HixieProtocol  # type: ignore[assignment]

    _log = Logger()

    def __init__(
        self,
        application: Application,
        site: Site | IResource | None = None,
        settings: Settings = Settings(),
        reactor: IReactorTime | None = None,
    ) -> None:
        """
        @param application: what answers WebSocket requests.
        @param site: what answers all other requests, a site or its root resource; by default
            every path says C{okay}.
        @param settings: limits and policies.
        @param reactor: what tells the time; by default the reactor that is installed.
        @raise ValueError: if L{Settings.trustedProxies} has something that is no network, or
            L{Settings.slowPolicy} is none of those there are.
        """
        super().__init__()
        if reactor is None:
            from twisted.internet import reactor as installed

            reactor = IReactorTime(installed)
        if settings.slowPolicy not in SLOW_POLICIES:
            raise ValueError(f"{settings.slowPolicy!r} is none of {', '.join(SLOW_POLICIES)}")
        if settings.logMessages:
            self.protocol = LoggedProtocol
        self.application = application
        self.settings = settings
        self._events = dict.fromkeys(EVENTS, 0)
        # What peers can make happen as often as they like.
        self.log = LimitedLogger(
            self._log, reactor, settings.logRate, lambda: self.count("log events suppressed")
        )
        self.site = makeSite(
            site,
            settings.maxBody,
            lambda: self.log.passes("requests of plain HTTP"),
            self._bodyTooLarge,
            reactor,
        )
        self.trusted = TrustedProxies.parse(settings.trustedProxies)
        self._makeTimers(reactor)
        self.admission = Admission(settings.maxConnections, settings.maxPerAddress)
        self.accepting = Accepting(reactor, settings.acceptRate, self._acceptingPaused)
        self._reactor = reactor
        self.seconds = reactor.seconds
        self._started = reactor.seconds()
        # What the connections counted that are no more.
        self._gone = dict.fromkeys(_COUNTERS, 0)
        self._open: dict[str, HixieProtocol] = {}
        self.connections: Mapping[str, HixieProtocol] = MappingProxyType(self._open)
        self._all: set[HixieProtocol] = set()
        # Those not let in, the oldest first: their handshake is not complete, or was refused.
        self._outside: dict[Opening, None] = {}
        self._waitingForAll: list[Deferred[None]] = []
        self._nextBatch: IDelayedCall | None = None

    def _makeTimers(self, reactor: IReactorTime) -> None:
        settings = self.settings
        self.handshaking: Deadlines[Opening] = Deadlines(
            reactor, settings.handshakeTimeout, Opening.handshakeTimedOut
        )
        self.closing: Deadlines[Ending] = Deadlines(
            reactor, settings.closeTimeout, Ending.closeTimedOut
        )
        self.lingering: Deadlines[Ending] = Deadlines(
            reactor, settings.lingerTimeout, Ending.lingerTimedOut
        )
        self.quiet: Deadlines[Ending] = Deadlines(reactor, settings.pingInterval, Ending.keepAlive)
        self.unanswered: Deadlines[Ending] = Deadlines(
            reactor, settings.pingTimeout, Ending.pingTimedOut
        )
        self.idle: Deadlines[Ending] = Deadlines(reactor, settings.idleTimeout, Ending.idleTimedOut)
        self._deadlines: tuple[Deadlines[Any], ...] = (
            self.handshaking,
            self.closing,
            self.lingering,
            self.quiet,
            self.unanswered,
            self.idle,
        )

    # What applications call

    def sendTextMessage(self, connectionId: str, text: str) -> None:
        """
        Send a message to one connection.

        @raise KeyError: if none of that id is open.
        """
        self._open[connectionId].sendTextMessage(text)

    def broadcastTextMessage(self, text: str, exclude: str | None = None) -> None:
        """
        Send a message to all open connections.

        @param exclude: the id of the one that does not get it, if any.
        """
        self.gather(self._broadcast, text, exclude)

    def _broadcast(self, text: str, exclude: str | None) -> None:
        for connectionId, protocol in list(self._open.items()):
            if connectionId != exclude:
                protocol.sendTextMessage(text)

    def statistics(self) -> dict[str, Any]:
        """
        @return: sums over all connections that are or were: nothing about a single one. Seconds
            under C{uptime}, open connections by dialect under C{connections}, and what was
            C{received} and C{sent} since the factory was made under C{messages} and C{bytes};
            and under C{events} how often each of those happened that an operator wants to know of.
        """
        connections = dict.fromkeys(DIALECT_NAMES, 0)
        for protocol in self._open.values():
            connections[protocol.dialect] += 1
        sums = {
            counter: sum((getattr(p, counter) for p in self._all), self._gone[counter])
            for counter in _COUNTERS
        }
        return {
            "uptime": self._reactor.seconds() - self._started,
            "connections": connections,
            "messages": {"received": sums["messagesReceived"], "sent": sums["messagesSent"]},
            "bytes": {"received": sums["bytesReceived"], "sent": sums["bytesSent"]},
            "events": dict(self._events),
        }

    def closeConnections(self) -> Deferred[None]:
        """
        Close all connections with their closing handshakes: not all at once, so that not all come
        back at once. Those that take longer than L{Settings.drainTimeout} are cut off. New
        handshakes are refused from now on, until the factory is started again.

        @return: fires when no connection is left.
        """
        gone: Deferred[None] = Deferred()
        self._waitingForAll.append(gone)
        self.admission.close()
        self._cancelBatch()
        cutOff = self._reactor.callLater(self.settings.drainTimeout, self.abortConnections)
        gone.addCallback(lambda _: cutOff.cancel() if cutOff.active() else None)
        for protocol in self._all.difference(self._open.values()):
            protocol.shutDown()
        protocols = list(self._open.values())
        batches = self.settings.drainTimeout * _PART_FOR_BATCHES / _BETWEEN_BATCHES
        self._closeBatch(protocols, max(_BATCH, ceil(len(protocols) / batches)))
        self._tellIfAllGone()
        return gone

    def _closeBatch(self, protocols: list[HixieProtocol], size: int) -> None:
        for protocol in protocols[:size]:
            if protocol in self._all:
                protocol.shutDown()
        self._nextBatch = None
        if protocols[size:]:
            self._nextBatch = self._reactor.callLater(
                _BETWEEN_BATCHES, self._closeBatch, protocols[size:], size
            )

    def _cancelBatch(self) -> None:
        if self._nextBatch is not None:
            self._nextBatch.cancel()
            self._nextBatch = None

    def abortConnections(self) -> None:
        """
        End all connections now.
        """
        if self._all:
            self._log.info("{count} connections are cut off", count=len(self._all))
        for protocol in list(self._all):
            self.count("connections cut off")
            protocol.abort()

    def _tellIfAllGone(self) -> None:
        if not self._all and self._waitingForAll:
            self._cancelBatch()
            waiting, self._waitingForAll = self._waitingForAll, []
            for gone in waiting:
                gone.callback(None)

    # What the reactor calls

    def acceptableProtocols(self) -> list[bytes]:
        """
        @return: what TLS agrees on with clients that offer ALPN (RFC 7301): no WebSocket dialect
            of ours runs over HTTP/2.
        """
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """
        Say who may connect, and start the site.
        """
        self.admission.open()
        if not self.settings.origins:
            self._log.info("every Origin is accepted")
        if not ACCELERATED:
            self._log.warn("websockets runs without its C part: RFC 6455 will be slow")
        self.site.doStart()

    def stopFactory(self) -> None:
        """
        Stop the site, and log what is left to be told.
        """
        self.site.doStop()
        self.log.stop()

    # What the protocols and ports call

    def _acceptingPaused(self) -> None:
        self.count("accepting paused")
        self.log.info(
            "no more connections are accepted for now: {open} are open", open=len(self._all)
        )

    def _bodyTooLarge(self, error: HandshakeError) -> None:
        self.count("refused", error.status)
        self.log.info("refused a request of plain HTTP: {text}", text=error.text)

    def newId(self) -> str:
        """
        @return: an id for a connection, never given before.
        """
        return secrets.token_urlsafe(8)

    def connected(self, protocol: HixieProtocol) -> None:
        """
        A connection was made.
        """
        self._all.add(protocol)
        self._outside[protocol] = None
        self.handshaking.start(protocol)
        self.accepting.connected()
        if len(self._outside) > self.settings.maxHandshakes:
            oldest = next(iter(self._outside))
            del self._outside[oldest]
            self.count("handshakes evicted")
            oldest.evict()

    def admit(self, protocol: Opening, host: str) -> None:
        """
        Let a client in whose request head is complete.

        @param host: its address, or an empty string.
        @raise HandshakeError: if it has to stay outside.
        """
        self.admission.admit(host)
        protocol.admittedFrom = host
        self._outside.pop(protocol, None)

    def opened(self, protocol: HixieProtocol) -> None:
        """
        A connection completed its opening handshake.
        """
        self.handshaking.cancel(protocol)
        self._open[protocol.id] = protocol
        settings = self.settings
        if settings.pingInterval and (protocol.hasPing or settings.heartbeat is not None):
            self.quiet.start(protocol)
        if settings.idleTimeout:
            self.idle.start(protocol)

    def disconnected(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone.
        """
        for deadlines in self._deadlines:
            deadlines.cancel(protocol)
        self._open.pop(protocol.id, None)
        self._all.discard(protocol)
        self._outside.pop(protocol, None)
        if protocol.admittedFrom is not None:
            self.admission.release(protocol.admittedFrom)
        self.accepting.disconnected()
        for counter in _COUNTERS:
            self._gone[counter] += getattr(protocol, counter)
        if not self._all:
            for deadlines in self._deadlines:
                deadlines.rest()
            self._tellIfAllGone()

    def count(self, event: str, number: int | None = None) -> None:
        """
        Count something that happened.

        @param event: one of L{txhixie.websocket.counters.EVENTS}.
        @param number: the status or close code, in those that have one.
        """
        self._events[event] += 1
        if number is not None:
            name = f"{event} {int(number)}"
            self._events[name] = self._events.get(name, 0) + 1

    def afterNextTurn(self, call: Callable[[], object]) -> None:
        """
        Call something after the reactor has seen once more to all that can be read and written.
        """
        self._reactor.callLater(0, self._reactor.callLater, 0, call)
