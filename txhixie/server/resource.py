"""
A WebSocket application as a resource of a twisted.web tree.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from txhixie.application import Application
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.server.factory import HixieFactory
from txhixie.server.protocol import HixieProtocol
from txhixie.settings import Settings
from txhixie.web.upgrading import detached, headOf


class HixieResource(Resource):
    """
    Answers opening handshakes of every dialect at one path of a twisted.web tree, and at all paths
    below it.

    In a site of L{txhixie.HixieFactory}, the limits of that factory apply. In any other C{Site} the
    resource has its own limits, and a Hixie-76 handshake with a C{Content-Length} is refused,
    because such a site has read the nonce as a body.

    @ivar factory: the factory of connections from other sites.
    """

    isLeaf = True

    _log = Logger()

    def __init__(
        self,
        application: Application,
        settings: Settings = Settings(),
        reactor: IReactorTime | None = None,
    ) -> None:
        """
        @param application: what answers opening handshakes.
        @param settings: limits and policies in sites that are not L{txhixie.HixieFactory}'s.
        @param reactor: the clock; by default the reactor that is installed.
        """
        super().__init__()
        self._application = application
        self.factory = HixieFactory(application, settings=settings, reactor=reactor)

    def render(self, request: Request) -> bytes | int:
        """
        Upgrade the connection of a request, or refuse it.
        """
        head = headOf(request.requestHeaders, request.method, request.uri, request.clientproto)
        channel = request.channel
        if not head.isHandshake:
            return refuse(request, HandshakeError(426, "", [(b"Upgrade", b"websocket")]))
        if not isinstance(channel, HTTPChannel):
            return refuse(request, HandshakeError(505, "a WebSocket is opened with HTTP/1.1"))
        upgrader = getattr(request, "upgrader", None)
        if isinstance(upgrader, HixieProtocol):
            upgrader.upgrade(head, detached(channel), self._application)
            return NOT_DONE_YET
        if b"content-length" in head.fields and b"sec-websocket-key1" in head.fields:
            error = HandshakeError(400, "this site reads the nonce of Hixie-76 as a body")
            self._log.info(
                "refused {peer}: {text}", peer=request.getClientAddress(), text=error.text
            )
            return refuse(request, error)
        self._takeOver(channel, head)
        return NOT_DONE_YET

    def _takeOver(self, channel: HTTPChannel, head: RequestHead) -> None:
        """
        Take the connection of a site that is not ours.
        """
        rest = detached(channel)
        protocol = self.factory.adopt(cast(Any, channel.transport))
        # Both may be replaced on the protocol later.
        taken = cast(Any, channel)
        taken.dataReceived = lambda data: protocol.dataReceived(data)
        taken.connectionLost = lambda reason: protocol.connectionLost(reason)
        host = getattr(protocol.transport.getPeer(), "host", "")
        try:
            self.factory.admit(protocol, host)
        except HandshakeError as error:
            protocol.refuse(error)
        else:
            protocol.upgrade(head, rest)


def refuse(request: Request, error: HandshakeError) -> bytes:
    """
    Return the body of an answer that refuses a request.
    """
    request.setResponseCode(error.status)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    for name, value in error.headers:
        request.setHeader(name, value)
    if error.status == 426:
        request.setHeader(b"Connection", b"Upgrade")
    return b"" if request.method == b"HEAD" else error.text.encode() + b"\n"
