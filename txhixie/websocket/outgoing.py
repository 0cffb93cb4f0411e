"""
What a connection sends. Nothing else writes to its transport.
"""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_WR
from typing import Any, Protocol, cast

from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IPushProducer,
    ISSLTransport,
)
from zope.interface import implementer

from txhixie.dialects.connection import Connection, State
from txhixie.websocket.transports import ownSocket
from txhixie.websocket.turn import Turn

_OPEN = State.OPEN

# The reasons why nothing may be written.
_HELD, _FULL, _OVER = 1, 2, 4


class Owner(Protocol):
    """
    The connection that an L{Outgoing} belongs to.
    """

    def outgoingBlocked(self) -> None:
        """
        The transport is full, because the peer does not read.
        """

    def backlogChanged(self) -> None:
        """
        More data is waiting to be written than before.
        """

    def outgoingResumed(self) -> None:
        """
        The transport has taken everything that it was given. It may be full again.
        """

    def outgoingFinished(self) -> None:
        """
        The closing handshake is over, and everything has been written.
        """


@implementer(IPushProducer)
class Outgoing:
    """
    The only writer of a connection, and its transport's producer.

    Frames wait in the connection and not in the transport, so that they can be counted and dropped.

    @ivar backlog: bytes that were sent, but that the kernel may not have accepted yet.
    @ivar bytesSent: bytes written so far, the answer to the opening handshake included.
    @ivar isUnsent: whether a flush is due at the end of the turn.
    """

    __slots__ = (
        "_connection",
        "_given",
        "_handshake",
        "_isBehind",
        "_isProducer",
        "_owner",
        "_socket",
        "_transport",
        "_turn",
        "_waitsFor",
        "_writer",
        "backlog",
        "bytesSent",
        "isUnsent",
    )

    def __init__(
        self,
        transport: Any,
        connection: Connection,
        turn: Turn,
        owner: Owner,
        isBehind: bool = False,
    ) -> None:
        """
        @param isBehind: whether the transport may still hold what was written before: an answer to
            an earlier request, or a client's request.
        """
        self._transport = transport
        self._connection = connection
        self._turn = turn
        self._owner = owner
        self._socket = ownSocket(transport)
        self._isBehind = isBehind and self._socket is not None
        # Where data is written if there is no socket.
        self._writer: Any = None
        if self._socket is None:
            self._writer = _writerTo(transport, isBehind)
        self._isProducer = False
        # Messages are held until the opening handshake is complete.
        self._waitsFor = _HELD
        self._handshake = b""
        # Bytes that the transport was given and has not taken. It is not known how many of them the
        # kernel has accepted, so they do not count as backlog. Otherwise a peer that reads would
        # count as slow because of one large message.
        self._given = 0
        self.isUnsent = False
        self.backlog = 0
        self.bytesSent = 0

    # The opening handshake

    def writeHandshake(self, data: bytes) -> None:
        """
        Write a part of the answer to the opening handshake. Messages are held meanwhile.
        """
        self._handshake += data
        self.flushSoon()

    def release(self) -> None:
        """
        Start to write messages: the opening handshake is complete.
        """
        if self._isBehind:
            self._flushHandshake()
        self._connection.sendFirst(self._handshake)
        self._handshake = b""
        self._waitsFor &= ~_HELD
        if self._isBehind:
            self._isBehind = False
            self._writeLater(b"")
        elif self._socket is None and not self._waitsFor:
            self._isProducer = True
            IConsumer(self._transport).registerProducer(self, True)
        self.flushSoon()

    @property
    def isHeld(self) -> bool:
        """
        Whether the opening handshake is not complete.
        """
        return bool(self._waitsFor & _HELD)

    @property
    def isBlocked(self) -> bool:
        """
        Whether the transport is full.
        """
        return bool(self._waitsFor & _FULL)

    @property
    def held(self) -> int:
        """
        Bytes that wait in the connection, and those that may still wait in its transport.
        """
        return self.backlog + self._given

    @property
    def isReady(self) -> bool:
        """
        Whether messages are written at once.
        """
        return not self._waitsFor

    # Writing

    def flushSoon(self) -> None:
        """
        Write what was sent: now, or at the end of the current turn.
        """
        if not self.isUnsent:
            self.isUnsent = True
            self._turn.flushSoon(self)

    def flush(self) -> None:
        """
        Write what was sent. Nothing else writes to an upgraded connection.
        """
        self.isUnsent = False
        if self._waitsFor:
            self._flushHandshake()
            if self.backlog or self.isBlocked:
                self._owner.backlogChanged()
            return
        connection = self._connection
        data = connection.dataToSend()
        self.backlog = 0
        if data:
            self._write(data)
        if connection.state is not _OPEN and connection.finished:
            self._owner.outgoingFinished()

    def _flushHandshake(self) -> None:
        if self._handshake and self._waitsFor == _HELD:
            data, self._handshake = self._handshake, b""
            if self._isBehind:
                # The bytes in the transport go first. It tells us when it has written everything.
                self._isBehind = False
                self.bytesSent += len(data)
                self._writeLater(data)
            else:
                self._write(data)

    def _write(self, data: bytes) -> None:
        size = len(data)
        self.bytesSent += size
        if self._socket is None:
            self._writer.write(data)
            if self._waitsFor:
                self._given = size
                self._owner.backlogChanged()
            return
        # The transport holds nothing back. Writing at once avoids the detour through the reactor,
        # which costs more than the rest of a small message.
        try:
            written = self._socket.send(data)
        except OSError:
            # The transport will get the same error, and ends the connection.
            written = 0
        if written != size:
            self._writeLater(data[written:])

    def _writeLater(self, rest: bytes) -> None:
        """
        Give the transport what the socket did not take. We are the transport's pull producer, so it
        asks for more as soon as it has written everything. It also asks once at the start, when
        there is nothing.
        """
        self.backlog += len(rest)
        if not self._isProducer:
            self._isProducer = True
            IConsumer(self._transport).registerProducer(self, False)
        self._transport.write(rest)
        self.pauseProducing()

    def giveUp(self) -> None:
        """
        Drop what was sent and not written.
        """
        self.backlog = max(0, self.backlog - self._connection.dropUnsent())

    # The transport's producer

    def pauseProducing(self) -> None:
        """
        Stop writing: the transport is full.
        """
        if not self._waitsFor & (_FULL | _OVER):
            self._waitsFor |= _FULL
            self._owner.outgoingBlocked()

    def resumeProducing(self) -> None:
        """
        Go on after L{pauseProducing}: the transport has written everything.
        """
        if not self._waitsFor & _FULL or self._waitsFor & _OVER:
            return
        self._waitsFor &= ~_FULL
        self._given = 0
        self.flush()
        if self._socket is not None and not self.isBlocked:
            self._stopBeingProducer()
        self._owner.outgoingResumed()

    def stopProducing(self) -> None:
        """
        Stop writing: the connection is gone.
        """
        self._waitsFor |= _OVER
        self.backlog = self._given = 0

    def lost(self) -> None:
        """
        Drop the reference to the transport: the connection is gone.
        """
        self.stopProducing()
        # Some transports are kept alive for longer than they are needed, with everything they refer
        # to.
        self._stopBeingProducer()

    def _stopBeingProducer(self) -> None:
        if self._isProducer:
            self._isProducer = False
            IConsumer(self._transport).unregisterProducer()

    # The end

    def end(self) -> bool:
        """
        Write what waited for the peer to read, and end our direction of TCP.

        @return: whether only our direction ended, where one can end without the other.
        """
        isBlocked = self._waitsFor == _FULL
        self._waitsFor |= _OVER
        if self._socket is not None and not self._isProducer:
            # The transport holds nothing back here either.
            with suppress(OSError):
                self._socket.shutdown(SHUT_WR)
            return True
        self._stopBeingProducer()
        rest = self._connection.dataToSend() if isBlocked else b""
        if rest:
            self.bytesSent += len(rest)
            self._transport.write(rest)
        return endWriting(self._transport)


def endWriting(transport: Any) -> bool:
    """
    End our direction of TCP after everything that was written.

    @return: whether only our direction ended. TLS and some other transports cannot do that; then
        nothing is done.
    """
    if ISSLTransport.providedBy(transport):
        return False
    if not IHalfCloseableDescriptor.providedBy(transport):
        return False
    cast(Any, transport).loseWriteConnection()
    return True


def _writerTo(transport: Any, isBehind: bool) -> Any:
    """
    Return what writes to a transport without a socket of ours.
    """
    if isBehind or not ISSLTransport.providedBy(transport):
        return transport
    try:
        from txhixie.websocket.secure import secureWriter
    except ImportError:
        return transport
    return secureWriter(transport) or transport
