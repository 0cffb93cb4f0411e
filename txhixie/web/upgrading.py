"""
Upgrades of requests that twisted.web reads: later requests on a connection, and those of other
sites.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from twisted.web.http_headers import Headers
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.server import Request
from zope.interface import provider

from txhixie.dialects.head import RequestHead

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol
    from twisted.web.http import HTTPChannel


class Upgrader(Protocol):
    """
    Takes a connection back from twisted.web.
    """

    def takes(self, head: RequestHead) -> bool:
        """
        Return whether a request is answered here, and not by the site.
        """

    def upgrade(self, head: RequestHead, rest: bytes) -> None:
        """
        Answer a request.

        @param rest: the bytes after its head.
        """


def headOf(headers: Headers, method: bytes, target: bytes, version: bytes) -> RequestHead:
    """
    Return the head of a request that twisted.web has read.
    """
    fields = {name.lower(): list(values) for name, values in headers.getAllRawHeaders()}
    return RequestHead(method, target, version, fields, b"")


class _Upgradable(Request):
    """
    A request that may be an opening handshake. It is mixed into the request class of a site.

    @ivar upgrader: takes the connection if it is an opening handshake.
    """

    upgrader: Upgrader

    def gotLength(self, length: int | None) -> None:
        """
        Prevent the nonce of a Hixie-76 handshake from being read as a body.
        """
        headers = self.requestHeaders
        if length == 8 and headers.hasHeader(b"sec-websocket-key1"):
            channel = cast(Any, self.channel)
            channel.length = length = 0
            # If nothing upgrades the request, its body would be read as the next request.
            channel.persistent = False
        super().gotLength(length)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        Hand an opening handshake to the upgrader, and everything else to the site.
        """
        head = headOf(self.requestHeaders, command, path, version)
        if self.upgrader.takes(head):
            self.upgrader.upgrade(head, detached(self.channel))
            return
        if head.isAbsolute:
            # Resources see only the path (RFC 9112 section 3.2.2).
            head = head.inOriginForm()
            self.requestHeaders.setRawHeaders(b"host", head.fields[b"host"])
        super().requestReceived(command, head.target, version)


@lru_cache(maxsize=16)
def _upgradable(requestClass: Any) -> type[_Upgradable]:
    return cast("type[_Upgradable]", type(requestClass.__name__, (_Upgradable, requestClass), {}))


def letUpgrade(channel: IProtocol, upgrader: Upgrader) -> None:
    """
    Let an upgrader take the connection of an HTTP channel with any of its requests.

    @param channel: what a site built for a connection, before it is connected.
    """
    site = cast(Any, channel)
    make: Callable[..., Request] = site.requestFactory

    @provider(INonQueuedRequestFactory)
    def makeRequest(channel: HTTPChannel) -> Request:
        request: Any = make(channel)
        # A site may have any function instead of a class.
        request.__class__ = _upgradable(type(request))  # type: ignore[arg-type]
        request.upgrader = upgrader
        return cast(Request, request)

    site.requestFactory = makeRequest


def detached(channel: HTTPChannel) -> bytes:
    """
    Make an HTTP channel release its transport.

    @return: the bytes that it has received and not used.
    """
    letGo = getattr(channel, "letGo", None)
    if letGo is not None:
        # It is one of ours.
        letGo()
    else:
        channel.setTimeout(None)
        transport = cast(Any, channel.transport)
        transport.unregisterProducer()
        # It may have been paused because requests are queued.
        transport.resumeProducing()
    # They refer to the channel. Without them, it is freed at once.
    channel.requests.clear()
    return cast(bytes, channel.clearLineBuffer())
