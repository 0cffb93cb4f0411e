"""
Makes C{twistd hixie} and C{twist hixie} known, and the endpoint strings C{ws:} and C{wss:}.

Twisted loads this file whenever it looks for an endpoint, so no module of txhixie is imported
before it is needed.
"""

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

hixie = ServiceMaker(
    "txhixie",
    "txhixie.tap",
    "WebSockets in every dialect a browser ever shipped, on one port.",
    "hixie",
)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _Server:
    """
    C{ws:tcp:3400}: serves any factory over WebSockets.
    """

    prefix = "ws"

    def parseStreamServer(self, reactor, *args, **kwargs):
        from txhixie.endpoints.server import fromString

        return fromString(reactor, args, kwargs)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _Client:
    """
    C{ws://example.com/}: connects any protocol through a WebSocket.
    """

    def __init__(self, scheme):
        self.prefix = scheme

    def parseStreamClient(self, reactor, *args, **kwargs):
        from txhixie.endpoints.client import fromString

        return fromString(reactor, self.prefix, args, kwargs)


wsServer = _Server()
wsClient = _Client("ws")
wssClient = _Client("wss")
