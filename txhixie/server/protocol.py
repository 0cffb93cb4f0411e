"""
The protocol of one connection: what it is to its application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.dialects.connection import (
    CloseCode,
    Closed,
    Connection,
    Discarded,
    Event,
    Failed,
    Opened,
    Pong,
)
from txhixie.server.admission import comeAgain
from txhixie.server.ending import Ending
from txhixie.websocket.keepalive import watchPeer
from txhixie.websocket.pacing import MUCH, adaptRead
from txhixie.websocket.ratelimit import printable

if TYPE_CHECKING:
    from twisted.web.websocket import WebSocketProtocol

    from txhixie.web.request import UpgradeRequest


class HixieProtocol(Ending):
    """
    One connection. To its application it is Twisted's C{WebSocketTransport}.

    @ivar id: a short opaque string, unique and never reused; empty before the handshake.
    @ivar bytesReceived: bytes read since the request head.
    @ivar bytesSent: bytes written since then, the handshake's answer included.
    @ivar messagesReceived: messages delivered to the application.
    @ivar messagesSent: messages sent or waiting to be.
    """

    _log = Logger()

    _application: WebSocketProtocol | None = None
    # The opening handshake is complete.
    _open = False
    # LineReceiver holds bytes that came while reading was paused.
    _hasParked = False

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
        if not self._open or self._ending or self.paused or self._hasParked or factory.gathering:
            # TLS delivers all records of one read, also those after a pause. What LineReceiver
            # keeps of them must not be overtaken by what comes later.
            self._hasParked = self.paused
            super().dataReceived(data)
            return
        assert connection is not None
        size = len(data)
        began = factory.seconds() if size >= MUCH else None
        factory.gathering = True
        try:
            self.bytesReceived += size
            self._deliver(connection.receiveData(data))
        finally:
            factory.flushGathered()
        if began is not None:
            adaptRead(self.transport, size, factory.seconds() - began)

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
