"""
Any service of bytes behind a WebSocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import ISSLTransport

from txhixie.applications.streamcodecs import CODECS, Codec, carries, codecNamed
from txhixie.applications.streamtransport import (
    SecureStreamTransport,
    StreamTransport,
    fail,
)
from txhixie.dialects.events import CloseCode
from txhixie.dialects.head import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from txhixie.application import WebSocketTransport


class Stream:
    """
    Connects a protocol to one WebSocket that carries a byte stream, once it is open.

    @ivar protocol: the protocol, or C{None} as long as there is none.
    """

    protocol: IProtocol | None = None

    _transport: StreamTransport | None = None

    def __init__(
        self,
        build: Callable[[IAddress], IProtocol | None],
        codec: Codec,
        peer: IAddress | None = None,
    ) -> None:
        """
        @param build: makes the protocol for the address of the peer.
        @param peer: that address; by default the address that the transport below reports.
        """
        self._build = build
        self._codec = codec
        self._peer = peer

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._webSocket = transport
        behave = getattr(transport, "behaveAsStream", None)
        if behave is not None:
            behave()

    def negotiationFinished(self) -> None:
        webSocket = self._webSocket
        below = webSocket.transport
        peer = below.getPeer() if self._peer is None else self._peer
        protocol = self._build(peer)
        if protocol is None:
            # TCP would end here, too.
            webSocket.loseConnection(CloseCode.TRY_AGAIN_LATER, "no connection is wanted now")
            return
        isSecure = ISSLTransport.providedBy(below)
        kind = SecureStreamTransport if isSecure else StreamTransport
        self.protocol = protocol
        self._transport = kind(webSocket, self._codec, protocol, peer)
        protocol.makeConnection(self._transport)

    def textMessageReceived(self, message: str) -> None:
        self._received(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._received(data)

    def _received(self, message: str | bytes | bytearray) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            data = self._codec.bytesOf(message)
        except ValueError as error:
            fail(self._webSocket, CloseCode.INVALID_DATA, str(error))
            return
        if data:
            transport.protocol.dataReceived(data)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def closeReceived(self, code: int, reason: str) -> None:
        if self._transport is None:
            self._webSocket.loseConnection()
        else:
            self._transport.readClosed()

    def connectionLost(self, reason: Failure) -> None:
        if self._transport is not None:
            self._transport.lost(reason)


class StreamApplication:
    """
    Serves any Twisted factory over WebSockets, such as one of Telnet, AMP, IRC or VNC, which need
    not know about WebSockets. What its protocols write becomes messages, and messages become
    C{dataReceived}.

    The client chooses the codec by its subprotocol: C{binary} or C{base64}. A client without one of
    these gets C{codec}. The Hixie dialects cannot carry C{binary}.

    The protocols see a TCP connection, with producers, TLS interfaces and half-close. What they
    write is never dropped. Data that waits for a peer counts towards L{Settings.memoryLimit}.
    """

    def __init__(self, factory: IProtocolFactory, codec: str = "text") -> None:
        """
        @param factory: makes a protocol for each connection that opens. If it returns C{None}, the
            connection is closed with the code 1013.
        @param codec: C{"text"}, C{"binary"} or C{"base64"}. Text is for streams that are UTF-8:
            anything else ends the connection.
        @raise ValueError: if there is no such codec.
        """
        self._factory = factory
        self._codec = codecNamed(codec)
        self._isStarted = False

    def startFactory(self) -> None:
        """
        Start the factory, as the first port that listens would do.
        """
        if not self._isStarted:
            self._isStarted = True
            self._factory.doStart()

    def stopFactory(self) -> None:
        """
        Stop the factory, as the last port would do.
        """
        if self._isStarted:
            self._isStarted = False
            self._factory.doStop()

    def buildProtocol(self, request: Request) -> Stream:
        """
        Return what handles a new client.

        @raise txhixie.HandshakeError: 400 if the client's dialect cannot carry the codec.
        """
        # In a resource, nothing else starts the factory.
        self.startFactory()
        # Twisted's requests do not have these two attributes.
        dialect = getattr(request, "dialect", "")
        requested = getattr(request, "subprotocols", None)
        if requested is None:
            requested = _requested(request)
        codec = self._choose(requested, dialect)
        if codec.name in requested:
            request.setHeader(b"Sec-WebSocket-Protocol", codec.name.encode("ascii"))
        return Stream(self._factory.buildProtocol, codec(), request.channel.getPeer())

    def _choose(self, requested: Sequence[str], dialect: str) -> type[Codec]:
        for name in requested:
            if name in CODECS and carries(CODECS[name], dialect):
                return CODECS[name]
        if not carries(self._codec, dialect):
            raise HandshakeError(400, "this dialect needs the subprotocol base64")
        return self._codec


def _requested(request: Request) -> list[str]:
    values = request.requestHeaders.getRawHeaders("sec-websocket-protocol", [])
    return [name.strip() for value in values for name in value.split(",")]
