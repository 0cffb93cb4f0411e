"""
How a connection ends: the closing handshake, TCP, and peers that do not do their part.
"""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_WR

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport
from twisted.python.failure import Failure

from txhixie.dialects.connection import CloseCode, Closed, Connection, Failed, mayBeSent
from txhixie.server.sending import Sending


class WebSocketDone(ConnectionDone):
    """
    A connection ended as its dialect says it should.

    @ivar code: the close code; L{CloseCode.NO_STATUS} in dialects without one.
    @ivar reason: the reason the closing side gave.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class WebSocketLost(ConnectionLost):
    """
    A connection ended in any other way.

    @ivar code: the close code that names the fault; L{CloseCode.ABNORMAL} where TCP just ended.
    @ivar reason: the fault in words, where it is known.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Ending(Sending):
    """
    A connection as far as it ends.

    @ivar id: a short opaque string, unique and never reused; empty before the handshake.
    @ivar bytesReceived: bytes read since the request head.
    @ivar messagesReceived: messages delivered to the application.
    """

    id = ""
    bytesReceived = 0
    messagesReceived = 0

    # How the connection ends: what the peer said, or what is wrong.
    _farewell: Closed | Failed | None = None
    # What had been received when the last keepalive ping went out.
    _receivedAtPing = -1
    # How many messages there had been when the time without any began.
    _messagesSeen = 0

    # The closing handshake

    def loseConnection(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Close with the dialect's closing handshake, after all that was sent.

        @param code: the close code, in dialects that have them.
        @param reason: the reason, likewise; what exceeds 123 bytes of UTF-8 is cut off.
        @raise ValueError: if C{code} is not one that may be sent (RFC 6455 section 7.4).
        """
        if not mayBeSent(code):
            raise ValueError(f"{code} is not a close code that may be sent")
        if self._closing or self._connection is None:
            return
        self.factory.catchUp()
        self._sendNewest()
        self._closing = True
        self._connection.sendClose(code, reason)
        self.factory.closing.start(self)
        self._readOn()
        self._flushSoon()

    def _sayFarewell(self, farewell: Closed | Failed) -> None:
        """
        Answer the peer's close, or say what is wrong, as the last thing that is sent.
        """
        assert self._connection is not None
        self.factory.catchUp()
        self._farewell = farewell
        self._closing = True
        self._connection.sendClose(farewell.code, farewell.reason)

    def _closeSlow(self) -> None:
        assert self._connection is not None
        self.factory.count("slow closed")
        self.factory.log.info("{id} does not read what it is sent", id=self.id)
        # The backlog is given up, but for what the transport has.
        self._connection.dataToSend()
        self._sayFarewell(Failed(CloseCode.POLICY, "what was sent is not read"))
        self.factory.closing.start(self)
        self._readOn()
        self._flushSoon()

    # The end of TCP

    def _end(self) -> None:
        """
        End TCP in good order: all that was written goes out, then the end of the stream. What
        the peer still sends is read and dropped, for closing on unread bytes is a reset, which
        would take back what the peer has not read yet.
        """
        if self._ending:
            return
        self._ending = True
        # A request head that is still to come means nothing any more.
        self.setRawMode()
        self.factory.handshaking.cancel(self)
        self.factory.closing.cancel(self)
        self._readOn()
        if self._endWriting():
            self.factory.closing.start(self)
        else:
            self._letGo()

    def _endWriting(self) -> bool:
        """
        End the stream that we send, where one direction can end without the other.
        """
        if self._socket is not None and self._connection is not None and not self._isProducer:
            # The transport holds nothing back: the way through the reactor can be saved here, too.
            with suppress(OSError):
                self._socket.shutdown(SHUT_WR)
            return True
        self._writeRest()
        if ISSLTransport.providedBy(self.transport):
            return False
        if not IHalfCloseableDescriptor.providedBy(self.transport):
            return False
        self.transport.loseWriteConnection()
        return True

    def _letGo(self) -> None:
        self.factory.closing.cancel(self)
        # It may be over within the call.
        self.factory.lingering.start(self)
        self.transport.loseConnection()

    def closeTimedOut(self) -> None:
        """
        Take the next step towards the end with a peer that does not do its part.
        """
        if self._blocked and isinstance(self._farewell, Failed):
            self._countLateClose()
            self.abort()
            return
        if not self._ending:
            self._countLateClose()
            self._end()
            if not self.factory.admission.isClosed:
                return
        self._letGo()

    def lingerTimedOut(self) -> None:
        """
        Drop a peer that does not read what was sent before the close.
        """
        self._countLateClose()
        self.abort()

    def _countLateClose(self) -> None:
        self.factory.count("closing timed out")
        self.factory.log.debug("{peer} did not close in time", peer=self._peerName())

    def keepAlive(self) -> None:
        """
        Ping a peer, or send it the heartbeat, and see whether it sends anything in time.
        """
        if self._closing or self._connection is None:
            return
        self._receivedAtPing = self.bytesReceived
        if self._connection.hasPing:
            self.ping()
        elif self.factory.settings.heartbeat is not None:
            # Not one of the application's messages.
            self._connection.sendText(self.factory.settings.heartbeat)
            self._flushSoon()
        self.factory.unanswered.start(self)

    def pingTimedOut(self) -> None:
        """
        Drop a peer that has not sent a byte since it was pinged. One that is not read from, as
        it does not read either, is not blamed.
        """
        if self._closing:
            return
        if self.bytesReceived != self._receivedAtPing or self.paused:
            self.factory.quiet.start(self)
            return
        self.factory.count("pings unanswered")
        self._farewell = Failed(CloseCode.ABNORMAL, "no answer to a ping")
        self.factory.log.info("{id} does not answer a ping", id=self.id)
        self.abort()

    def idleTimedOut(self) -> None:
        """
        Close a connection on which nothing was said since this was called last.
        """
        if self._closing:
            return
        messages = self.messagesReceived + self.messagesSent
        if messages != self._messagesSeen:
            self._messagesSeen = messages
            self.factory.idle.start(self)
        else:
            self.factory.count("idle closed")
            self.factory.log.info("{id} is closed because nothing was said", id=self.id)
            self.loseConnection(CloseCode.GOING_AWAY, "nothing was said for too long")

    def abort(self) -> None:
        """
        End the connection now.
        """
        self.transport.abortConnection()

    def _howItEnded(self, connection: Connection, reason: Failure) -> WebSocketDone | WebSocketLost:
        farewell = self._farewell
        clean = connection.clean and (connection.finished or reason.check(ConnectionDone))
        if clean and not isinstance(farewell, Failed):
            if farewell is None:
                return WebSocketDone(CloseCode.NO_STATUS)
            return WebSocketDone(farewell.code, farewell.reason)
        if farewell is None:
            return WebSocketLost(CloseCode.ABNORMAL, str(reason.value).rstrip("."))
        return WebSocketLost(farewell.code, farewell.reason)
