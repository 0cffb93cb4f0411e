"""
Connections that speak plain HTTP: twisted.web's, with our limits.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Protocol, cast

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory, Request
from twisted.web.server import Site

from txhixie.dialects.head import HandshakeError, comeAgain
from txhixie.web.pace import Pace
from txhixie.web.plain import PlainConnection
from txhixie.web.site import OwnSite
from txhixie.web.upgrading import Upgrader, letUpgrade
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.shared import Shared

# No reasonable length has more digits.
_MOST_DIGITS = 19


class Owner(Upgrader, Protocol):
    """
    The connection that a channel belongs to.
    """

    def refuse(self, error: HandshakeError, level: Any, method: bytes) -> None:
        """
        Answer with an error, and end the connection in good order.

        @param method: of the request; empty if it is not known.
        """

    def hangUp(self) -> None:
        """
        End the connection in good order.
        """

    def setIdle(self, isIdle: bool) -> None:
        """
        Note whether the connection waits for its next request.
        """


class PlainHTTP:
    """
    What all connections of a factory that speak plain HTTP share.

    @ivar shared: what they share with WebSockets.
    @ivar maxBody: bytes that the body of a request may have; C{None}: any number.
    @ivar pace: lets the connections take turns.
    @ivar unfinished: connections whose peer has L{Settings.requestTimeout} for its request.
    """

    def __init__(self, shared: Shared, site: Site) -> None:
        """
        @param site: answers the requests.
        """
        self.shared = shared
        self.settings = shared.settings
        self.maxBody = site.maxBody if isinstance(site, OwnSite) else None
        self.pace = Pace(shared.clock)
        self.unfinished: Deadlines[Channel] = Deadlines(
            shared.clock, shared.settings.requestTimeout, Channel.requestTimedOut
        )
        self._site = site

    def connection(self, transport: ITransport, owner: Owner) -> PlainConnection:
        """
        Return an object that takes all data of a connection from now on.
        """
        site: Any = self._site
        kind = type(site)
        if (kind.buildProtocol, kind.protocol) == (Site.buildProtocol, HTTPFactory.protocol):
            channel: Any = Channel(self, owner)
            channel.factory = channel.site = site
            channel.requestFactory = site.requestFactory
            channel.callLater = site.reactor.callLater
            channel.timeOut = site.timeOut
        else:
            # The site makes its own kind of connections.
            channel = site.buildProtocol(transport.getPeer())
        letUpgrade(channel, owner)
        connection = PlainConnection(channel, self.shared)
        channel.makeConnection(transport)
        return connection

    def rest(self) -> None:
        """
        Cancel timers that nothing waits for.
        """
        self.pace.rest()
        self.unfinished.rest()


class Channel(HTTPChannel):
    """
    One connection that speaks plain HTTP. Each of its requests has the same limits as the first:
    L{Settings.maxHead}, L{Settings.maxFields} and L{Settings.requestTimeout}. Any number of waiting
    requests is handled for a few milliseconds at a time, and only while the answers are read.
    """

    transport: Any
    factory: Any
    site: Any
    timeOut: Any

    # The size of the current request's head so far.
    _headSize = 0
    _lines = 0
    _method = b""
    # Whether a request is on its way; whether one is being answered.
    _isArriving = False
    _isAnswering = False
    # The reasons why nothing is handled: the transport is full; other connections have their turn;
    # the connection ends.
    _isFull = False
    _isWaiting = False
    _isOver = False
    # Whether bytes are being handled.
    _isHandling = False

    def __init__(self, plain: PlainHTTP, owner: Owner) -> None:
        super().__init__()
        self._plain = plain
        self._owner = owner
        # Our limits are checked first, and have their own answers.
        self.MAX_LENGTH = self.totalHeadersSize = plain.settings.maxHead
        self.maxHeaders = plain.settings.maxFields

    # What arrives

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes. They wait while nothing may be handled.
        """
        if self._isOver:
            return
        if self.paused:
            # TLS delivers what it has already read.
            self.transport.pauseProducing()
        elif not self._isHandling:
            self._owner.setIdle(False)
            if data and not self._isAnswering:
                self._begin()
            if self._plain.pace.begin():
                self._handle(data)
                return
            self._wait()
        super().dataReceived(data)

    def _handle(self, data: bytes) -> None:
        self._isHandling = True
        try:
            super().dataReceived(data)
        finally:
            self._isHandling = False
            self._plain.pace.end()
        if self._isArriving and self.requests:
            content = self.requests[-1].content
            if isinstance(content, BytesIO) and not content.closed:
                self._plain.shared.budget.report(self, content.tell())
        self._settle()

    def _wait(self) -> None:
        """
        Let other connections have their turn.
        """
        self._isWaiting = self.paused = True
        self.transport.pauseProducing()
        self._plain.pace.wait(self)

    def _begin(self) -> None:
        if not self._isArriving:
            self._isArriving = True
            self._plain.unfinished.start(self)

    def _end(self) -> None:
        self._isArriving = False
        self._plain.unfinished.cancel(self)
        self._plain.shared.budget.report(self, 0)

    def _settle(self) -> None:
        """
        Note that the connection waits for its next request, if so.
        """
        if self._isAnswering or self._isArriving or self.paused or not self.persistent:
            return
        beginning = self.clearLineBuffer()
        if beginning:
            self._begin()
            super().dataReceived(beginning)
        else:
            self._owner.setIdle(True)

    def lineReceived(self, line: bytes) -> None:
        """
        Take a line of a request head.
        """
        settings = self._plain.settings
        self._headSize += len(line) + len(self.delimiter)
        self._lines += bool(line)
        if self._headSize > settings.maxHead or self._lines > 1 + settings.maxFields:
            self.refuse(HandshakeError(431), LogLevel.debug)
            return
        if self._lines:
            self._begin()
            if self._lines == 1:
                self._method = line.partition(b" ")[0]
        else:
            # Some clients send an empty line after a body.
            self._end()
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        Refuse a head with a line longer than a whole head may be.
        """
        self.refuse(HandshakeError(431), LogLevel.debug)

    def headerReceived(self, line: bytes) -> bool:
        """
        Take a header field.
        """
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip(b" \t")) > _MOST_DIGITS:
            self.refuse(HandshakeError(400, "the Content-Length has too many digits"))
            return False
        return cast(bool, super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """
        Refuse a request whose body is too large, before any of it comes.
        """
        limit = self._plain.maxBody
        if limit is not None and self.length is not None and self.length > limit:
            self.refuse(HandshakeError(413))
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """
        Let the site answer a request that has arrived completely.
        """
        if self._isOver:
            return
        self._end()
        self._headSize = self._lines = 0
        self._method = b""
        self._isAnswering = True
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """
        Go on with the next request, unless other connections have their turn.
        """
        self._isAnswering = False
        super().requestDone(request)
        if not self._isHandling:
            self._settle()
        elif self.persistent and self._plain.pace.isOver and not self._isOver:
            self._wait()

    # Pauses

    def goOn(self) -> None:
        """
        Go on, after other connections had their turn.
        """
        self._isWaiting = False
        self._goOn()

    def pauseProducing(self) -> None:
        """
        Answer no further requests: the transport is full.
        """
        self._isFull = self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on after L{pauseProducing}.
        """
        self._isFull = False
        super().resumeProducing()
        self._goOn()

    def _goOn(self) -> None:
        if self._isFull or self._isWaiting or self._isOver:
            return
        self.paused = False
        if not self._isHandling:
            self.dataReceived(b"")
        if not self.paused:
            self.transport.resumeProducing()

    # The end

    def refuse(self, error: HandshakeError, level: Any = LogLevel.info) -> None:
        """
        Answer the request that is on its way with an error, and end the connection.
        """
        if self.letGo():
            self._owner.refuse(error, level, self._method)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # This is how twisted.web refuses a request.
        self.refuse(HandshakeError(400))

    def requestTimedOut(self) -> None:
        """
        Refuse a request that takes too long to arrive.
        """
        self.refuse(HandshakeError(408, "the request took too long"), LogLevel.debug)

    def relieve(self) -> None:
        """
        Refuse the request that is arriving: all connections together use too much memory, and its
        body has the largest share.
        """
        self._plain.shared.count("memory relieved")
        self.refuse(comeAgain("too much memory is in use"))

    def timeoutConnection(self) -> None:
        """
        End the connection: it was idle for too long.
        """
        self.end()

    def end(self) -> None:
        """
        End the connection, which is idle.
        """
        if self.letGo():
            self._owner.hangUp()

    def letGo(self) -> bool:
        """
        Stop handling data, and leave the transport to the owner.

        @return: whether the transport was not left to the owner before.
        """
        if self._isOver:
            return False
        self._forget()
        for request in self.requests:
            if request.content is not None:
                request.content.close()
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        return True

    def _forget(self) -> None:
        self._isOver = self.paused = True
        self.setTimeout(None)
        self._end()
        self._plain.pace.forget(self)
        self._owner.setIdle(False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the requests that the connection is gone.
        """
        self._forget()
        super().connectionLost(reason)
        # Both refer to this channel. Without them, it is freed at once.
        self.requests.clear()
        self._transferDecoder = None
