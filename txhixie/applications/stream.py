"""
Any service of bytes behind a WebSocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txhixie.applications.streamcodecs import CODECS, Codec, carries, codecNamed
from txhixie.applications.streamtransport import Stream
from txhixie.dialects.head import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IProtocolFactory
    from twisted.web.server import Request


class StreamApplication:
    """
    Serves a factory of Twisted's that knows nothing of WebSockets, such as one of Telnet, AMP, IRC
    or VNC. What its protocols write becomes messages, and messages become C{dataReceived}.

    The client chooses the codec by its subprotocol: C{binary} or C{base64}. A client without one of
    these gets L{codec}. The Hixie dialects cannot carry C{binary}.

    To the protocols the connection is one of TCP, with producers, TLS interfaces and half-close.
    What they write is never dropped; what waits for a peer counts for L{Settings.memoryLimit}.
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
        Start the factory, as the first port does that listens.
        """
        if not self._isStarted:
            self._isStarted = True
            self._factory.doStart()

    def stopFactory(self) -> None:
        """
        Stop the factory, as the last port does.
        """
        if self._isStarted:
            self._isStarted = False
            self._factory.doStop()

    def buildProtocol(self, request: Request) -> Stream:
        """
        Return what handles a new client.

        @raise txhixie.HandshakeError: 400 if the client's dialect cannot carry the codec.
        """
        # In a resource nobody else does this.
        self.startFactory()
        # Twisted's own requests do not know these two.
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
