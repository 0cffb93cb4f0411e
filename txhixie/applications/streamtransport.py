"""
A WebSocket as the transport of a byte-stream protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    INegotiated,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie.applications.streamproducers import Pulling, Waiting
from txhixie.dialects.events import CloseCode

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProducer, IProtocol, IPullProducer

    from txhixie.application import WebSocketTransport
    from txhixie.applications.streamcodecs import Codec


@implementer(ITCPTransport, IConsumer, IPushProducer)
class StreamTransport:
    """
    The transport of the protocol. It behaves as TCP does.

    @ivar protocol: gets what is received. It may be replaced.
    @ivar disconnecting: whether L{loseConnection} was called.
    @ivar disconnected: whether the connection is gone.
    """

    def __init__(
        self, webSocket: WebSocketTransport, codec: Codec, protocol: IProtocol, peer: IAddress
    ) -> None:
        """
        @param webSocket: carries the stream.
        @param peer: the address for L{getPeer}.
        """
        self.protocol = protocol
        self.disconnecting = False
        self.disconnected = False
        self._webSocket = webSocket
        self._codec = codec
        self._peer = peer
        self._producer: Any = None
        # Called when everything has been written.
        self._waiting: Waiting | None = None
        self._isAborted = False
        # Whether the peer, or we, announced that nothing more will come.
        self._isReadClosed = False
        self._isWriteClosed = False
        # Whether to announce that once the producer is done.
        self._endsWriting = False

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send bytes, as one message or as several.

        @raise TypeError: if they are not bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if self._isWriteClosed:
            return
        webSocket = self._webSocket
        try:
            for message in self._codec.messages(data):
                if isinstance(message, str):
                    webSocket.sendTextMessage(message)
                else:
                    webSocket.sendBytesMessage(message)
        except UnicodeDecodeError as error:
            self._cannotSend(error)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send several pieces together.
        """
        self.write(b"".join(data))

    def _cannotSend(self, error: ValueError) -> None:
        self._isWriteClosed = True
        fail(
            self._webSocket,
            CloseCode.INTERNAL_ERROR,
            f"not UTF-8, so not for the codec text: {error}",
        )

    # The end

    def loseConnection(self) -> None:
        """
        Close after everything that was written, and after the producer if there is one.
        """
        self.disconnecting = True
        self._end()

    def loseWriteConnection(self) -> None:
        """
        Announce that nothing more will be written, and go on reading. Hixie-75 has no closing
        handshake, so this closes.
        """
        self._endsWriting = True
        self._end()

    def _end(self) -> None:
        if self._producer is not None or self.disconnected:
            return
        if not self._isWriteClosed:
            self._isWriteClosed = True
            try:
                self._codec.finish()
            except ValueError as error:
                self._cannotSend(error)
                return
            if not self.disconnecting:
                self._endWriting()
        if self.disconnecting and self._waiting is None:
            self._close()

    def _close(self) -> None:
        if not self._isOurs:
            self._webSocket.loseConnection()
            return
        # The closing handshake has a time limit, what was written before has none.
        self._waiting = Waiting(self._webSocket.loseConnection)
        self._webSocket.attachProducer(self._waiting)
        self._webSocket.whenSettled(self._waiting.check)

    def _endWriting(self) -> None:
        end = getattr(self._webSocket, "loseWriteConnection", self._webSocket.loseConnection)
        end()
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None:
            protocol.writeConnectionLost()

    def abortConnection(self) -> None:
        """
        End the connection now.
        """
        if self.disconnected:
            return
        self.disconnecting = self._isWriteClosed = self._isAborted = True
        abort = getattr(self._webSocket, "abort", self._webSocket.loseConnection)
        abort()

    def readClosed(self) -> None:
        """
        The peer will not send any more. Protocols without an interface for that are closed.
        """
        if self._isReadClosed:
            return
        self._isReadClosed = True
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            self._webSocket.loseConnection()
        else:
            protocol.readConnectionLost()

    def lost(self, reason: Failure) -> None:
        """
        The connection is gone: tell the protocol.
        """
        if reason.check(ConnectionDone) and IHalfCloseableProtocol(self.protocol, None):
            self.readClosed()
        self.disconnected = self._isWriteClosed = True
        self._producer = None
        if self._isAborted:
            reason = Failure(ConnectionAborted())
        self.protocol.connectionLost(reason)

    # Producers

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Let a producer write, as fast as the peer reads. If the connection is ending, the producer
        is stopped at once.

        @param streaming: whether it is a push producer.
        @raise RuntimeError: if there is one already.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.disconnected or self._waiting is not None:
            producer.stopProducing()
            return
        if not streaming:
            pulled = cast("IPullProducer", producer)
            later = self._webSocket.whenSettled
            producer = Pulling(pulled, later, self.abortConnection)
        self._webSocket.attachProducer(cast("IPushProducer", producer))
        self._producer = producer
        if isinstance(producer, Pulling):
            producer.start()

    def unregisterProducer(self) -> None:
        """
        Forget the producer. If the end of the stream waited for the producer, it comes now.
        """
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if isinstance(producer, Pulling):
            producer.cancel()
        self._webSocket.detachProducer()
        if self.disconnecting or self._endsWriting:
            self._end()

    # Transports of twisted.web.websocket can do less. They cannot be paused, but the transport
    # below them can.

    @property
    def _isOurs(self) -> bool:
        return hasattr(self._webSocket, "whenSettled")

    # Reading

    def pauseProducing(self) -> None:
        """
        Stop reading.
        """
        self._source.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on reading.
        """
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    @property
    def _source(self) -> Any:
        webSocket = self._webSocket
        return webSocket if self._isOurs else webSocket.transport

    # What is below

    def getPeer(self) -> Any:
        """
        Return the address of the peer: the client's address if a trusted proxy reports it.
        """
        return self._peer

    def getHost(self) -> Any:
        """
        Return our own address.
        """
        return self._below.getHost()

    def getTcpNoDelay(self) -> bool:
        """
        Return whether C{TCP_NODELAY} is set.
        """
        return self._get("getTcpNoDelay")

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Set C{TCP_NODELAY}; nothing happens if the transport is not TCP.
        """
        self._set("setTcpNoDelay", enabled)

    def getTcpKeepAlive(self) -> bool:
        """
        Return whether C{SO_KEEPALIVE} is set.
        """
        return self._get("getTcpKeepAlive")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Set C{SO_KEEPALIVE}; nothing happens if the transport is not TCP.
        """
        self._set("setTcpKeepAlive", enabled)

    @property
    def _below(self) -> Any:
        return self._webSocket.transport

    def _get(self, name: str) -> bool:
        # TLS claims to run over TCP, even over a Unix socket.
        with suppress(AttributeError):
            return bool(getattr(self._below, name)())
        return False

    def _set(self, name: str, enabled: bool) -> None:
        with suppress(AttributeError):
            getattr(self._below, name)(enabled)


@implementer(INegotiated)
class SecureStreamTransport(StreamTransport):
    """
    A stream over TLS.
    """

    def getPeerCertificate(self) -> Any:
        """
        Return the certificate of the peer, or C{None}.
        """
        return self._below.getPeerCertificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """
        Return the protocol that ALPN agreed on, or C{None}.
        """
        negotiated: bytes | None = getattr(self._below, "negotiatedProtocol", None)
        return negotiated


def fail(webSocket: WebSocketTransport, code: int, reason: str) -> None:
    """
    End a connection that cannot go on. Transports of twisted.web.websocket do not log it.
    """
    getattr(webSocket, "fail", webSocket.loseConnection)(code, reason)
