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
    A request of plain HTTP that keeps its body in memory, and is refused when the body gets too
    large. What a trusted proxy reports about the client replaces what the connection shows.
    """

    _told = Forwarded()

    def gotLength(self, length: int | None) -> None:
        # Twisted's request would put a body into a file if it is large, or has no length.
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
    A site that keeps some requests out of its access log, namely those that come every second or
    too often, and keeps bodies out of files.

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
        @param mayLog: asked whether to log each request.
        """
        super().__init__(
            root,
            requestFactory=_Request,
            reactor=reactor,
            # Parsing a form of a MiB takes half a second, and nothing uses the result.
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
    Do not log this request. Use this for pages that poll every second.
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
    @param mayLog: returns whether one more request may be logged, in a site that is made here.
    @return: the site that plain HTTP requests go to.
    """
    if site is None:
        site = Okay()
    if not IResource.providedBy(site):
        return cast(Site, site)
    return OwnSite(site, maxBody, trusted, mayLog, reactor)
