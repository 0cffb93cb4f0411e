"""
The protocol of one connection: what it is to its application, and how it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.admission import comeAgain
from txhixie.connection import (
    CloseCode,
    Closed,
    Connection,
    Discarded,
    Event,
    Failed,
    Opened,
    Pong,
    mayBeSent,
)
from txhixie.keepalive import watchPeer
from txhixie.ratelimit import printable
from txhixie.sending import Sending

if TYPE_CHECKING:
    from twisted.web.websocket import WebSocketProtocol

    from txhixie.web import UpgradeRequest


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


class HixieProtocol(Sending):
    """
    One connection. To its application it is Twisted's C{WebSocketTransport}.

    @ivar id: a short opaque string, unique and never reused; empty before the handshake.
    @ivar bytesReceived: bytes read since the request head.
    @ivar bytesSent: bytes written since then, the handshake's answer included.
    @ivar messagesReceived: messages delivered to the application.
    @ivar messagesSent: messages sent or waiting to be.
    """

    id = ""
    bytesReceived = 0
    messagesReceived = 0

    _log = Logger()

    _application: WebSocketProtocol | None = None
    # The opening handshake is complete.
    _open = False
    # How the connection ends: what the peer said, that we said so, that TCP is ending, is over.
    _farewell: Closed | Failed | None = None
    # What had been received when the last keepalive ping went out.
    _receivedAtPing = -1
    # How many messages there had been when the time without any began.
    _messagesSeen = 0

    # What the connection is, for applications and logs

    @property
    def dialect(self) -> str:
        """
        The name of the dialect; empty before it is known.
        """
        return "" if self._connection is None else self._connection.dialect

    @property
    def hasPing(self) -> bool:
        """
        Whether the dialect has pings.
        """
        return self._connection is not None and self._connection.hasPing

    @property
    def subprotocol(self) -> str | None:
        """
        The subprotocol agreed on, or C{None}.
        """
        return None if self._connection is None else self._connection.subprotocol

    # Twisted's WebSocketTransport

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

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call something when all that is being received has been dealt with, before what is sent
        meanwhile is written; at once, if nothing is being received.
        """
        self.factory.whenReceived(call)

    # The open connection

    def connectionMade(self) -> None:
        super().connectionMade()
        self.factory.connected(self)

    def _answer(self, application: WebSocketProtocol, request: UpgradeRequest) -> None:
        assert self._connection is not None
        self._application = application
        self.id = self.factory.newId()
        self._call(application.negotiationStarted, self)
        cookies = [(b"Set-Cookie", cookie) for cookie in request.answerCookies]
        self._deliver(self._connection.accept(cookies))
        self._readOn()

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes from the transport, as L{Opening} does, but with a shorter way for what comes
        most: bytes of an open connection that is being read. LineReceiver holds nothing back
        then, and every step less shows in what a small message costs.
        """
        factory, connection = self.factory, self._connection
        if not self._open or self._ending or self.paused or factory.gathering:
            super().dataReceived(data)
            return
        assert connection is not None
        factory.gathering = True
        try:
            self.bytesReceived += len(data)
            self._deliver(connection.receiveData(data))
        finally:
            factory.flushGathered()

    def rawDataReceived(self, data: bytes) -> None:
        """
        Take what follows the request head.
        """
        if self._ending:
            return
        if self._connection is not None:
            self.bytesReceived += len(data)
            self._deliver(self._connection.receiveData(data))
        elif self._http is not None:
            self._http.dataReceived(data)

    def _deliver(self, events: Iterable[Event]) -> None:
        """
        Tell the application what happened. An error it makes ends this connection only.
        """
        remaining = iter(events)
        try:
            self._tell(remaining)
        except Exception:
            self._applicationFailed(Failure())
            # How the connection ends may still be among them; it is told no more messages.
            self._tell(remaining)
        # The dialect may have something to say of its own.
        if not self._unsent:
            self._flushSoon()

    def _tell(self, events: Iterator[Event]) -> None:
        application = self._application
        assert application is not None
        for event in events:
            if type(event) is str:
                if not self._closing:
                    self.messagesReceived += 1
                    application.textMessageReceived(event)
            elif type(event) is bytes:
                if not self._closing:
                    self.messagesReceived += 1
                    application.bytesMessageReceived(event)
            else:
                self._happened(event, application)

    def _happened(self, event: Event, application: WebSocketProtocol) -> None:
        match event:
            case Opened():
                self._open = True
                self.factory.opened(self)
                if self._socket is None:
                    self._isProducer = True
                    IConsumer(self.transport).registerProducer(self, True)
                if self.factory.settings.logConnections:
                    self._log.info(
                        "{id} opened: {dialect} {target} from {peer}",
                        id=self.id,
                        dialect=self.dialect,
                        target=printable(self.requestHead.split(b" ", 2)[1]),
                        peer=self._peerName(),
                    )
                watchPeer(self.transport, self.hasPing, self.factory.settings)
                if self._producer is not None and not self._blocked:
                    self._producer.resumeProducing()
                application.negotiationFinished()
            case Pong(payload) if not self._closing:
                application.pongReceived(payload)
            case Discarded(frameType):
                self.factory.log.debug(
                    "{id} sends frames that are discarded, of type 0x{type:02x}",
                    id=self.id,
                    type=frameType,
                )
            case Closed():
                # What we closed for ourselves counts.
                if self._farewell is None:
                    self._sayFarewell(event)
            case Failed():
                self.factory.count("failed", event.code)
                self.factory.log.info(
                    "{id} is closed for a fault: {code} {reason}",
                    id=self.id,
                    code=int(event.code),
                    reason=printable(event.reason),
                )
                self._sayFarewell(event)

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

    def _tellMissed(self, count: int) -> None:
        self.factory.log.info("{id} missed {count} messages", id=self.id, count=count)
        # Not one of Twisted's: an application that wants to know has it.
        tell = getattr(self._application, "messagesDropped", None)
        if tell is not None:
            self._call(tell, count)

    def _call(self, method: Any, *args: object) -> None:
        """
        Call a method of the application, whose errors end this connection only.
        """
        try:
            method(*args)
        except Exception:
            self._applicationFailed(Failure())

    def _applicationFailed(self, failure: Failure) -> None:
        self.factory.count("application errors")
        self.factory.log.failure("in the application of {id}", failure, id=self.id)
        self.loseConnection(CloseCode.INTERNAL_ERROR)

    # The end

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
        if self.hasPing:
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

    def shutDown(self) -> None:
        """
        Close because the server stops.
        """
        if self._ending:
            return
        if self._application is not None:
            self.loseConnection(CloseCode.GOING_AWAY, "the server is going down")
        elif self._http is not None:
            self.transport.loseConnection()
        else:
            self._refuse(comeAgain("the server is going down"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the application, once, how the connection ended.
        """
        self._lost = self._closing = True
        self.factory.disconnected(self)
        self.stopProducing()
        decision, self._decision = self._decision, None
        if decision is not None:
            decision.cancel()
        if self._http is not None:
            self._http.connectionLost(reason)
        application, self._application = self._application, None
        if application is not None and self._connection is not None:
            self._tellLost(application, self._connection, reason)
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.connectionLost(reason)

    def _tellLost(
        self, application: WebSocketProtocol, connection: Connection, reason: Failure
    ) -> None:
        ending = self._howItEnded(connection, reason)
        connection.abandon()
        if self.factory.settings.logConnections:
            self._log.info(
                "{id} closed: {ending}; {received} messages in, {sent} out",
                id=self.id,
                ending=printable(f"{ending.code:d} {ending.reason}".rstrip()),
                received=self.messagesReceived,
                sent=self.messagesSent,
            )
        self._call(application.connectionLost, Failure(ending))

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
