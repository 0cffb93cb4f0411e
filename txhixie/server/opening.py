"""
The opening handshake of one connection: lines while the request head arrives, raw mode after it.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, ITCPTransport
from twisted.logger import LogLevel
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from txhixie.dialects.choosing import choose
from txhixie.dialects.connection import Connection
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.server.admission import comeAgain
from txhixie.web.proxies import Forwarded, forwarded
from txhixie.web.request import UpgradeRequest, serveHTTP
from txhixie.websocket.ratelimit import printable

if TYPE_CHECKING:
    from twisted.web.websocket import WebSocketProtocol

    from txhixie.server.factory import HixieFactory

_TLS_HANDSHAKE = b"\x16"


class Opening(LineReceiver):
    """
    A connection until it is handed over: to an application that accepts it, to the site if it is
    plain HTTP, or to its end.

    @ivar requestHead: the opening handshake as it was received, without the nonce of Hixie-76.
    @ivar admittedFrom: the address that this connection is counted under, once it is let in.
    """

    factory: HixieFactory
    transport: ITCPTransport

    requestHead = b""
    admittedFrom: str | None = None

    # The request as long as somebody has it: few applications keep it, and it is large. We do
    # where somebody waits for its end.
    _request: weakref.ref[UpgradeRequest] | None = None
    _kept: UpgradeRequest | None = None
    # The head, as it arrives.
    _lines: list[bytes] | None = None
    _headSize = 0
    # Where bytes go in raw mode: to one of these two, or nowhere once the request is refused.
    _connection: Connection | None = None
    _http: IProtocol | None = None
    _decision: Deferred[WebSocketProtocol | None] | None = None
    # TCP is ending, is over.
    _ending = False
    _lost = False

    @property
    def request(self) -> UpgradeRequest | None:
        """
        The opening handshake as a request of twisted.web's; C{None} before it is complete. The
        one that the application was asked with, if it kept that; one made anew otherwise.
        """
        request = self._request() if self._request is not None else None
        if request is None and self.requestHead:
            head = RequestHead.parse(self.requestHead.split(b"\r\n")[:-2])
            request = self._makeRequest(head, self._told(head, self._peerHost()))
        return request

    def _makeRequest(self, head: RequestHead, told: Forwarded) -> UpgradeRequest:
        site = self.factory.site
        request = UpgradeRequest(told.applied(head), site, self.transport, told, self._keep)
        self._request = weakref.ref(request)
        return request

    def _keep(self, request: UpgradeRequest) -> None:
        self._kept = request

    def _told(self, head: RequestHead, peerHost: str | None) -> Forwarded:
        """
        @return: what a proxy said about the client, if it is believed.
        """
        return forwarded(head, peerHost, self.factory.trusted)

    def _peerHost(self) -> str | None:
        host: str | None = getattr(self.transport.getPeer(), "host", None)
        return host

    def connectionMade(self) -> None:
        """
        Start to wait for a request head.
        """
        self.MAX_LENGTH = self.factory.settings.maxHead
        if ITCPTransport.providedBy(self.transport):
            # TLS claims to run over TCP, also over a Unix socket.
            with suppress(AttributeError):
                self.transport.setTcpNoDelay(True)
                self.transport.setTcpKeepAlive(True)

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes from the transport. What is sent in answer goes out when all are read.
        """
        if self._lines is None and data and not self._looksLikeHTTP(data):
            return
        self.factory.gather(super().dataReceived, data)

    def _looksLikeHTTP(self, data: bytes) -> bool:
        """
        Look at the very first byte: other protocols try their luck on every open port.
        """
        self._lines = []
        if data[:1].isalpha() or data[:1] == b"\r":
            return True
        self.factory.count("not HTTP")
        what = "TLS" if data[:1] == _TLS_HANDSHAKE else "something other than HTTP"
        self.factory.log.debug("{peer} speaks {what}", peer=self._peerName(), what=what)
        self.setRawMode()
        self._end()
        return False

    def lineReceived(self, line: bytes) -> None:
        """
        Take a line of the request head.
        """
        assert self._lines is not None
        settings = self.factory.settings
        self._headSize += len(line) + len(self.delimiter)
        tooMany = line and len(self._lines) > settings.maxFields
        if tooMany or self._headSize > settings.maxHead:
            self._refuse(HandshakeError(431), LogLevel.debug)
        elif line:
            self._lines.append(line)
            if len(self._lines) == 1 and b" HTTP/" not in line:
                self._refuse(HandshakeError(400, "this is not HTTP"), LogLevel.debug)
        elif self._lines:
            head = RequestHead.parse(self._lines)
            self._lines.clear()
            self._headReceived(head)

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Refuse a head with a line of more than all a head may have.
        """
        self._refuse(HandshakeError(431), LogLevel.debug)

    def _headReceived(self, head: RequestHead) -> None:
        self.setRawMode()
        settings = self.factory.settings
        try:
            host = self._peerHost()
            told = self._told(head, host)
            self.factory.admit(self, told.client or host or "")
            dialect = choose(head, settings.dialects)
            if dialect is None:
                self.factory.handshaking.cancel(self)
                self._http = serveHTTP(head, self.factory.site, self.transport)
                return
            self.requestHead = head.raw
            request = self._makeRequest(head, told)
            self._connection = dialect(told.applied(head), settings, request.isSecure())
            application = self.factory.application.buildProtocol(request)
        except HandshakeError as error:
            self._refuse(error)
        except Exception:
            self._refuseFailure(Failure())
        else:
            if isinstance(application, Deferred):
                self._decide(application, request)
            elif iscoroutine(application):
                self._decide(Deferred.fromCoroutine(application), request)
            else:
                self._accept(cast("WebSocketProtocol | None", application), request)

    def _decide(
        self, decision: Deferred[WebSocketProtocol | None], request: UpgradeRequest
    ) -> None:
        """
        Wait for an application that takes its time, and read no further meanwhile.
        """
        self._decision = decision
        decision.addCallbacks(self._accept, self._refuseFailure, callbackArgs=(request,))
        decision.addErrback(lambda failure: self.factory.log.failure("accepting", failure))
        if self._decision is not None:
            super().pauseProducing()

    def _decided(self) -> bool:
        """
        @return: whether somebody still waits for the decision.
        """
        if self._decision is not None:
            self._decision = None
        return not self._ending and not self._lost

    def _accept(self, application: WebSocketProtocol | None, request: UpgradeRequest) -> None:
        if not self._decided():
            return
        if application is None:
            self._refuse(HandshakeError(404, "nothing answers here"))
            return
        self.factory.gather(self._answer, application, request)

    def _refuseFailure(self, failure: Failure) -> None:
        if not self._decided():
            return
        if failure.check(HandshakeError):
            self._refuse(cast(HandshakeError, failure.value))
            return
        self.factory.log.failure(
            "asking the application about {peer}", failure, peer=self._peerName()
        )
        self._refuse(HandshakeError(500))

    def _refuse(self, error: HandshakeError, level: Any = LogLevel.info) -> None:
        self.factory.log.emit(
            level,
            "refused {peer}: {status} {text}",
            peer=self._peerName(),
            status=error.status,
            text=printable(error.text),
        )
        self.factory.count("refused", error.status)
        self._connection = None
        self.setRawMode()
        self.transport.write(error.response())
        self._end()

    def handshakeTimedOut(self) -> None:
        """
        Give up on a client that does not complete its handshake.
        """
        self.factory.count("handshakes timed out")
        self._giveUp()

    def _giveUp(self) -> None:
        decision = self._decision
        if decision is not None:
            self._refuse(comeAgain("the application took too long"))
            decision.cancel()
        elif self._lines:
            self._refuse(HandshakeError(408, "the request took too long"), LogLevel.debug)
        else:
            self.factory.log.debug("{peer} did not complete a handshake", peer=self._peerName())
            self._end()

    def evict(self) -> None:
        """
        Make room for a newer connection: this one's handshake did not get anywhere.
        """
        if not self._ending:
            self._giveUp()
        self._letGo()

    def _answer(self, application: WebSocketProtocol, request: UpgradeRequest) -> None:
        """
        Go on with an application that accepts the connection.
        """
        raise NotImplementedError

    def _end(self) -> None:
        """
        End TCP in good order, after all that was written.
        """
        raise NotImplementedError

    def _letGo(self) -> None:
        """
        End TCP with no more regard to what the peer still sends.
        """
        raise NotImplementedError

    def _peerName(self) -> str:
        peer = self.transport.getPeer()
        host = self._peerHost()
        name = f"{host}:{peer.port}" if host is not None else str(peer)
        if self.admittedFrom and self.admittedFrom != host:
            return f"{self.admittedFrom} by {name}"
        return name
