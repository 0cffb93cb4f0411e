"""
The plain HTTP server on the same port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.web.plain import PlainHTTP, Stopping
from txhixie.web.proxies import Forwarded, TrustedProxies
from txhixie.web.request import readForwarded
from txhixie.web.upgrading import Upgrader

if TYPE_CHECKING:
    from twisted.internet.interfaces import ITCPTransport


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
    A request of plain HTTP. It is refused when its body gets too large, which would go to the disk.
    What a trusted proxy says about the client counts as if there were no proxy.
    """

    _refused = False
    _told = Forwarded()

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
            trusted = cast(_Site, cast(Any, self.channel).site).trusted
            self._told = readForwarded(self, trusted)
            super().process()

    def isSecure(self) -> bool:
        secure = self._told.secure
        return bool(super().isSecure()) if secure is None else secure


class _Site(Site):
    """
    A site that keeps requests out of its access log that come every second, or too often.
    """

    noisy = False

    def __init__(
        self,
        root: IResource,
        maxBody: int,
        trusted: TrustedProxies,
        mayLog: Callable[[], bool],
        refused: Callable[[HandshakeError], object],
        reactor: IReactorTime,
    ) -> None:
        """
        @param maxBody: bytes that the body of a request may have.
        @param trusted: proxies that are believed.
        @param mayLog: asked about each request.
        @param refused: called for each request that is refused.
        """
        super().__init__(root, requestFactory=_Request, reactor=reactor)
        self.maxBody = maxBody
        self.trusted = trusted
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


def makeSite(
    site: Site | IResource | None,
    maxBody: int,
    trusted: TrustedProxies,
    mayLog: Callable[[], bool],
    refused: Callable[[HandshakeError], object],
    reactor: IReactorTime,
) -> Site:
    """
    @param site: a site, the root of one, or C{None} for one that says C{okay}.
    @param maxBody: bytes that the body of a request may have, in a site that is made here.
    @param trusted: proxies that such a site believes.
    @param mayLog: tells whether one request more may be logged, by a site that is made here.
    @param refused: called for each request that such a site refuses.
    @return: the site that plain HTTP requests go to.
    """
    if site is None:
        site = Okay()
    if not IResource.providedBy(site):
        return cast(Site, site)
    return _Site(site, maxBody, trusted, mayLog, refused, reactor)


def serveHTTP(
    head: RequestHead,
    site: Site,
    transport: ITCPTransport,
    upgrader: Upgrader,
    stopping: Stopping,
) -> PlainHTTP:
    """
    Hand a connection over to twisted.web, its first request included.

    @param upgrader: takes the connection back for an opening handshake.
    @return: what takes all further data, and the loss of the connection.
    """
    plain = PlainHTTP(site, transport, upgrader, stopping)
    plain.dataReceived(head.raw)
    return plain
