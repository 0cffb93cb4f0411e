"""
A chat with a room for each path: C{PYTHONPATH=examples twistd -n hixie --service rooms.Rooms}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketTransport


class Rooms:
    """
    The application: clients that ask for the same path are in the same room.
    """

    def __init__(self) -> None:
        self.rooms: dict[bytes, set[Visitor]] = {}

    def buildProtocol(self, request: Request) -> Visitor:
        """
        @return: a visitor of the room.
        """
        return Visitor(self.rooms.setdefault(request.path, set()))


class Visitor:
    """
    A client in a room.
    """

    def __init__(self, room: set[Visitor]) -> None:
        self.room = room

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        self.room.add(self)

    def textMessageReceived(self, message: str) -> None:
        for visitor in self.room:
            visitor.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        # Clients of the oldest dialects could not get bytes.
        self.transport.loseConnection(1003)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        self.room.discard(self)
