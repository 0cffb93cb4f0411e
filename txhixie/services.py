"""
The built-in applications: C{echo} and C{broadcast}.

They are written to Twisted's C{WebSocketProtocol} and C{WebSocketTransport} alone, so that they
also run in C{twisted.web.websocket.WebSocketResource}.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketProtocol, WebSocketTransport

    from txhixie.factory import Application


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
        @return: the protocol of a new client.
        """
        return _EchoProtocol()


class _Member:
    """
    One client of a L{Broadcast}.
    """

    __slots__ = ("_broadcast", "_joined", "id", "transport")

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self._joined = False

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport
        # txhixie's connections have an id; others get one here.
        self.id: str = getattr(transport, "id", "") or secrets.token_urlsafe(8)

    def negotiationFinished(self) -> None:
        self._joined = True
        self._broadcast.joined(self)

    def textMessageReceived(self, message: str) -> None:
        self._broadcast.publish(f"{self.id}: {message}")

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        # Not every dialect carries bytes, and everybody is to see the same.
        self.transport.loseConnection(1003)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        if self._joined:
            self._broadcast.left(self)


class Broadcast:
    """
    Tells everybody everything: C{New Connection: ID}, C{ID: message}, C{Connection Closed: ID}.

    What happens while a message is delivered waits until all have it, so that there is one order
    for all.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._members: dict[_Member, None] = {}
        self._pending: deque[tuple[Callable[[], object], str]] = deque()
        self._delivering = False

    def buildProtocol(self, request: Request) -> WebSocketProtocol:
        """
        @return: the protocol of a new client.
        """
        return _Member(self)

    def joined(self, member: _Member) -> None:
        """
        Let a member in, and tell everybody.
        """
        self.publish(f"New Connection: {member.id}", lambda: self._members.setdefault(member))

    def left(self, member: _Member) -> None:
        """
        Tell the others that a member left.
        """
        self.publish(f"Connection Closed: {member.id}", lambda: self._members.pop(member))

    def publish(self, message: str, first: Callable[[], object] = lambda: None) -> None:
        """
        Send a message to all members.

        @param first: called right before, when it is this message's turn.
        """
        self._pending.append((first, message))
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._pending:
                first, message = self._pending.popleft()
                first()
                for member in list(self._members):
                    try:
                        member.transport.sendTextMessage(message)
                    except Exception:
                        # Some transports raise once they are closed: no trouble of the others'.
                        self._log.failure("sending to {id}", id=member.id)
        finally:
            self._delivering = False


# What --service names. A service plugs in here.
SERVICES: dict[str, Callable[[], Application]] = {"echo": Echo, "broadcast": Broadcast}


class Routes:
    """
    Asks one of several applications, by the first segment of the request's path.
    """

    def __init__(self, routes: Mapping[bytes, Application], default: Application) -> None:
        """
        @param routes: applications by path segment.
        @param default: what answers everywhere else.
        """
        self._routes = dict(routes)
        self._default = default

    def buildProtocol(
        self, request: Request
    ) -> WebSocketProtocol | Awaitable[WebSocketProtocol | None] | None:
        """
        @return: what the application answers.
        """
        segment = request.path[1:].split(b"/", 1)[0]
        return self._routes.get(segment, self._default).buildProtocol(request)
