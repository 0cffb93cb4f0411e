"""
Autobahn on Twisted, with its compiled parts; its broadcast prepares each message once.
"""

import os
from typing import Any

os.environ.setdefault("AUTOBAHN_USE_NVX", "1")

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from benchmarks.servers.options import ENDPOINT, options

loop: Any = reactor
clients: set["Echo"] = set()


class Echo(WebSocketServerProtocol):
    def onOpen(self) -> None:
        clients.add(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        clients.discard(self)


class Broadcast(Echo):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        message = self.factory.prepareMessage(payload, isBinary)
        for client in clients:
            client.sendPreparedMessage(message)


def agree(offers: list[Any]) -> Any:
    for offer in offers:
        if options.deflate and isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


factory = WebSocketServerFactory()
factory.noisy = False
factory.protocol = Echo if options.mode == "echo" else Broadcast
factory.setProtocolOptions(perMessageCompressionAccept=agree)
serverFromString(loop, ENDPOINT).listen(factory)
loop.run()
