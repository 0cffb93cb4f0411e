"""
Opens WebSockets as a client.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txhixie.application import WebSocketProtocol, WebSocketTransport
from txhixie.client.protocol import HixieClientProtocol
from txhixie.client.tls import overTLS
from txhixie.dialects.choosing import forClient
from txhixie.dialects.errors import OpeningError, OpeningTimedOut
from txhixie.dialects.head import ResponseHead
from txhixie.dialects.opening import ClientOpening, Wish
from txhixie.dialects.url import WebSocketURL
from txhixie.settings import Settings
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.shared import Shared
from txhixie.websocket.websocket import WebSocket

# Names and values of header fields. A name may occur more than once.
Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]


def connect(
    url: str,
    protocol: WebSocketProtocol,
    *,
    dialect: str = "rfc6455",
    origin: str | None = None,
    subprotocols: Iterable[str] = (),
    headers: Headers = (),
    endpoint: IStreamClientEndpoint | None = None,
    tls: IOpenSSLClientConnectionCreator | None = None,
    settings: Settings = Settings(),
    reactor: Any = None,
) -> Deferred[WebSocketTransport]:
    """
    Open a WebSocket.

    @param url: such as C{"wss://example.com/chat"}.
    @param protocol: handles this one connection.
    @param dialect: the dialect to speak: C{"hixie-75"}, C{"hixie-76"}, C{"hybi-07"}, C{"hybi-08"}
        or C{"rfc6455"}. There is no way to ask a server which of them it speaks.
    @param origin: the C{Origin} to send. The Hixie dialects need one; by default it is the server's
        origin.
    @param subprotocols: subprotocols to ask for, best first; one at most in the Hixie dialects.
    @param headers: further header fields, such as cookies.
    @param endpoint: how to reach the server, instead of TCP to the host of C{url}: through a proxy
        or a Unix socket, for example. TLS for C{wss} is added on top of it.
    @param tls: makes TLS connections, instead of C{optionsForClientTLS} with the name of the host.
    @param settings: limits and policies. L{Settings.handshakeTimeout
        <txhixie.settings.Settings.handshakeTimeout>} limits the whole time until the WebSocket is
        open, and L{Settings.compression <txhixie.settings.Settings.compression>} offers
        compression.
    @param reactor: by default the reactor that is installed.
    @return: fires with the open WebSocket. It fails with a L{txhixie.OpeningError} if the server
        does not open it, with one of Twisted's connection errors if the connection cannot be made,
        or with a TLS error. Cancelling it ends the attempt.
    @raise ValueError: if the URL, the dialect or what is asked for makes no sense.
    """
    client = Client(settings, reactor)
    return client.connect(
        url,
        protocol,
        dialect=dialect,
        origin=origin,
        subprotocols=subprotocols,
        headers=headers,
        endpoint=endpoint,
        tls=tls,
    )


class Client:
    """
    Opens WebSockets that share their settings and timers.
    """

    def __init__(self, settings: Settings = Settings(), reactor: Any = None) -> None:
        """
        @param reactor: by default the reactor that is installed.
        """
        if reactor is None:
            from twisted.internet import reactor as installed

            reactor = installed
        self.settings = settings
        self.shared = Shared(settings, IReactorTime(reactor))
        self.liveness = Liveness(self.shared)
        self._reactor = reactor
        self._connections: set[HixieClientProtocol] = set()

    def connect(
        self,
        url: str,
        protocol: WebSocketProtocol,
        *,
        dialect: str = "rfc6455",
        origin: str | None = None,
        subprotocols: Iterable[str] = (),
        headers: Headers = (),
        endpoint: IStreamClientEndpoint | None = None,
        tls: IOpenSSLClientConnectionCreator | None = None,
        answered: Callable[[ResponseHead], object] | None = None,
    ) -> Deferred[WebSocketTransport]:
        """
        Open a WebSocket, as L{connect} does.

        @param answered: called with the head of the answer that opens it, before C{protocol}
            hears of it.
        """
        wish = wishFor(url, origin, subprotocols, headers)
        opening = forClient(dialect)(wish, self.settings)
        target = wish.url
        if endpoint is None:
            endpoint = HostnameEndpoint(
                self._reactor, target.hostname, target.port, self.settings.handshakeTimeout
            )
        if target.isSecure:
            try:
                endpoint = overTLS(endpoint, target.hostname, tls)
            except OpeningError:
                return fail()
        return self.open(opening, protocol, endpoint, answered)

    def open(
        self,
        opening: ClientOpening,
        protocol: WebSocketProtocol,
        endpoint: IStreamClientEndpoint,
        answered: Callable[[ResponseHead], object] | None = None,
    ) -> Deferred[WebSocketTransport]:
        """
        Open a WebSocket over an endpoint that already has TLS, if TLS is needed.

        @param answered: as in L{connect}.
        """
        attempt = _Attempt(self, opening, protocol, answered)
        attempt.start(endpoint)
        return attempt.result

    def newId(self) -> str:
        """
        Return an id that no connection had before.
        """
        return secrets.token_urlsafe(8)

    def connected(self, protocol: HixieClientProtocol) -> None:
        """
        A connection was made.
        """
        self._connections.add(protocol)

    def gone(self, protocol: HixieClientProtocol) -> None:
        """
        A connection is gone. After the last one, no timer is left.
        """
        self._connections.discard(protocol)
        if not self._connections:
            self.shared.rest()
            self.liveness.rest()
            self.shared.log.stop()


class _Attempt(Factory):
    """
    One attempt to open a WebSocket. It ends exactly once.

    @ivar result: fires when the attempt ends.
    """

    noisy = False

    def __init__(
        self,
        client: Client,
        opening: ClientOpening,
        protocol: WebSocketProtocol,
        answered: Callable[[ResponseHead], object] | None,
    ) -> None:
        seconds = client.settings.handshakeTimeout
        self._client = client
        self.result: Deferred[WebSocketTransport] = Deferred(self._cancelled)
        # Both are kept until the attempt has ended. Twisted may keep this factory for longer than
        # the connection.
        self._protocol: HixieClientProtocol | None = HixieClientProtocol(
            client, opening, protocol, self._decided, answered
        )
        self._connecting: Deferred[Any] | None = None
        self._timer = client.shared.clock.callLater(seconds, self._timedOut, seconds)

    def start(self, endpoint: IStreamClientEndpoint) -> None:
        """
        Connect to the server.
        """
        self._connecting = maybeDeferred(endpoint.connect, self)
        # Twisted keeps the result for as long as this factory.
        self._connecting.addCallbacks(lambda protocol: None, self.end)

    def buildProtocol(self, addr: object) -> HixieClientProtocol | None:
        """
        Return the protocol of the connection, unless the attempt has ended.
        """
        if self._protocol is not None:
            self._client.connected(self._protocol)
        return self._protocol

    def end(self, error: Exception | Failure) -> None:
        """
        End the attempt without a WebSocket.
        """
        protocol, connecting = self._protocol, self._connecting
        if protocol is not None:
            protocol.giveUp(error)
        if connecting is not None:
            connecting.cancel()

    def _timedOut(self, seconds: float) -> None:
        protocol, connecting = self._protocol, self._connecting
        if protocol is not None:
            protocol.timedOut(OpeningTimedOut(f"the WebSocket was not open within {seconds:g} s"))
        if connecting is not None:
            connecting.cancel()

    def _decided(self, outcome: WebSocket | Failure) -> None:
        self._protocol = self._connecting = None
        if self._timer.active():
            self._timer.cancel()
        if isinstance(outcome, Failure):
            self.result.errback(outcome)
        else:
            self.result.callback(outcome)

    def _cancelled(self, result: Deferred[WebSocketTransport]) -> None:
        self.end(CancelledError())


def wishFor(url: str, origin: str | None, subprotocols: Iterable[str], headers: Headers) -> Wish:
    """
    Return the request that a caller of L{connect} describes.

    @raise ValueError: if the URL makes no sense.
    """
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols are several str, not one")
    return Wish(WebSocketURL.parse(url), origin, tuple(subprotocols), _pairs(headers))


def _pairs(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((_bytes(name), _bytes(value)) for name, value in pairs)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
