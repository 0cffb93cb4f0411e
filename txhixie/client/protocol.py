"""
The protocol of a client's connection: lines while the head of the answer arrives, raw mode after
it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie.application import WebSocketProtocol
from txhixie.client.body import Body
from txhixie.dialects.errors import (
    HandshakeRefused,
    NoAnswer,
    NotWebSocket,
    OpeningError,
    quoted,
)
from txhixie.dialects.head import ResponseHead, isStatusLine
from txhixie.dialects.opening import ClientOpening
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.messagelog import logged
from txhixie.websocket.pacing import FIRST
from txhixie.websocket.reading import Reading
from txhixie.websocket.shared import Shared
from txhixie.websocket.transports import ownSocket
from txhixie.websocket.websocket import WebSocket

# The most bytes of an answer that are kept for an error.
_KEPT = 64 * 1024


class ClientSide(Protocol):
    """
    The parts of a client that its connections use.
    """

    shared: Shared
    liveness: Liveness

    def newId(self) -> str:
        """
        Return an id that no connection had before.
        """

    def gone(self, protocol: HixieClientProtocol) -> None:
        """
        A connection is gone, and its application has been notified.
        """


class HixieClientProtocol(LineReceiver):
    """
    One connection to a server, until it is handed over to its L{WebSocket}.

    @ivar webSocket: the WebSocket, once it is open.
    """

    transport: ITCPTransport

    webSocket: WebSocket | None = None

    _request: _Request | None = None
    # The reason why there will be no WebSocket.
    _failure: Failure | None = None
    _isConnected = False
    _headSize = 0
    # The answer, once its head is complete: an upgrade has a tail, a refusal has a body.
    _head: ResponseHead | None = None
    _body: Body | None = None
    _tail = b""
    _received = b""

    def __init__(
        self,
        client: ClientSide,
        opening: ClientOpening,
        application: WebSocketProtocol,
        decided: Callable[[WebSocket | Failure], object],
        answered: Callable[[ResponseHead], object] | None = None,
    ) -> None:
        """
        @param application: handles the connection.
        @param decided: called once, with the open WebSocket or with the reason why there is none.
        @param answered: called with the head of an answer that opens the WebSocket, before that.
        """
        self._client = client
        self._opening = opening
        self._application = application
        self._decided = decided
        self._answered = answered
        self._lines: list[bytes] = []

    def connectionMade(self) -> None:
        """
        Send the request.
        """
        self.MAX_LENGTH = self._client.shared.settings.maxHead
        if self._failure is not None:
            self.transport.abortConnection()
            return
        self._isConnected = True
        if ITCPTransport.providedBy(self.transport):
            # TLS claims to run over TCP, even over a Unix socket.
            with suppress(AttributeError):
                self.transport.setTcpNoDelay(True)
                self.transport.setTcpKeepAlive(True)
        request = self._opening.request()
        if ownSocket(self.transport) is None:
            self.transport.write(request)
        else:
            cast(Any, self.transport).bufferSize = FIRST
            self._request = _Request(self.transport, request)

    # The answer

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes of the answer.
        """
        if not self._received and data[:1] and not b"!" <= data[:1] <= b"~":
            self.giveUp(NotWebSocket(f"the server does not speak HTTP: {quoted(data)}"))
        self._received = (self._received + data)[:_KEPT]
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """
        Take a line of the head.
        """
        settings = self._client.shared.settings
        self._headSize += len(line) + len(self.delimiter)
        if self._headSize > settings.maxHead or len(self._lines) > settings.maxFields:
            self.giveUp(NotWebSocket("the head of the answer is too large"))
        elif line:
            self._lines.append(line)
            if len(self._lines) == 1 and not isStatusLine(line):
                self.giveUp(NotWebSocket(f"the server does not speak HTTP: {quoted(line)}"))
        elif self._lines:
            head = ResponseHead.parse(self._lines)
            self._lines.clear()
            self._headReceived(head)
        else:
            self.giveUp(NotWebSocket("an empty line is no status line"))

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Give up on a head with a line longer than a whole head may be.
        """
        self.giveUp(NotWebSocket("the head of the answer is too large"))

    def _headReceived(self, head: ResponseHead) -> None:
        if self._opening.takesInterim and head.isInterim:
            return
        self.setRawMode()
        self._head = head
        if head.status == 101:
            self._try(self._opening.check, head)
        else:
            self._body = Body(head)
        self.rawDataReceived(self.clearLineBuffer())

    def rawDataReceived(self, data: bytes) -> None:
        """
        Take the bytes after the head.
        """
        if self._failure is not None:
            return
        if self._body is not None:
            self._body.receive(data)
            if self._body.isComplete:
                self._refused(self._body)
            return
        missing = self._opening.tailSize - len(self._tail)
        self._tail += data[:missing]
        if len(self._tail) < self._opening.tailSize:
            return
        self._try(self._opening.complete, self._tail)
        if self._failure is None:
            self._open(data[missing:])

    def _try(self, check: Callable[[Any], object], answer: object) -> None:
        try:
            check(answer)
        except OpeningError as error:
            self.giveUp(error)

    def _refused(self, body: Body) -> None:
        head = self._head
        assert head is not None
        self.giveUp(HandshakeRefused(head.status, head.fields, body.value, head.reason))

    def _open(self, rest: bytes) -> None:
        """
        Hand the connection over.

        @param rest: the bytes that came together with the answer, after it.
        """
        client = self._client
        shared = client.shared
        name = client.newId()
        if self._answered is not None:
            assert self._head is not None
            self._answered(self._head)
        connection = self._opening.connection()
        if shared.settings.logMessages:
            connection = logged(connection, name)
        self.webSocket = webSocket = WebSocket(
            shared,
            client.liveness,
            self.transport,
            Reading(self.transport),
            connection,
            self._application,
            self,
            name=name,
            subprotocol=self._opening.subprotocol,
            # Many servers do not send one, including ours.
            readsAlways=True,
            isBehind=self._request is not None and self._request.isBeingWritten(),
        )
        self._request = None
        # From here on, the WebSocket gets the transport's bytes directly.
        self.dataReceived = webSocket.dataReceived  # type: ignore[method-assign]
        self._received = self._tail = b""
        if shared.settings.logConnections:
            shared.log.info(
                "{id} opened: {dialect} to {peer}",
                id=name,
                dialect=webSocket.dialect,
                peer=self.peerName(),
            )
        webSocket.accepted(b"")
        webSocket.opened(b"")
        self._decide(webSocket)
        # Nobody needs the handshake any longer.
        self._head = None
        del self._opening, self._application, self._answered
        if rest:
            webSocket.dataReceived(rest)

    def _decide(self, outcome: WebSocket | Failure) -> None:
        # It is called once, and refers to this object.
        decided = self._decided
        del self._decided
        decided(outcome)

    # The end

    def timedOut(self, error: OpeningError) -> None:
        """
        Give up, because the time is over. A refusal counts even if its body is not complete.
        """
        if self._body is not None and self._failure is None:
            self._refused(self._body)
        else:
            self.giveUp(error)

    def giveUp(self, error: Exception | Failure) -> None:
        """
        End the connection, unless it is open: there will be no WebSocket.
        """
        if self.webSocket is not None or self._failure is not None:
            return
        self._failure = error if isinstance(error, Failure) else Failure(error)
        self.setRawMode()
        self.clearLineBuffer()
        if self._isConnected:
            self.transport.abortConnection()
        self._decide(self._failure)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Pass the end on to the WebSocket. Without one, the attempt has failed.
        """
        self._isConnected = False
        if self.webSocket is not None:
            self.webSocket.connectionLost(reason)
            return
        if self._body is not None and self._failure is None:
            self._refused(self._body)
        elif reason.check(ConnectionDone):
            self.giveUp(NoAnswer(self._received))
        elif reason.check(ConnectionLost):
            self.giveUp(NoAnswer(self._received, reason.getErrorMessage()))
        else:
            # TLS has its own reasons.
            self.giveUp(reason)
        self.webSocketGone()

    def webSocketGone(self) -> None:
        """
        Tell the client that the connection is gone.
        """
        self._client.gone(self)

    def peerName(self) -> str:
        """
        Return the server's address for the log.
        """
        peer = self.transport.getPeer()
        host: str | None = getattr(peer, "host", None)
        return f"{host}:{peer.port}" if host is not None else str(peer)


@implementer(IPullProducer)
class _Request:
    """
    The request while the transport writes it. A server may answer before it has read the whole
    request, and a WebSocket writes to the socket directly, not through the transport.
    """

    def __init__(self, transport: Any, request: bytes) -> None:
        self._transport: Any = None
        # A transport asks for more at once, when there is nothing yet, and again when everything is
        # written.
        transport.registerProducer(self, False)
        self._transport = transport
        transport.write(request)

    def isBeingWritten(self) -> bool:
        """
        Return whether the transport still holds a part of the request. Nothing waits for the
        request from now on.
        """
        isBeingWritten = self._transport is not None
        self.resumeProducing()
        return isBeingWritten

    def resumeProducing(self) -> None:
        """
        Drop the reference to the transport: it has written everything.
        """
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.unregisterProducer()

    def stopProducing(self) -> None:
        """
        Drop the reference to the transport: the connection is gone.
        """
        self._transport = None
