"""
Answers in capitals: C{PYTHONPATH=examples twistd -n hixie --service shout.Shout}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketTransport


class Shout:
    """
    Application and protocol in one: an object for each client.
    """

    def buildProtocol(self, request: Request) -> Shout:
        """
        @return: the protocol of a new client.
        """
        return self.__class__()

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        self.transport.sendTextMessage("WELCOME")

    def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message.upper())

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self.transport.loseConnection(1003)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        pass
