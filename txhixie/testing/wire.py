"""
TCP in memory: two transports, and a clock that carries bytes from one to the other.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from txhixie.dialects.url import WebSocketURL

# The most bytes of one read. If more are waiting to be read, a producer is paused.
_READ = 64 * 1024
# After this many reads within one instant, the two sides are considered to answer each other
# endlessly.
_ENDLESS = 100_000
# Documentation addresses (RFC 5737).
CLIENT, _SERVER = "192.0.2.1", "192.0.2.254"
_CLIENT_PORT = 50_000

Address = IPv4Address | IPv6Address


def addresses(url: WebSocketURL, peer: str) -> tuple[Address, Address]:
    """
    Return the addresses of a server and of its client.

    @param peer: the client's host.
    """
    kind = IPv6Address if ":" in peer else IPv4Address
    return IPv4Address("TCP", _SERVER, url.port), kind("TCP", peer, _CLIENT_PORT)


def provideTLS(transport: Any) -> None:
    """
    Make a transport claim to be TLS.
    """
    directlyProvides(transport, ISSLTransport, providedBy(transport))


@implementer(ITCPTransport, IConsumer, IPushProducer, IHalfCloseableDescriptor)
class End:
    """
    One end of a connection, as a transport. The other end reads what is written here when the clock
    advances, at most L{_READ} bytes at a time.

    @ivar disconnecting: whether L{loseConnection} was called, as with Twisted's own transports.
    """

    disconnecting = False

    def __init__(self, clock: Clock, host: Address, peer: Address) -> None:
        self._clock = clock
        self._host = host
        self._peer = peer
        self._protocol: Any = None
        self._other: End = self
        # Bytes that were written and are not read yet, followed by the end of the stream.
        self._unread = bytearray()
        self._isEnding = False
        self._isReading = True
        self._isLost = False
        self._producer: Any = None
        self._isFull = False
        self._isMoving = False
        # How often something was read since the clock last advanced.
        self._instant = 0.0
        self._reads = 0

    def connect(self, protocol: Any, other: End) -> None:
        """
        Connect a protocol to this end.
        """
        self._protocol, self._other = protocol, other
        protocol.makeConnection(self)

    # Writing

    def write(self, data: bytes) -> None:
        if self._isEnding or self._isLost:
            return
        self._unread += data
        if self._producer is not None and not self._isFull and len(self._unread) > _READ:
            self._isFull = True
            self._producer.pauseProducing()
        self._moveSoon()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming, "only push producers are used here"
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None
        self._isFull = False

    def _moveSoon(self) -> None:
        if not self._isMoving:
            self._isMoving = True
            self._clock.callLater(0, self._move)

    def _move(self) -> None:
        """
        Let the other end read something, if it reads.
        """
        self._isMoving = False
        other = self._other
        if other._isLost or not other._isReading:
            return
        if self._unread:
            self._count()
            data = bytes(self._unread[:_READ])
            del self._unread[:_READ]
            other._protocol.dataReceived(data)
        if self._unread or self._isFull:
            self._goOn()
        elif self._isEnding:
            # The protocols of both sides end TCP when their peer does.
            other._lose(ConnectionDone())

    def _goOn(self) -> None:
        if not self._unread:
            self._isFull = False
            self._producer.resumeProducing()
        self._moveSoon()

    def _count(self) -> None:
        now = self._clock.seconds()
        if now != self._instant:
            self._instant, self._reads = now, 0
        self._reads += 1
        if self._reads > _ENDLESS:
            raise RuntimeError("the two sides answer each other endlessly")

    # Reading

    def pauseProducing(self) -> None:
        self._isReading = False

    def resumeProducing(self) -> None:
        self._isReading = True
        self._other._moveSoon()

    def stopProducing(self) -> None:
        self.loseConnection()

    # The end

    def loseConnection(self) -> None:
        self._isEnding = self.disconnecting = True
        self._moveSoon()
        if len(self._unread) <= _READ:
            # As many bytes as the system would take from a socket that is closed.
            self._clock.callLater(0, self._lose, ConnectionDone())

    def loseWriteConnection(self) -> None:
        self._isEnding = True
        self._moveSoon()

    def abortConnection(self) -> None:
        self._unread.clear()
        self._clock.callLater(0, self._lose, ConnectionAborted())
        self._clock.callLater(0, self._other._lose, ConnectionLost())

    def _lose(self, reason: Exception) -> None:
        if self._isLost:
            return
        self._isLost = self._isEnding = True
        producer, self._producer = self._producer, None
        self._isFull = False
        if producer is not None:
            producer.stopProducing()
        self._protocol.connectionLost(Failure(reason))
        self._moveSoon()

    def readConnectionLost(self, reason: Failure) -> None:
        """Neither side goes on writing after the other ended."""

    writeConnectionLost = readConnectionLost

    # What it is

    def getHost(self) -> Any:
        return self._host

    def getPeer(self) -> Any:
        return self._peer

    def getPeerCertificate(self) -> None:
        """There is no certificate."""

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It makes no difference here."""

    def getTcpKeepAlive(self) -> bool:
        return True

    setTcpKeepAlive = setTcpNoDelay
