"""
Twisted's own WebSockets, twisted.web.websocket.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.websocket import WebSocketResource, WebSocketTransport

from benchmarks.servers.options import ENDPOINT, options

loop: Any = reactor
clients: set["Echo"] = set()


class Echo:
    @classmethod
    def buildProtocol(cls, request: Request) -> "Echo":
        return cls()

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        clients.add(self)

    def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        clients.discard(self)


class Broadcast(Echo):
    def textMessageReceived(self, message: str) -> None:
        for client in clients:
            client.transport.sendTextMessage(message)


root = Resource()
root.putChild(
    options.mode.encode(), WebSocketResource(Echo if options.mode == "echo" else Broadcast)
)
site = Site(root)
site.noisy = False
serverFromString(loop, ENDPOINT).listen(site)
loop.run()
