"""
What a connection sends: its one writer, and what becomes of a peer that does not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport, ISystemHandle
from zope.interface import implementer

from txhixie.dialects.connection import State
from txhixie.server.opening import Opening
from txhixie.websocket.pacing import FIRST

if TYPE_CHECKING:
    from socket import socket

_OPEN = State.OPEN


@implementer(IPushProducer)
class Sending(Opening):
    """
    A connection as far as it sends.

    The backlog is what was sent and is not known to have gone to the system. It waits here and not
    in the transport, so that it can be counted and given up.

    @ivar bytesSent: bytes written since the request head, the handshake's answer included.
    @ivar messagesSent: messages sent or waiting to be.
    """

    bytesSent = 0
    messagesSent = 0

    # The application's producer; whether we are the transport's; and whether what is to be sent
    # has to wait, because the transport still holds what was written before.
    _producer: IPushProducer | None = None
    _isProducer = False
    _blocked = False
    # The socket, where nothing is between us and it that would have to see what is sent.
    _socket: socket | None = None
    # There are bytes to send, and the factory knows.
    _unsent = False
    _backlog = 0
    _sendLimit = 0
    # Whether the peer is slow, and whether that is about to be looked into. What it did not get:
    # how many messages, and the newest, if that is still to be sent.
    _isSlow = False
    _isSuspected = False
    _missed = 0
    _newest: str | bytes | None = None
    # A close was sent or is going to be: nothing more is told to the application, or sent by it.
    _closing = False

    def connectionMade(self) -> None:
        transport = self.transport
        if (
            isinstance(transport, FileDescriptor)
            and ISystemHandle.providedBy(transport)
            and not ISSLTransport.providedBy(transport)
        ):
            self._socket = cast("socket", transport.getHandle())
            transport.bufferSize = FIRST
        self._sendLimit = self.factory.settings.sendLimit
        # Looked at for every message: what an instance has is found faster than what its class has.
        self.paused = self._ending = self._lost = self._blocked = self._closing = False
        super().connectionMade()

    # Twisted's WebSocketTransport, in part

    def sendTextMessage(self, text: str) -> None:
        """
        Send a text message. Before the handshake is complete it waits its turn; once the
        connection closes nothing happens. What happens if the peer does not read is for
        L{Settings.slowPolicy} to say.

        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if C{text} has lone surrogates; nothing is sent then.
        """
        connection = self._connection
        if connection is None or (self._backlog > self._sendLimit and not self._hasRoom(text)):
            return
        size = connection.sendText(text)
        if size:
            self.messagesSent += 1
            self._backlog += size
            if not self._unsent:
                self._unsent = True
                self.factory.flushSoon(self)

    def sendTextMessages(self, texts: tuple[str, ...]) -> None:
        """
        Send several text messages in one go, like so many calls of L{sendTextMessage}. Given the
        same tuple, all connections of a dialect share the frames: for those who tell many peers
        much at once.
        """
        connection = self._connection
        if connection is None:
            return
        if self._backlog > self._sendLimit:
            for text in texts:
                self.sendTextMessage(text)
            return
        size = connection.sendTexts(texts)
        if size:
            self.messagesSent += len(texts)
            self._backlog += size
            self._flushSoon()

    def sendBytesMessage(self, data: bytes) -> None:
        """
        Send a bytes message, like L{sendTextMessage}.

        @raise txhixie.UnsupportedMessage: in dialects that have none (Hixie-75, Hixie-76).
        """
        connection = self._connection
        if connection is None or (self._backlog > self._sendLimit and not self._hasRoom(data)):
            return
        size = connection.sendBytes(data)
        if size:
            self.messagesSent += 1
            self._backlog += size
            self._flushSoon()

    def ping(self, payload: bytes = b"") -> None:
        """
        Send a ping; nothing happens in dialects that have none (Hixie-75, Hixie-76).

        @raise ValueError: if C{payload} has more than 125 bytes (RFC 6455 section 5.5).
        """
        if self._connection is not None:
            self._connection.sendPing(payload)
            self._flushSoon()

    def attachProducer(self, producer: IPushProducer) -> None:
        """
        Have C{producer} paused before the handshake is complete, and whenever the peer does not
        read what it is sent.

        @raise RuntimeError: if one is attached already.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is attached already")
        self._producer = producer
        if self._blocked or self.state is State.CONNECTING:
            producer.pauseProducing()

    def detachProducer(self) -> None:
        """
        Forget the attached producer.
        """
        self._producer = None

    # A peer that does not read

    def _hasRoom(self, message: str | bytes) -> bool:
        """
        See what to do with a message when the backlog is over the limit.

        @return: whether it is to be sent all the same: for the backlog only waited for the end of
            what is being received, or because the peer had no chance yet to read it.
        """
        assert self._connection is not None
        if self._closing:
            return True
        if self.state is State.CONNECTING:
            self._closeSlow()
            return False
        if not self._blocked:
            self.flush()
        if not self._isSlow:
            if self._backlog > self._sendLimit and not self._isSuspected:
                self._isSuspected = True
                self.factory.afterNextTurn(self._judge)
            return True
        self._connection.checkMessage(message)
        isLatest = self.factory.settings.slowPolicy == "latest"
        if not isLatest or self._newest is not None:
            self._missed += 1
            self.factory.count("messages dropped")
        if isLatest:
            self._newest = message
        return False

    def _judge(self) -> None:
        """
        Decide whether the peer is slow, after the transport could write what it was given.
        """
        self._isSuspected = False
        if self._closing or not self._blocked or self._backlog <= self._sendLimit:
            return
        self._isSlow = True
        if self.factory.settings.slowPolicy == "close":
            self._closeSlow()

    def _catchUp(self) -> None:
        """
        Go on with a peer that reads again.
        """
        missed, self._missed = self._missed, 0
        self._sendNewest()
        if missed:
            self._tellMissed(missed)

    def _sendNewest(self) -> None:
        """
        Send the message that was kept for a slow peer, if there is one.
        """
        newest, self._newest = self._newest, None
        self._isSlow = False
        if isinstance(newest, str):
            self.sendTextMessage(newest)
        elif newest is not None:
            self.sendBytesMessage(newest)

    def _closeSlow(self) -> None:
        """
        Close a connection whose peer does not read.
        """
        raise NotImplementedError

    def _tellMissed(self, count: int) -> None:
        """
        Tell the application how many messages its peer has not been sent.
        """
        raise NotImplementedError

    # Both directions wait for a peer that does not read

    def pauseProducing(self) -> None:
        """
        Keep back what is to be sent, stop reading, and pause the attached producer: the peer has
        to read first.
        """
        if self._ending:
            return
        self._blocked = True
        if not self._closing:
            super().pauseProducing()
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on after L{pauseProducing}: all that was written is out.
        """
        if not self._blocked:
            return
        self._blocked = False
        self.flush()
        if self._isSlow and self._backlog <= self._sendLimit:
            self._catchUp()
        if self._blocked or self._ending:
            return
        if self._socket is not None and self._isProducer:
            self._isProducer = False
            IConsumer(self.transport).unregisterProducer()
        if self._producer is not None:
            self._producer.resumeProducing()
        self._readOn()

    def _readOn(self) -> None:
        if self.paused:
            super().resumeProducing()

    def stopProducing(self) -> None:
        """
        Stop the attached producer: nobody will read what it makes.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    # Writing

    def _flushSoon(self) -> None:
        """
        Write what is to be sent: at once, or when all that is being read has been dealt with.
        """
        if not self._unsent:
            self._unsent = True
            self.factory.flushSoon(self)

    def flush(self) -> None:
        """
        Write what is to be sent. This is the one place that writes to an upgraded connection.
        """
        self._unsent = False
        connection = self._connection
        if self._blocked or connection is None or self._ending or self._lost:
            return
        data = connection.dataToSend()
        if data:
            size = len(data)
            self.bytesSent += size
            self._backlog = 0
            if self._socket is not None:
                # Its transport holds nothing back. To write at once saves the way through the
                # reactor, which costs more than all the rest of a small message.
                try:
                    written = self._socket.send(data)
                except OSError:
                    written = 0
                if written != size:
                    self._writeLater(data[written:])
            else:
                self.transport.write(data)
                if self._blocked:
                    self._backlog += len(data)
        elif connection.state is not State.CONNECTING:
            self._backlog = 0
        if connection.state is not _OPEN and connection.finished:
            self._end()

    def _writeLater(self, rest: bytes) -> None:
        """
        Write what the socket did not take, the ordinary way. So a failure takes it, too, which then
        comes as connectionLost.
        """
        self._backlog = len(rest)
        # As a pull producer we are asked for more as soon as the transport has written all; it
        # asks at once, too, when there is nothing to go on with yet.
        if not self._isProducer:
            self._isProducer = True
            IConsumer(self.transport).registerProducer(self, False)
        self.transport.write(rest)
        self.pauseProducing()

    def _writeRest(self) -> None:
        """
        Write what waited for the peer to read: TCP is going to end behind it.
        """
        if self._isProducer:
            self._isProducer = False
            IConsumer(self.transport).unregisterProducer()
        if self._blocked and self._connection is not None:
            rest = self._connection.dataToSend()
            if rest:
                self.bytesSent += len(rest)
                self.transport.write(rest)

    def _end(self) -> None:
        raise NotImplementedError

    @property
    def state(self) -> State:
        """
        How far the connection is.
        """
        if self._lost:
            return State.CLOSED
        return State.CONNECTING if self._connection is None else self._connection.state
