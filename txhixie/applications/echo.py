"""
The application C{echo}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketProtocol, WebSocketTransport


class _EchoProtocol:
    """
    One client of L{Echo}.
    """

    __slots__ = ("_transport",)

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        if message == "kill":
            self._transport.loseConnection()
        else:
            self._transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._transport.sendBytesMessage(bytes(data))

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        pass


class Echo:
    """
    Sends every message back; the message C{kill} makes it end the connection.
    """

    def buildProtocol(self, request: Request) -> WebSocketProtocol:
        """
        Return what handles a new client.
        """
        return _EchoProtocol()
