"""
The plain HTTP server on the same port.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txhixie.dialects.head import HandshakeError
from txhixie.web.proxies import Forwarded, TrustedProxies
from txhixie.web.request import readForwarded


class Okay(Resource):
    """
    Answers every path and method with C{okay}, except where it has something else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[bytes, IResource] = {}

    def getChild(self, path: bytes, request: Request) -> Resource:
        return cast(Resource, self._places.get(path, self))

    def place(self, path: str, resource: IResource) -> None:
        """
        Put a resource at a path, unless there is one above it.

        @param path: as C{/chat/red}.
        """
        first, _, rest = path.removeprefix("/").partition("/")
        place = self._places.setdefault(first.encode(), Okay() if rest else resource)
        if rest and isinstance(place, Okay):
            place.place(rest, resource)

    def render(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        if request.method == b"HEAD":
            request.setHeader(b"Content-Length", b"4")
            return b""
        return b"okay"


class _Request(Request):
    """
    A request of plain HTTP that keeps its body in memory, and is refused when that gets too large.
    What a trusted proxy says about the client counts as if there were no proxy.
    """

    _told = Forwarded()

    def gotLength(self, length: int | None) -> None:
        # Twisted's own would put what is large, or has no length, into a file.
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        assert self.content is not None
        if self.content.closed:
            return
        channel: Any = self.channel
        if self.content.tell() + len(data) <= channel.site.maxBody:
            super().handleContentChunk(data)
        else:
            channel.refuse(HandshakeError(413))

    def process(self) -> None:
        trusted = cast(OwnSite, cast(Any, self.channel).site).trusted
        self._told = readForwarded(self, trusted)
        super().process()

    def isSecure(self) -> bool:
        secure = self._told.secure
        return bool(super().isSecure()) if secure is None else secure


class OwnSite(Site):
    """
    A site that keeps requests out of its access log that come every second, or too often, and
    their bodies out of files.

    @ivar maxBody: bytes that the body of a request may have.
    """

    noisy = False

    def __init__(
        self,
        root: IResource,
        maxBody: int,
        trusted: TrustedProxies,
        mayLog: Callable[[], bool],
        reactor: IReactorTime,
    ) -> None:
        """
        @param trusted: proxies that are believed.
        @param mayLog: asked about each request.
        """
        super().__init__(
            root,
            requestFactory=_Request,
            reactor=reactor,
            # It takes half a second for a form of a MiB, and nobody looks at it.
            parsePOSTFormSubmission=not isinstance(root, Okay),
        )
        self.maxBody = maxBody
        self.trusted = trusted
        self._mayLog = mayLog

    def log(self, request: http.Request) -> None:
        if getattr(request, "unlogged", False) or not self._mayLog():
            return
        super().log(request)


def keepOutOfLog(request: Request) -> None:
    """
    Do not log this request. This is for pages that ask every second.
    """
    request.unlogged = True  # type: ignore[attr-defined]


def makeSite(
    site: Site | IResource | None,
    maxBody: int,
    trusted: TrustedProxies,
    mayLog: Callable[[], bool],
    reactor: IReactorTime,
) -> Site:
    """
    @param site: a site, the root of one, or C{None} for one that says C{okay}.
    @param maxBody: bytes that the body of a request may have, in a site that is made here.
    @param trusted: proxies that such a site believes.
    @param mayLog: tells whether one request more may be logged, by a site that is made here.
    @return: the site that plain HTTP requests go to.
    """
    if site is None:
        site = Okay()
    if not IResource.providedBy(site):
        return cast(Site, site)
    return OwnSite(site, maxBody, trusted, mayLog, reactor)
