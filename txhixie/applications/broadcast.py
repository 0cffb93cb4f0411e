"""
The application C{broadcast}.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketProtocol, WebSocketTransport


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

    # Transports of twisted.web.websocket have neither of the following two methods.

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that is being received has been handled, if that is known.
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
        # Not every dialect carries bytes, and all members see the same messages.
        self.transport.loseConnection(1003)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        if self._joined:
            self._broadcast.left(self)


class Broadcast:
    """
    Sends everything to everybody: C{New Connection: ID}, C{ID: message}, C{Connection Closed: ID}.

    What happens while a message is delivered waits until all members have it, so that all see the
    same order. Messages that are read together are delivered together: each member is visited
    once, and not once for each message. This matters for large numbers of members.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._members: dict[_Member, None] = {}
        # Messages to deliver, each with what to do first.
        self._pending: deque[tuple[Callable[[], object] | None, str]] = deque()
        self._delivering = False

    def buildProtocol(self, request: Request) -> WebSocketProtocol:
        """
        Return what handles a new client.
        """
        return _Member(self)

    def joined(self, member: _Member) -> None:
        """
        Add a member, and tell everybody.
        """
        self._publish(
            member, f"New Connection: {member.id}", lambda: self._members.setdefault(member)
        )

    def said(self, member: _Member, message: str) -> None:
        """
        Send a member's message to everybody.
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

        @param member: the sender.
        @param first: called right before the message is delivered.
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
                # Some transports raise once they are closed. That must not affect other members.
                self._log.failure("sending to {id}", id=member.id)
