"""
The protocol of a server's connection: lines while the request head arrives, raw mode after it.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import LogLevel
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.server import Site

from txhixie.application import Application, WebSocketProtocol
from txhixie.dialects.choosing import choose
from txhixie.dialects.head import HandshakeError, RequestHead, comeAgain
from txhixie.dialects.opening import ServerOpening
from txhixie.web.channel import PlainHTTP
from txhixie.web.plain import PlainConnection
from txhixie.web.proxies import Forwarded, TrustedProxies, forwarded
from txhixie.web.request import UpgradeRequest, peerOf
from txhixie.websocket.awaiting import deferredFrom
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.hangup import Hangup
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.messagelog import logged
from txhixie.websocket.outgoing import endWriting
from txhixie.websocket.pacing import FIRST
from txhixie.websocket.ratelimit import printable
from txhixie.websocket.reading import Pause, Reading
from txhixie.websocket.shared import Shared
from txhixie.websocket.transports import ownSocket
from txhixie.websocket.websocket import WebSocket

_TLS_HANDSHAKE = b"\x16"
# What every protocol has. One without the others can still serve peers that only listen.
_CALLBACKS = ("negotiationStarted", "negotiationFinished", "connectionLost")


class Server(Protocol):
    """
    What a connection needs of its factory.

    @ivar handshaking: connections that have L{Settings.handshakeTimeout} for their handshake.
    """

    application: Application | None
    site: Site
    plain: PlainHTTP
    trusted: TrustedProxies
    shared: Shared
    liveness: Liveness
    handshaking: Deadlines[HixieProtocol]

    def newId(self) -> str:
        """
        Return an id for a connection that was never used before.
        """

    def connected(self, protocol: HixieProtocol) -> None:
        """
        A connection was made.
        """

    def admit(self, protocol: HixieProtocol, host: str) -> None:
        """
        Admit a client whose request head is complete.

        @param host: its address, or an empty string.
        @raise HandshakeError: if it is not admitted.
        """

    def setIdle(self, protocol: HixieProtocol, isIdle: bool) -> None:
        """
        Note whether a connection of plain HTTP waits for its next request.
        """

    def opened(self, protocol: HixieProtocol, webSocket: WebSocket) -> None:
        """
        A connection completed its opening handshake.
        """

    def disconnected(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone.
        """

    def gone(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone, and its application has heard of it.
        """


class HixieProtocol(LineReceiver):
    """
    One connection to a L{txhixie.HixieFactory}, until it is handed over: to its L{WebSocket} if
    the application accepts it, to the site if it is plain HTTP, or to its end.

    @ivar webSocket: the WebSocket, once the application has accepted it.
    @ivar admittedFrom: the address under which this connection is counted, once it is admitted.
    """

    factory: Server
    transport: ITCPTransport

    webSocket: WebSocket | None = None
    admittedFrom: str | None = None

    _reading: Reading
    # What came while others had their turn.
    _early = b""
    # The head, as it arrives.
    _lines: list[bytes] | None = None
    _headSize = 0
    # Where bytes go in raw mode: the opening handshake takes its tail, the site takes everything.
    _opening: ServerOpening | None = None
    _tail = b""
    # What came after the head with it, if twisted.web read the head.
    _rest = b""
    _isBehind = False
    _method = b""
    _http: PlainConnection | None = None
    _decision: Deferred[Any] | None = None
    # The request, until the opening handshake is complete; and as long as somebody waits for its
    # end. It is large.
    _request: UpgradeRequest | None = None
    _kept: UpgradeRequest | None = None
    _hangup: Hangup | None = None
    _isLost = False
    _reason: Failure = connectionDone

    def connectionMade(self) -> None:
        """
        Wait for a request head.
        """
        self._reading = Reading(self.transport)
        self.MAX_LENGTH = self.factory.shared.settings.maxHead
        if ITCPTransport.providedBy(self.transport):
            # TLS claims to run over TCP, also over a Unix socket.
            with suppress(AttributeError):
                self.transport.setTcpNoDelay(True)
                self.transport.setTcpKeepAlive(True)
        if ownSocket(self.transport) is not None:
            cast(Any, self.transport).bufferSize = FIRST
        self.factory.connected(self)

    # The request head

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes from the transport. What is sent in answer goes out when all are read. If
        thousands of clients come at once they take turns.
        """
        if self._lines is None and data and not self._looksLikeHTTP(data):
            return
        pace = self.factory.plain.pace
        if self._http is not None:
            # It takes turns by itself.
            self.factory.shared.turn.run(super().dataReceived, data)
            return
        if self._early or not pace.begin():
            self._early += data
            self._reading.pause(Pause.TURN)
            pace.wait(self)
            return
        try:
            self.factory.shared.turn.run(super().dataReceived, data)
        finally:
            pace.end()

    def goOn(self) -> None:
        """
        Go on: others had their turn.
        """
        data, self._early = self._early, b""
        self._reading.resume(Pause.TURN)
        self._reading.restart()
        self.dataReceived(data)

    def _looksLikeHTTP(self, data: bytes) -> bool:
        """
        Look at the very first byte: clients of other protocols try every open port.
        """
        self._lines = []
        if data[:1].isalpha() or data[:1] == b"\r":
            return True
        self.factory.shared.count("not HTTP")
        what = "TLS" if data[:1] == _TLS_HANDSHAKE else "something other than HTTP"
        self.factory.shared.log.debug("{peer} speaks {what}", peer=self.peerName(), what=what)
        self._hangUp()
        return False

    def lineReceived(self, line: bytes) -> None:
        """
        Take a line of the request head.
        """
        assert self._lines is not None
        settings = self.factory.shared.settings
        self._headSize += len(line) + len(self.delimiter)
        tooMany = line and len(self._lines) > settings.maxFields
        if tooMany or self._headSize > settings.maxHead:
            self.refuse(HandshakeError(431), LogLevel.debug)
        elif line:
            self._lines.append(line)
            if len(self._lines) == 1 and b" HTTP/" not in line:
                self.refuse(HandshakeError(400, "this is not HTTP"), LogLevel.debug)
        elif self._lines:
            head = RequestHead.parse(self._lines)
            self._lines.clear()
            self._headReceived(head)

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Refuse a head with a line longer than a whole head may be.
        """
        self.refuse(HandshakeError(431), LogLevel.debug)

    def _headReceived(self, head: RequestHead) -> None:
        self.setRawMode()
        self._method = head.method
        factory = self.factory
        host = self._peerHost()
        try:
            factory.admit(self, forwarded(head, host, factory.trusted).client or host or "")
        except HandshakeError as error:
            self.refuse(error)
            return
        if self.takes(head):
            self._ask(head, factory.application)
        else:
            factory.handshaking.cancel(self)
            self._http = factory.plain.connection(self.transport, weakref.proxy(self))
            self._http.dataReceived(head.raw + self.clearLineBuffer())

    # Requests that twisted.web reads

    def takes(self, head: RequestHead) -> bool:
        """
        Return whether a request is answered here, and not by the site.
        """
        if head.method == b"CONNECT":
            return True
        return self.factory.application is not None and head.isHandshake

    def upgrade(
        self, head: RequestHead, rest: bytes, application: Application | None = None
    ) -> None:
        """
        Answer a request that twisted.web has read.

        @param rest: the bytes after its head.
        @param application: answers it; by default the factory's application.
        """
        self._http = None
        self._method = head.method
        self._isBehind, self._rest = True, rest
        self.setRawMode()
        self.factory.handshaking.start(self)
        self.factory.shared.turn.run(self._ask, head, application or self.factory.application)

    def _ask(self, head: RequestHead, application: Application | None) -> None:
        """
        Ask the application about an opening handshake.
        """
        factory = self.factory
        settings = factory.shared.settings
        try:
            dialect = choose(head, settings.dialects)
            if dialect is None or application is None:
                raise HandshakeError(405, "this is no proxy", [(b"Allow", b"GET, HEAD, POST")])
            told = forwarded(head, self._peerHost(), factory.trusted)
            head = told.applied(head.inOriginForm())
            request = self._makeRequest(head, told, dialect.dialect)
            opening = dialect(head, settings, request.isSecure())
            answer = application.buildProtocol(request)
        except HandshakeError as error:
            self.refuse(error)
        except BaseException:
            self._refuseFailure(Failure())
        else:
            self._decide(answer, opening, request)

    def _makeRequest(self, head: RequestHead, told: Forwarded, dialect: str) -> UpgradeRequest:
        return UpgradeRequest(head, self.factory.site, self.transport, told, dialect, self._keep)

    def _keep(self, request: UpgradeRequest) -> None:
        self._kept = request

    # The application's decision

    def _decide(self, answer: object, opening: ServerOpening, request: UpgradeRequest) -> None:
        """
        Accept or refuse the connection. If the application takes its time, nothing more is read
        until then.
        """
        decision = deferredFrom(answer)
        if decision is None:
            self._accept(answer, opening, request)
            return
        self._decision = decision
        decision.addCallbacks(self._accept, self._refuseFailure, callbackArgs=(opening, request))
        decision.addErrback(lambda failure: self.factory.shared.log.failure("accepting", failure))
        if self._decision is not None:
            self.paused = True
            self._reading.pause(Pause.DECISION)

    def _takeDecision(self) -> bool:
        """
        Note that the application has decided.

        @return: whether the client is still there.
        """
        self._decision = None
        return self._hangup is None and not self._isLost

    def _accept(self, answer: object, opening: ServerOpening, request: UpgradeRequest) -> None:
        if not self._takeDecision():
            return
        try:
            if answer is None:
                raise HandshakeError(404, "nothing answers here")
            fields = _answerFields(opening, request)
            opening.checkSubprotocol()
            protocol = _checked(answer)
        except Exception:
            self._refuseFailure(Failure())
        else:
            self.factory.shared.turn.run(self._answer, protocol, opening, request, fields)

    def _answer(
        self,
        protocol: WebSocketProtocol,
        opening: ServerOpening,
        request: UpgradeRequest,
        fields: list[tuple[bytes, bytes]],
    ) -> None:
        shared = self.factory.shared
        name = self.factory.newId()
        connection = opening.connection()
        if shared.settings.logMessages:
            connection = logged(connection, name)
        self._opening, self._request = opening, request
        self._reading.resume(Pause.DECISION)
        self.webSocket = webSocket = WebSocket(
            shared,
            self.factory.liveness,
            self.transport,
            self._reading,
            connection,
            protocol,
            self,
            name=name,
            subprotocol=opening.subprotocol,
            request=request,
            isBehind=self._isBehind,
        )
        webSocket.accepted(opening.reply(fields))
        # What arrived with the head, and during the decision.
        self.paused = False
        rest, self._rest = self._rest + self.clearLineBuffer(), b""
        self.rawDataReceived(rest)

    def rawDataReceived(self, data: bytes) -> None:
        """
        Take what follows the request head.
        """
        if self._hangup is not None:
            return
        if self._opening is not None:
            self._tailReceived(data, self._opening)
        elif self._http is not None and data:
            self._http.dataReceived(data)

    def _tailReceived(self, data: bytes, opening: ServerOpening) -> None:
        webSocket = self.webSocket
        assert webSocket is not None
        missing = opening.tailSize - len(self._tail)
        self._tail += data[:missing]
        if len(self._tail) < opening.tailSize or webSocket.isEnding:
            return
        answer = opening.complete(self._tail)
        self._opening, self._tail = None, b""
        # From here on the transport's bytes go to the WebSocket without a detour.
        self.dataReceived = webSocket.dataReceived  # type: ignore[method-assign]
        self.factory.opened(self, webSocket)
        if self.factory.shared.settings.logConnections:
            self._logOpened(webSocket)
        webSocket.opened(answer, opening.tailSize)
        self._request = None
        if data[missing:]:
            webSocket.dataReceived(data[missing:])

    def _logOpened(self, webSocket: WebSocket) -> None:
        assert self._request is not None
        self.factory.shared.log.info(
            "{id} opened: {dialect} {target} from {peer}",
            id=webSocket.id,
            dialect=webSocket.dialect,
            target=printable(self._request.uri),
            peer=self.peerName(),
        )

    # Refusing

    def _refuseFailure(self, failure: Failure) -> None:
        if not self._takeDecision():
            return
        if failure.check(HandshakeError):
            self.refuse(cast(HandshakeError, failure.value))
            return
        self.factory.shared.count("application errors")
        self.factory.shared.log.failure(
            "asking the application about {peer}: {error}",
            failure,
            peer=self.peerName(),
            error=printable(failure.getErrorMessage()),
        )
        self.refuse(HandshakeError(500))

    def refuse(
        self, error: HandshakeError, level: Any = LogLevel.info, method: bytes | None = None
    ) -> None:
        """
        Answer with an error, and end the connection.

        @param method: of the request; by default that of the last one that was asked about here.
        """
        shared = self.factory.shared
        shared.log.emit(
            level,
            "refused {peer}: {status} {text}",
            peer=self.peerName(),
            status=error.status,
            text=printable(error.text),
        )
        shared.count("refused", error.status)
        self.transport.write(error.response(self._method if method is None else method))
        self._hangUp()

    def _hangUp(self) -> None:
        """
        End TCP in good order, after everything that was written.
        """
        if self._hangup is not None:
            return
        # The rest of a request head means nothing now.
        self.setRawMode()
        self.factory.handshaking.cancel(self)
        self.factory.plain.pace.forget(self)
        self._early = b""
        self.paused = False
        self._reading.release()
        shared, transport = self.factory.shared, self.transport
        self._hangup = Hangup(shared, transport, lambda: endWriting(transport), weakref.proxy(self))
        self._hangup.start()

    def handshakeTimedOut(self) -> None:
        """
        Give up on a client that does not complete its handshake.
        """
        if self.webSocket is not None and self.webSocket.isEnding:
            return
        self.factory.shared.count("handshakes timed out")
        self._giveUp()

    def _giveUp(self) -> None:
        decision = self._decision
        if decision is not None:
            self.refuse(comeAgain("the application took too long"))
            decision.cancel()
        elif self._lines:
            self.refuse(HandshakeError(408, "the request took too long"), LogLevel.debug)
        else:
            self.factory.shared.log.debug(
                "{peer} did not complete a handshake", peer=self.peerName()
            )
            self._endNow()

    def _endNow(self) -> None:
        if self.webSocket is None:
            self._hangUp()
        else:
            self.webSocket.hangUp()

    def evict(self) -> None:
        """
        Make room for a newer connection: this one's handshake did not get anywhere, or it is idle.
        """
        if self.webSocket is not None:
            self.webSocket.hangUp(now=True)
            return
        if self._http is not None:
            self._http.end()
        elif self._hangup is None:
            self._giveUp()
        if self._hangup is not None:
            self._hangup.letGo()

    # What the channel of plain HTTP calls

    def hangUp(self) -> None:
        """
        End the connection in good order.
        """
        self._hangUp()

    def setIdle(self, isIdle: bool) -> None:
        """
        Note whether the connection waits for its next request.
        """
        self.factory.setIdle(self, isIdle)

    # The end

    def shutDown(self) -> None:
        """
        Close because the server stops.
        """
        if self.webSocket is not None:
            self.webSocket.shutDown()
        elif self._http is not None:
            self._http.shutDown()
        elif self._hangup is None:
            self.refuse(comeAgain("the server is going down"))

    def abort(self) -> None:
        """
        End the connection now.
        """
        if self.webSocket is not None:
            self.webSocket.abort()
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell whoever has the connection that it is gone.
        """
        if self._isLost:
            return
        self._isLost = True
        self._reason = reason
        self.factory.plain.pace.forget(self)
        self.factory.disconnected(self)
        if self._hangup is not None:
            self._hangup.cancel()
        decision, self._decision = self._decision, None
        if decision is not None:
            decision.cancel()
        if self._http is not None:
            self._http.connectionLost(reason)
            self._http = None
        if self.webSocket is None:
            self.webSocketGone()
        else:
            self.webSocket.connectionLost(reason)

    def webSocketGone(self) -> None:
        """
        Tell whoever waits for the end of the request, and the factory.
        """
        kept, self._kept = self._kept, None
        self._request = self._opening = None
        if kept is not None:
            kept.connectionLost(self._reason)
        self.factory.gone(self)

    # What it is

    def _peerHost(self) -> str | None:
        host: str | None = getattr(peerOf(self.transport), "host", None)
        return host

    def peerName(self) -> str:
        """
        Return the peer's address for the log, and its proxy's if there is one.
        """
        peer: Any = peerOf(self.transport)
        host: str | None = getattr(peer, "host", None)
        if host is None:
            name = str(peer)
        else:
            name = f"[{host}]:{peer.port}" if ":" in host else f"{host}:{peer.port}"
        if self.admittedFrom and self.admittedFrom != host:
            return f"{self.admittedFrom} by {name}"
        return name


def _answerFields(opening: ServerOpening, request: UpgradeRequest) -> list[tuple[bytes, bytes]]:
    """
    Return the fields that an application added to the answer, after it chose a subprotocol.

    @raise ValueError: if it chose one that the client did not ask for, or added a field of the
        handshake's own.
    """
    if request.chosenSubprotocol is not None:
        opening.chooseSubprotocol(request.chosenSubprotocol)
    return request.answerFields()


def _checked(answer: Any) -> WebSocketProtocol:
    """
    Return what C{buildProtocol} returned.

    @raise TypeError: if it is not a protocol.
    """
    for callback in _CALLBACKS:
        if not callable(getattr(answer, callback, None)):
            raise TypeError(f"buildProtocol returned {answer!r}, which has no {callback}")
    return cast(WebSocketProtocol, answer)
