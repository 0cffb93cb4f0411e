"""
Autobahn on Twisted, with its compiled parts; its broadcast prepares each message once.
"""

import os
import sys
from typing import Any

os.environ.setdefault("AUTOBAHN_USE_NVX", "1")

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor

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


mode, port = sys.argv[1:]
factory = WebSocketServerFactory()
factory.noisy = False
factory.protocol = Echo if mode == "echo" else Broadcast
factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: None)
loop.listenTCP(int(port), factory, interface="127.0.0.1")
loop.run()
