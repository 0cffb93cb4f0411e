"""
The application C{broadcast}.
"""

from __future__ import annotations

import secrets
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

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

    # Transports of twisted.web.websocket have none of the following three methods.

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that is being received has been handled, if that is known.
        """
        getattr(self.transport, "whenReceived", _atOnce)(call)

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that came together has been handled, if that is known.
        """
        getattr(self.transport, "whenSettled", _atOnce)(call)

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


class _Change(Enum):
    """
    What goes with a message.
    """

    NONE = auto()
    JOINED = auto()
    LEFT = auto()


class _News(NamedTuple):
    """
    A message to all, and what goes with it.
    """

    text: str
    member: _Member
    change: _Change


class Broadcast:
    """
    Sends everything to everybody: C{New Connection: ID}, C{ID: message}, C{Connection Closed: ID}.

    What happens while a message is delivered waits until all members have it, so that all see the
    same order. Messages that are read together are delivered together: each member is visited
    once, and not once for each message. So are those about members who come or leave together,
    however they are read. This matters for large numbers of members.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._members: dict[_Member, None] = {}
        self._pending: list[_News] = []
        # Whether the delivery of messages, or of news about members, is due.
        self._isDue = False
        self._isDueLater = False
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
        self._changed(_News(f"New Connection: {member.id}", member, _Change.JOINED))

    def left(self, member: _Member) -> None:
        """
        Tell the others that a member left.
        """
        self._changed(_News(f"Connection Closed: {member.id}", member, _Change.LEFT))

    def said(self, member: _Member, message: str) -> None:
        """
        Send a member's message to everybody, and all that is pending before it.
        """
        self._pending.append(_News(f"{member.id}: {message}", member, _Change.NONE))
        if not self._isDue:
            self._isDue = True
            member.whenReceived(self._deliver)

    def _changed(self, news: _News) -> None:
        self._pending.append(news)
        if not self._isDueLater:
            self._isDueLater = True
            news.member.whenSettled(self._deliver)

    def _deliver(self) -> None:
        self._isDue = self._isDueLater = False
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._pending:
                pending, self._pending = self._pending, []
                self._deliverTogether(pending)
        finally:
            self._delivering = False

    def _deliverTogether(self, pending: list[_News]) -> None:
        """
        Deliver messages to each member in one go.
        """
        # The first message for each new member.
        first: dict[_Member, int] = {}
        for number, (_, member, change) in enumerate(pending):
            if change is _Change.JOINED:
                self._members[member] = None
                first[member] = number
            elif change is _Change.LEFT:
                del self._members[member]
        texts = tuple(text for text, *_ in pending)
        isSingle = len(texts) == 1
        for member in list(self._members):
            try:
                if isSingle:
                    member.transport.sendTextMessage(texts[0])
                elif first:
                    member.sendAll(texts[first.get(member, 0) :])
                else:
                    member.sendAll(texts)
            except Exception:
                # Some transports raise once they are closed. That must not affect other members.
                self._log.failure("sending to {id}", id=member.id)
