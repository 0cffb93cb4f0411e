"""
All contact with twisted.web: the request that applications are shown, and the plain HTTP server
on the same port.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.web.proxies import Forwarded

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, IProtocol, ITCPTransport


class Okay(Resource):
    """
    Answers every path and method with C{okay}, but for the children it is given.
    """

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self

    def render(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        if request.method == b"HEAD":
            request.setHeader(b"Content-Length", b"4")
            return b""
        return b"okay"


class _Request(Request):
    """
    A request of plain HTTP that is refused when its body gets too large: it would go to the disk.
    """

    _refused = False

    def handleContentChunk(self, data: bytes) -> None:
        assert self.content is not None
        assert self.transport is not None
        site = cast(_Site, cast(Any, self.channel).site)
        if self._refused:
            return
        if self.content.tell() + len(data) <= site.maxBody:
            super().handleContentChunk(data)
            return
        self._refused = True
        error = HandshakeError(413)
        site.refused(error)
        self.transport.write(error.response())
        self.transport.loseConnection()

    def process(self) -> None:
        if not self._refused:
            super().process()


class _Site(Site):
    """
    A site that keeps requests out of its access log that come every second, or too often.
    """

    noisy = False

    def __init__(
        self,
        root: IResource,
        maxBody: int,
        mayLog: Callable[[], bool],
        refused: Callable[[HandshakeError], object],
        reactor: IReactorTime,
    ) -> None:
        """
        @param maxBody: bytes that the body of a request may have.
        @param mayLog: asked about each request.
        @param refused: called for each request that is refused.
        """
        super().__init__(root, requestFactory=_Request, reactor=reactor)
        self.maxBody = maxBody
        self.refused = refused
        self._mayLog = mayLog

    def log(self, request: http.Request) -> None:
        if getattr(request, "unlogged", False) or not self._mayLog():
            return
        super().log(request)


def keepOutOfLog(request: Request) -> None:
    """
    Have a request, of those that come every second, not logged.
    """
    request.unlogged = True  # type: ignore[attr-defined]


class _UpgradeChannel:
    """
    As much of an HTTP channel as a request needs that is never answered through it.
    """

    def __init__(self, transport: ITCPTransport, told: Forwarded, site: Site) -> None:
        self.transport = transport
        self.site = site
        self._told = told

    def getPeer(self) -> IAddress:
        client = self._told.client
        if client is None:
            return self.transport.getPeer()
        # The port is not known.
        return (IPv6Address if ":" in client else IPv4Address)("TCP", client, 0)

    def getHost(self) -> IAddress:
        try:
            return self.transport.getHost()
        except (AttributeError, OSError):
            # The connection is gone, and with it what the system knew of it.
            return IPv4Address("TCP", "0.0.0.0", 0)

    def isSecure(self) -> bool:
        secure = self._told.secure
        return ISSLTransport.providedBy(self.transport) if secure is None else secure


class UpgradeRequest(Request):
    """
    An opening handshake as a twisted.web request: path, arguments, headers, cookies and peer are
    where a twisted.web application looks for them. It is for reading; cookies that an application
    adds to it in C{buildProtocol} go out with the handshake's answer. Its C{notifyFinish} tells
    when the connection is gone.

    To make all of it costs much of a handshake, and most applications look at the path or at
    nothing at all. So the rest is there from when one looks at any of it.

    @ivar avatar: whoever the client logged in as, if it had to.
    """

    avatar: object = None

    def __init__(
        self,
        head: RequestHead,
        site: Site,
        transport: ITCPTransport,
        told: Forwarded,
        keep: Callable[[UpgradeRequest], object],
    ) -> None:
        """
        @param head: an opening handshake.
        @param site: the site that plain HTTP requests go to; it holds the sessions.
        @param told: what a proxy said about the client.
        @param keep: called with the request when somebody waits for its end: its
            C{connectionLost} is to be called then.
        """
        # Not yet that of the base class. What it sets as attributes of the class is set here.
        self._head: RequestHead | None = head
        self._keep = keep
        self.channel = cast(Any, _UpgradeChannel(transport, told, site))
        self.site = site
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path, _, query = head.target.partition(b"?")
        self.args = http.parse_qs(query, True) if query else {}
        self.content = BytesIO()
        self.prepath = []
        self.sitepath: list[bytes] = []
        self.postpath = [unquote_to_bytes(segment) for segment in self.path[1:].split(b"/")]

    def __getattr__(self, name: str) -> Any:
        head = vars(self).get("_head")
        if head is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._head = None
        super().__init__(self.channel, parsePOSTFormSubmission=False)
        for field, values in head.fields.items():
            self.requestHeaders.setRawHeaders(field, values)
        self.parseCookies()
        return getattr(self, name)

    @property
    def answerCookies(self) -> list[bytes]:
        """
        The values of the C{Set-Cookie} fields that an application has added.
        """
        return [] if self._head is not None else self.cookies

    def notifyFinish(self) -> Deferred[None]:
        """
        @return: fails when the connection is gone.
        """
        self._keep(self)
        return super().notifyFinish()


def makeSite(
    site: Site | IResource | None,
    maxBody: int,
    mayLog: Callable[[], bool],
    refused: Callable[[HandshakeError], object],
    reactor: IReactorTime,
) -> Site:
    """
    @param site: a site, the root of one, or C{None} for one that says C{okay}.
    @param maxBody: bytes that the body of a request may have, in a site that is made here.
    @param mayLog: tells whether one request more may be logged, by a site that is made here.
    @param refused: called for each request that such a site refuses.
    @return: the site that plain HTTP requests go to.
    """
    if site is None:
        site = Okay()
    if not IResource.providedBy(site):
        return cast(Site, site)
    return _Site(site, maxBody, mayLog, refused, reactor)


def serveHTTP(head: RequestHead, site: Site, transport: ITCPTransport) -> IProtocol:
    """
    Hand a connection on to twisted.web, its first request included.

    @return: what takes all further data, and the loss of the connection.
    """
    channel: IProtocol = site.buildProtocol(transport.getPeer())
    channel.makeConnection(transport)
    channel.dataReceived(head.raw)
    return channel
