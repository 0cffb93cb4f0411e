"""
The protocol of a server's connection: lines while the request head arrives, raw mode after it.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any, Protocol, cast

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import LogLevel
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from txhixie.application import Application
from txhixie.dialects.head import HandshakeError, RequestHead, comeAgain
from txhixie.server.upgrade import Server, Upgrade
from txhixie.web.channel import PlainHTTP
from txhixie.web.plain import PlainConnection
from txhixie.web.proxies import Forwarded, TrustedProxies, forwarded
from txhixie.web.request import UpgradeRequest, peerOf
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.hangup import Hangup
from txhixie.websocket.outgoing import endWriting
from txhixie.websocket.pacing import FIRST
from txhixie.websocket.ratelimit import printable
from txhixie.websocket.reading import Pause, Reading
from txhixie.websocket.transports import bareTransport, ownSocket
from txhixie.websocket.websocket import WebSocket

_TLS_HANDSHAKE = b"\x16"
# The lines of a head that did not come line by line. A list for each connection would take memory.
_NO_LINES: list[bytes] = []


class Factory(Server, Protocol):
    """
    The parts of a factory that its connections use.

    @ivar application: what answers opening handshakes; C{None} if nothing does.
    @ivar handshaking: connections that have L{Settings.handshakeTimeout} for their handshake.
    """

    application: Application | None
    trusted: TrustedProxies
    plain: PlainHTTP
    handshaking: Deadlines[HixieProtocol]

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

    def refused(self, target: bytes, error: HandshakeError) -> None:
        """
        An opening handshake was refused.
        """

    def disconnected(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone.
        """

    def gone(self, protocol: HixieProtocol) -> None:
        """
        A connection is gone, and its application has been notified.
        """


