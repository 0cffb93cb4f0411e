"""An application for clients that cannot send: it sends them their address, and closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketTransport


class Greeting:
    """
    Sends one message: the address of the client.
    """

    transport: WebSocketTransport

    def __init__(self, request: Request | None = None) -> None:
        self._address = "" if request is None else request.getClientAddress().host

    def buildProtocol(self, request: Request) -> Greeting:
        return Greeting(request)

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        self.transport.sendTextMessage(self._address)
        self.transport.loseConnection(1000)

    def textMessageReceived(self, message: str) -> None:
        pass

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        pass
