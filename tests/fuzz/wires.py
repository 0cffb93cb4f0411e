"""
The transports of conversations: the server's end of a connection, and the peer's control of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from socket import SHUT_WR
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISystemHandle, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.loopback import TCPWire, TLSWire, Wire

_ADDRESS = IPv4Address("TCP", "192.168.1.1", 54321)


class Reactor(Clock):
    """
    A clock, and the part of a reactor that a L{Socket} wants.
    """

    def __init__(self) -> None:
        super().__init__()
        readers: set[object] = set()
        writers: set[object] = set()
        self.readers, self.writers = readers, writers
        self.addReader, self.removeReader = readers.add, readers.discard
        self.addWriter, self.removeWriter = writers.add, writers.discard


class Peer(Protocol):
    """
    The peer of a connection.
    """

    @property
    def lost(self) -> bool:
        """
        Whether the connection is over.
        """

    @property
    def output(self) -> bytes:
        """
        Everything that was written and the peer took.
        """

    def send(self, data: bytes) -> None:
        """
        Send a segment; it waits if the server does not read.
        """

    def stall(self) -> None:
        """
        Stop reading.
        """

    def read(self, amount: float) -> None:
        """
        Read C{amount} bytes, if they can be counted, or from now on everything if it is 0.
        """

    def settle(self) -> None:
        """
        Make the calls that are due now.
        """

    def lose(self, reason: Exception) -> None:
        """
        End TCP.
        """


class WirePeer:
    """
    The peer of a L{Wire}, which pushes back by pausing its producer.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.send = wire.send
        self.lose = wire.lose

    @property
    def lost(self) -> bool:
        return self._wire.lost

    @property
    def output(self) -> bytes:
        return bytes(self._wire.value())

    def stall(self) -> None:
        wire = self._wire
        wire.stuck = True
        if wire.producer is not None and not wire.disconnecting:
            wire.producer.pauseProducing()

    def read(self, amount: float) -> None:
        wire = self._wire
        if wire.stuck and wire.disconnecting:
            wire.clock.callLater(0, wire.lose)
        wire.stuck = False
        if wire.producer is not None and not wire.disconnecting:
            wire.producer.resumeProducing()

    def settle(self) -> None:
        self._wire.clock.advance(0)


class RecordWire(TLSWire):
    """
    TLS as Twisted does it: all records of one read are delivered, also those after a pause, and
    those after the end; what is written then is dropped. A peer that does not read is noticed only
    when something is written to it.

    @ivar isPaused: whether the producer is paused.
    """

    isPaused = False
    _aborted = False

    def __init__(self, protocol: Any, clock: Reactor) -> None:
        # This differs between reads, so that frames end in the middle of records, or with them.
        self._sizes = cycle((40, 1, 7, 100, 20, 3, 16_384))
        super().__init__(protocol, clock)

    def write(self, data: bytes) -> None:
        if self.disconnecting:
            return
        super().write(data)
        if self.stuck and self.producer is not None and not self.isPaused:
            self.isPaused = True
            self.producer.pauseProducing()

    def unregisterProducer(self) -> None:
        # TLS does not need one.
        if self.producer is not None:
            super().unregisterProducer()

    def abortConnection(self) -> None:
        self._aborted = True
        super().abortConnection()

    def _arrive(self) -> None:
        if not self._unread or self.producerState != "producing" or self.disconnecting:
            return
        data, self._unread = self._unread, b""
        while data and not self._aborted:
            size = next(self._sizes)
            self.protocol.dataReceived(data[:size])
            data = data[size:]


class RecordPeer(WirePeer):
    """
    The peer of a L{RecordWire}.
    """

    def __init__(self, wire: RecordWire) -> None:
        super().__init__(wire)
        self._records = wire

    def stall(self) -> None:
        self._records.stuck = True

    def read(self, amount: float) -> None:
        wire = self._records
        wire.isPaused = False
        super().read(amount)