class HixieProtocol(LineReceiver):
    """
    One connection to a L{txhixie.HixieFactory}, until it is handed over: to its L{WebSocket} if the
    application accepts it, or to the site if it is plain HTTP. Otherwise it is refused and ends
    here.

    @ivar webSocket: the WebSocket, once the application has accepted it.
    @ivar admittedFrom: the address under which this connection is counted, once it is admitted.
    """

    factory: Factory
    transport: ITCPTransport

    webSocket: WebSocket | None = None
    admittedFrom: str | None = None

    _reading: Reading
    # Bytes that arrived while other connections had their turn.
    _early = b""
    # The head, as it arrives.
    _lines: list[bytes] | None = None
    _headSize = 0
    # The receiver of bytes in raw mode: the opening handshake takes its tail, the site takes
    # everything.
    _upgrade: Upgrade | None = None
    _http: PlainConnection | None = None
    # The bytes that came together with the head, after it, if LineReceiver did not read the head.
    _rest = b""
    _method = b""
    # The opening handshake, while there is one.
    _target = b""
    # A request that waits for the end of the connection.
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
        isWatched = getattr(bareTransport(self.transport), "isWatched", False)
        if not isWatched and ITCPTransport.providedBy(self.transport):
            # TLS claims to run over TCP, even over a Unix socket.
            with suppress(AttributeError):
                self.transport.setTcpNoDelay(True)
                self.transport.setTcpKeepAlive(True)
        if ownSocket(self.transport) is not None:
            cast(Any, self.transport).bufferSize = FIRST
        self.factory.connected(self)

    # The request head

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes from the transport. Answers are written when all bytes have been handled. If
        thousands of clients come at once, they take turns.
        """
        isFirst = self._lines is None and not self._early
        if isFirst and data and not self._looksLikeHTTP(data):
            return
        pace = self.factory.plain.pace
        if self._http is not None:
            # The WebSocket or the site takes turns by itself.
            self.factory.shared.turn.run(super().dataReceived, data)
            return
        if self._early or not pace.begin():
            self._early += data
            self._reading.pause(Pause.TURN)
            pace.wait(self)
            return
        try:
            self.factory.shared.turn.run(self._receive, data)
        finally:
            pace.end()

    def goOn(self) -> None:
        """
        Go on, after other connections had their turn.
        """
        data, self._early = self._early, b""
        self._reading.resume(Pause.TURN)
        self._reading.restart()
        self.dataReceived(data)

    def _looksLikeHTTP(self, data: bytes) -> bool:
        """
        Check the first byte: clients of other protocols try every open port.
        """
        if data[:1].isalpha() or data[:1] == b"\r":
            return True
        # What follows is not looked at.
        self._lines = _NO_LINES
        self.factory.shared.count("not HTTP")
        what = "TLS" if data[:1] == _TLS_HANDSHAKE else "something other than HTTP"
        self.factory.shared.log.debug("{peer} speaks {what}", peer=self.peerName(), what=what)
        self._hangUp()
        return False

    def _receive(self, data: bytes) -> None:
        if self._lines is None:
            self._lines = _NO_LINES
            if self._hangup is None and self._receiveHead(data):
                return
            self._lines = []
        super().dataReceived(data)

    def _receiveHead(self, data: bytes) -> bool:
        """
        Take the first bytes if they have a whole head, which is the rule. Line by line, it takes
        several times as long.

        @return: whether they have one, which is within the limits.
        """
        size = data.find(b"\r\n\r\n") + 4
        settings = self.factory.shared.settings
        if not 4 < size <= settings.maxHead:
            return False
        lines = data[: size - 4].split(b"\r\n")
        if len(lines) > settings.maxFields + 1 or b" HTTP/" not in lines[0]:
            return False
        self._rest = data[size:]
        self._headReceived(RequestHead.parse(lines))
        return True

    def _takeRest(self) -> bytes:
        """
        Return the bytes that came together with the head, after it.
        """
        rest, self._rest = self._rest, b""
        late: bytes = self.clearLineBuffer()
        return rest + late

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
        if head.isHandshake:
            self._target = head.target
        factory = self.factory
        host = self.peerHost
        told = forwarded(head, host, factory.trusted)
        try:
            factory.admit(self, told.client or host or "")
        except HandshakeError as error:
            self.refuse(error)
            return
        if self.takes(head):
            self._ask(head, told, factory.application)
        else:
            factory.handshaking.cancel(self)
            self._target = b""
            self._http = factory.plain.connection(self.transport, weakref.proxy(self))
            self._http.dataReceived(head.raw + self._takeRest())

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
        self._method, self._target = head.method, head.target
        self._rest = rest
        self.setRawMode()
        self.factory.handshaking.start(self)
        application = application or self.factory.application
        told = forwarded(head, self.peerHost, self.factory.trusted)
        self.factory.shared.turn.run(self._ask, head, told, application, isBehind=True)

    def _ask(
        self,
        head: RequestHead,
        told: Forwarded,
        application: Application | None,
        isBehind: bool = False,
    ) -> None:
        self._upgrade = Upgrade(self, self.factory, self.transport, self._reading, isBehind)
        self._upgrade.ask(head, told, application)

    # What the opening handshake calls

    @property
    def isOver(self) -> bool:
        """
        Whether the connection is ending, or lost.
        """
        return self._hangup is not None or self._isLost

    def keep(self, request: UpgradeRequest) -> None:
        """
        Keep a request, and tell it when the connection is gone.
        """
        self._kept = request

    def waitForDecision(self) -> None:
        """
        Read nothing until the application has decided.
        """
        self.paused = True
        self._reading.pause(Pause.DECISION)

    def accept(self, webSocket: WebSocket, reply: bytes) -> None:
        """
        Answer, and let the opening handshake take the bytes after the request head.
        """
        self._reading.resume(Pause.DECISION)
        self.webSocket = webSocket
        webSocket.accepted(reply)
        # The bytes that arrived with the head, and during the decision.
        self.paused = False
        self.rawDataReceived(self._takeRest())

    def opened(self, webSocket: WebSocket) -> None:
        """
        Pass the transport's bytes directly to the WebSocket from now on.
        """
        self._upgrade = None
        self._target = b""
        self.dataReceived = webSocket.dataReceived  # type: ignore[method-assign]
        self.factory.opened(self, webSocket)

    def rawDataReceived(self, data: bytes) -> None:
        """
        Take the bytes after the request head.
        """
        if self._hangup is not None:
            return
        if self._upgrade is not None:
            self._upgrade.receive(data)
        elif self._http is not None and data:
            self._http.dataReceived(data)

    # Refusing

    def refuse(
        self, error: HandshakeError, level: Any = LogLevel.info, method: bytes | None = None
    ) -> None:
        """
        Answer with an error, and end the connection.

        @param method: the method of the request; by default that of the last request here.
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
        if self._target:
            self.factory.refused(self._target, error)
        self.transport.write(error.response(self._method if method is None else method))
        self._hangUp()

    def _hangUp(self) -> None:
        """
        End TCP in good order, after everything that was written.
        """
        if self._hangup is not None:
            return
        # The rest of a request head is ignored now.
        self.setRawMode()
        self.factory.handshaking.cancel(self)
        self.factory.plain.pace.forget(self)
        self._early = self._rest = b""
        self.paused = False
        self._reading.release()
        shared, transport = self.factory.shared, self.transport
        self._hangup = Hangup(shared, transport, lambda: endWriting(transport), weakref.proxy(self))
        self._hangup.start()
        if self._upgrade is not None:
            self._upgrade.cancel()

    def handshakeTimedOut(self) -> None:
        """
        Give up on a client that does not complete its handshake.
        """
        if self.webSocket is not None and self.webSocket.isEnding:
            return
        self.factory.shared.count("handshakes timed out")
        self._giveUp()

    def _giveUp(self) -> None:
        if self._upgrade is not None and self._upgrade.isPending:
            self.refuse(comeAgain("the application took too long"))
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
        Make room for a newer connection: this handshake made no progress, or this connection is
        idle.
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
        Pass the end on to the WebSocket, or to the site.
        """
        if self._isLost:
            return
        self._isLost = True
        self._reason = reason
        self.factory.plain.pace.forget(self)
        self.factory.disconnected(self)
        if self._hangup is not None:
            self._hangup.cancel()
        if self._upgrade is not None:
            self._upgrade.cancel()
        if self._http is not None:
            self._http.connectionLost(reason)
            self._http = None
        if self.webSocket is None:
            self.webSocketGone()
        else:
            self.webSocket.connectionLost(reason)

    def webSocketGone(self) -> None:
        """
        Report the end to the factory, and to the application if it waits for the end of the
        request.
        """
        kept, self._kept = self._kept, None
        self._upgrade = None
        if kept is not None:
            kept.connectionLost(self._reason)
        self.factory.gone(self)

    # What it is

    @property
    def peerHost(self) -> str | None:
        """
        The peer's address, if it has one.
        """
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
