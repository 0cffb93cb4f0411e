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

    from txhixie.server.factory import Application


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


def _atOnce(call: Callable[[], object]) -> None:
    call()


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

    # What txhixie's connections have for many messages to many peers; others do without.

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call something when all that is being received has been dealt with, if that is known.
        """
        getattr(self.transport, "whenReceived", _atOnce)(call)

    def sendAll(self, messages: tuple[str, ...]) -> None:
        """
        Send several messages.
        """
        send = getattr(self.transport, "sendTextMessages", None)
        if send is not None:
            send(messages)
            return
        for message in messages:
            self.transport.sendTextMessage(message)

    def textMessageReceived(self, message: str) -> None:
        self._broadcast.said(self, message)

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
    for all. Messages that come in one go are delivered in one go: each member is looked at once,
    and not once for every message, which tells where there are many.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._members: dict[_Member, None] = {}
        # What is to be done when it is a message's turn, and the message.
        self._pending: deque[tuple[Callable[[], object] | None, str]] = deque()
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
        self._publish(
            member, f"New Connection: {member.id}", lambda: self._members.setdefault(member)
        )

    def said(self, member: _Member, message: str) -> None:
        """
        Tell everybody what a member says.
        """
        self._publish(member, f"{member.id}: {message}")

    def left(self, member: _Member) -> None:
        """
        Tell the others that a member left.
        """
        self._publish(member, f"Connection Closed: {member.id}", lambda: self._members.pop(member))

    def _publish(
        self, member: _Member, message: str, first: Callable[[], object] | None = None
    ) -> None:
        """
        Send a message to all members.

        @param member: the one that it comes from.
        @param first: called right before, when it is this message's turn.
        """
        self._pending.append((first, message))
        if not self._delivering:
            self._delivering = True
            member.whenReceived(self._deliver)

    def _deliver(self) -> None:
        try:
            while self._pending:
                first, message = self._pending.popleft()
                if first is not None:
                    first()
                messages = [message]
                while self._pending and self._pending[0][0] is None:
                    messages.append(self._pending.popleft()[1])
                self._send(tuple(messages))
        finally:
            self._delivering = False

    def _send(self, messages: tuple[str, ...]) -> None:
        isSingle = len(messages) == 1
        message = messages[0]
        for member in list(self._members):
            try:
                if isSingle:
                    member.transport.sendTextMessage(message)
                else:
                    member.sendAll(messages)
            except Exception:
                # Some transports raise once they are closed: no trouble of the others'.
                self._log.failure("sending to {id}", id=member.id)


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
