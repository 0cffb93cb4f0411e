"""
A server and a client that are connected in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie.application import Application, WebSocketProtocol, WebSocketTransport
from txhixie.client.connect import Client, Headers, wishFor
from txhixie.dialects.choosing import forClient
from txhixie.dialects.url import WebSocketURL
from txhixie.server.factory import HixieFactory
from txhixie.server.protocol import HixieProtocol
from txhixie.settings import Settings
from txhixie.testing.requesting import absolute
from txhixie.testing.wire import CLIENT, End, addresses, provideTLS


def connectedPair(
    application: Application,
    protocol: WebSocketProtocol,
    *,
    url: str = "/",
    dialect: str = "rfc6455",
    origin: str | None = None,
    subprotocols: Iterable[str] = (),
    headers: Headers = (),
    peer: str = CLIENT,
    settings: Settings = Settings(),
    clock: Clock | None = None,
) -> ConnectedPair:
    """
    Connect a client to a server in memory. Both are real: only TCP, or TLS, and the clock are
    simulated.

    When this returns, the opening handshake is complete, unless the application answers later.

    @param application: what the server serves.
    @param protocol: the client's, as for L{txhixie.connect}. If only the server matters, use a
        L{CollectingProtocol <txhixie.testing.CollectingProtocol>}.
    @param url: a path, with or without a query, on the host C{example.com}; or a whole URL. With
        the scheme C{wss}, both sides treat the connection as TLS.
    @param dialect: as in L{txhixie.connect}, like the next three.
    @param peer: the client's IP address.
    @param settings: limits and policies of both sides.
    @param clock: pass the same clock to several pairs that depend on each other, and to an
        application that waits for time to pass; by default the pair has its own clock.
    @raise ValueError: if no client could make this request.
    """
    clock = Clock() if clock is None else clock
    wish = wishFor(absolute(url), origin, subprotocols, headers)
    opening = forClient(dialect)(wish, settings)
    factory = HixieFactory(application, settings=settings, reactor=clock)
    memory = _Memory(clock, factory, wish.url, peer)
    result = Client(settings, clock).open(opening, protocol, memory)
    pair = ConnectedPair(clock, memory.serving, result)
    pair.advance()
    return pair


class ConnectedPair:
    """
    A client and a server. What one side sends arrives when time passes, through L{advance}.

    @ivar clock: tells the time to both sides.
    """

    def __init__(
        self, clock: Clock, serving: HixieProtocol, result: Deferred[WebSocketTransport]
    ) -> None:
        """
        Made by L{connectedPair}.
        """
        self.clock = clock
        self._serving = serving
        self._outcome: WebSocketTransport | Failure | None = None
        result.addBoth(self._decided)

    def _decided(self, outcome: WebSocketTransport | Failure) -> None:
        self._outcome = outcome

    @property
    def client(self) -> WebSocketTransport:
        """
        The client's WebSocket.

        @raise txhixie.OpeningError: if the server did not open it, of the same class as
            L{txhixie.connect} fails with.
        @raise RuntimeError: if the opening handshake is not over.
        """
        outcome = self._outcome
        if outcome is None:
            raise RuntimeError("the opening handshake is not over")
        if isinstance(outcome, Failure):
            outcome.raiseException()
        return outcome

    @property
    def server(self) -> WebSocketTransport:
        """
        The server's WebSocket.

        @raise RuntimeError: if the application has not accepted the connection.
        """
        webSocket = self._serving.webSocket
        if webSocket is None:
            raise RuntimeError("the application has not accepted the connection")
        return webSocket

    def advance(self, seconds: float = 0) -> None:
        """
        Deliver everything that was sent, and let time pass. Whatever happens meanwhile happens in
        its order.

        @raise RuntimeError: if the two sides answer each other endlessly.
        """
        clock = self.clock
        end = clock.seconds() + seconds
        while due := [at for call in clock.getDelayedCalls() if (at := call.getTime()) <= end]:
            clock.advance(max(0.0, min(due) - clock.seconds()))
        clock.advance(max(0.0, end - clock.seconds()))


@implementer(IStreamClientEndpoint)
class _Memory:
    """
    Connects a client to a server without a network.

    @ivar serving: the server's side of the connection.
    """

    serving: HixieProtocol

    def __init__(self, clock: Clock, factory: HixieFactory, url: WebSocketURL, peer: str) -> None:
        self._clock = clock
        self._factory = factory
        self._url = url
        self._host, self._peer = addresses(url, peer)

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        server = End(self._clock, self._host, self._peer)
        client = End(self._clock, self._peer, self._host)
        if self._url.isSecure:
            provideTLS(server)
            provideTLS(client)
        serving: Any = self._factory.buildProtocol(self._peer)
        connecting: Any = factory.buildProtocol(self._host)
        self.serving = serving
        server.connect(serving, client)
        client.connect(connecting, server)
        return succeed(connecting)