@implementer(ISystemHandle, ITCPTransport, IHalfCloseableDescriptor)
class Socket(FileDescriptor):
    """
    A transport as Twisted's own, and its socket, which takes as much as there is C{room}.
    """

    def __init__(self, protocol: Any, reactor: Reactor) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self.clock = reactor
        self.connected = 1
        self.protocol = protocol
        self.room = float("inf")
        self.lost = False
        self.taken = bytearray()
        self._ended = False
        protocol.makeConnection(self)
        self.startReading()

    def send(self, data: bytes) -> int:
        """
        Take what the server writes directly.
        """
        assert data, "an empty write"
        taken = self.writeSomeData(data)
        assert isinstance(taken, int), "a direct write after the end"
        if not taken:
            raise BlockingIOError
        return taken

    def shutdown(self, how: int) -> None:
        """
        End the stream directly.
        """
        assert how == SHUT_WR
        pending = self.dataBuffer or self._tempDataBuffer
        assert not pending, "an end before what is written"
        self._ended = True

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        if self._ended:
            # Twisted writes nothing at all to end a connection.
            assert not data, "a write after the end"
            return ConnectionLost()
        size = int(min(self.room, len(data)))
        self.room -= size
        self.taken += data[:size]
        return size

    def getHandle(self) -> Socket:
        return self

    def getPeer(self) -> IPv4Address:
        return _ADDRESS

    getHost = getPeer

    def getTcpNoDelay(self) -> bool:
        return False

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It has no effect here."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """It has no effect either."""

    def setsockopt(self, *option: int) -> None:
        """It has no effect either."""

    def _closeWriteConnection(self) -> None:
        self._ended = True

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer ends both directions at once."""

    def abortConnection(self) -> None:
        self.clock.callLater(0, self.lose, ConnectionAborted())

    @property
    def isWriting(self) -> bool:
        """
        Whether there is something to do within the room.
        """
        pending = self.dataBuffer or self._tempDataBuffer
        return self in self.clock.writers and bool(self.room or not pending)

    def lose(self, reason: Exception) -> None:
        """
        End it, as reactors do: once.
        """
        if not self.lost:
            self.lost = True
            failure = Failure(reason)
            self.connectionLost(failure)
            self.protocol.connectionLost(failure)


class SocketPeer:
    """
    The peer of a L{Socket}.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._unread = b""
        self.lose = socket.lose

    @property
    def lost(self) -> bool:
        return self._socket.lost

    @property
    def output(self) -> bytes:
        return bytes(self._socket.taken)

    def send(self, data: bytes) -> None:
        self._unread += data
        self.settle()

    def stall(self) -> None:
        self._socket.room = 0

    def read(self, amount: float) -> None:
        self._socket.room = self._socket.room + amount if amount else float("inf")

    def settle(self) -> None:
        socket = self._socket
        reactor = socket.clock
        reactor.advance(0)
        while not socket.lost:
            if socket.isWriting:
                why = socket.doWrite()
                if why is not None:
                    socket.lose(why)
            elif self._unread and socket in reactor.readers:
                data, self._unread = self._unread, b""
                socket.protocol.dataReceived(data)
            else:
                break
            reactor.advance(0)


def _wirePeer(kind: type[Wire]) -> Callable[[Any, Reactor], Peer]:
    return lambda protocol, reactor: WirePeer(kind(protocol, reactor))


# Makes a connection, and returns its peer: a socket that is written to directly, a TCP transport
# of another kind, TLS, TLS that delivers records, and one without half-closing.
KINDS: dict[str, Callable[[Any, Reactor], Peer]] = {
    "socket": lambda protocol, reactor: SocketPeer(Socket(protocol, reactor)),
    "tcp": _wirePeer(TCPWire),
    "tls": _wirePeer(TLSWire),
    "records": lambda protocol, reactor: RecordPeer(RecordWire(protocol, reactor)),
    "pipe": _wirePeer(Wire),
}
# Those of them that are TLS.
SECURE = frozenset(("tls", "records"))
