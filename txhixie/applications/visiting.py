"""
Clients in a room that use a WebSocket.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from txhixie.applications.attending import Past
from txhixie.applications.room import Room
from txhixie.applications.wishes import Wish
from txhixie.backplane.contract import Entry

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from txhixie.application import WebSocketTransport
    from txhixie.applications.wording import Wording

# RFC 6455 section 7.4.1, and 1013 as it is registered.
_UNSUPPORTED, _TRY_AGAIN_LATER = 1003, 1013


class Visitor(Protocol):
    """
    A client of a room, as hooks get it.

    @ivar id: stands for the visitor in entries; that of its connection, if it has one.
    @ivar room: the name of the room.
    @ivar request: the request that it came with.
    """

    id: str
    room: str
    request: Request | None

    def send(self, text: str) -> None:
        """
        Send a message to this visitor alone. It has neither a sender nor an id.
        """

    def close(self, code: int = 1000, reason: str = "") -> None:
        """
        Close the visitor's connection.
        """


class Host(Protocol):
    """
    The rooms that a visitor belongs to.
    """

    def enter(self, name: str) -> Room | None:
        """
        Return a room, or C{None} if there are too many.
        """

    def heard(self, visitor: Visitor, message: str) -> Any:
        """
        Return what replaces a message; C{False}: nothing; or an awaitable.
        """

    def gone(self, visitor: Visitor) -> Any:
        """
        Return what goes with the news that a visitor left, or an awaitable.
        """


def _atOnce(call: Callable[[], object]) -> None:
    call()


class Member:
    """
    A WebSocket in a room: a L{Visitor}.
    """

    __slots__ = (
        "_early",
        "_host",
        "_past",
        "_room",
        "greeting",
        "id",
        "request",
        "room",
        "transport",
        "wish",
    )

    transport: WebSocketTransport

    def __init__(self, host: Host, wish: Wish, request: Request | None) -> None:
        """
        @param request: kept if hooks may need it.
        """
        self._host = host
        self._room: Room | None = None
        self._past: Past | None = None
        # Messages that are sent before there is a transport.
        self._early: list[str] | None = None
        self.wish = wish
        self.request = request
        self.room = wish.room
        self.id = ""
        # The text that goes with the news that it came.
        self.greeting = ""

    # For hooks

    def send(self, text: str) -> None:
        """
        Send a message to this visitor alone.
        """
        message = self.wish.wording.entry(Entry("", "message", "", text))
        if self._room is not None:
            # Messages that were sent before come first.
            self._room.deliver()
        if self.id:
            self.transport.sendTextMessage(message)
        else:
            self._early = [*(self._early or ()), message]

    def close(self, code: int = 1000, reason: str = "") -> None:
        """
        Close the visitor's connection.
        """
        if not self.id:
            raise RuntimeError("a visitor is refused by what the hook returns")
        if self._hasAll:
            self.transport.loseConnection(code, reason)
        else:
            self.transport.loseConnection(code)

    # The protocol

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport
        # txhixie's connections have an id; others get one here.
        self.id = getattr(transport, "id", "") or secrets.token_urlsafe(8)
        early, self._early = self._early, None
        for message in early or ():
            transport.sendTextMessage(message)

    def negotiationFinished(self) -> None:
        self._room = self._host.enter(self.room)
        if self._room is None:
            self.close(_TRY_AGAIN_LATER, "there are too many rooms")
        else:
            self._room.join(self, self.wish.start, self.greeting)

    def textMessageReceived(self, message: str) -> object:
        room = self._room
        if room is None:
            return None
        heard = self._host.heard(self, message)
        if heard is message:
            return room.say(self, message)
        return self._sayLater(room, heard) if isawaitable(heard) else self._say(room, heard)

    def _say(self, room: Room, message: str | bool) -> Deferred[Any] | None:
        return room.say(self, message) if isinstance(message, str) else None

    async def _sayLater(self, room: Room, heard: Any) -> None:
        published = self._say(room, await heard)
        if published is not None:
            await published

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        # Not every dialect carries bytes, and all members see the same messages.
        self.transport.loseConnection(_UNSUPPORTED)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> object:
        room = self._room
        if room is None:
            return None
        try:
            gone = self._host.gone(self)
            if isawaitable(gone):
                return self._leaveLater(room, gone)
        except BaseException:
            room.leave(self)
            raise
        room.leave(self, gone or "")
        return None

    async def _leaveLater(self, room: Room, gone: Any) -> None:
        text = ""
        try:
            text = await gone
        finally:
            room.leave(self, text or "")

    # For the room. Transports of twisted.web.websocket support only a part of it.

    @property
    def _hasAll(self) -> bool:
        """
        Whether the transport is one of txhixie's. Twisted's transports send no reasons, and cannot
        pause a producer.
        """
        return hasattr(self.transport, "whenSettled")

    @property
    def wording(self) -> Wording:
        """
        The format of what it gets.
        """
        return self.wish.wording

    @property
    def wantsPresence(self) -> bool:
        """
        Whether it first gets a list of the clients in the room.
        """
        return self.wish.wantsPresence

    def sendAll(self, messages: tuple[str, ...]) -> None:
        """
        Send any number of messages.
        """
        send = getattr(self.transport, "sendTextMessages", None)
        if send is not None:
            send(messages)
            return
        for message in messages:
            self.transport.sendTextMessage(message)

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

    def catchUp(self) -> None:
        """
        Prepare for much to be sent.
        """
        self._past = Past(self.whenSettled)
        if self._hasAll:
            self.transport.attachProducer(self._past)

    def ready(self) -> Deferred[None]:
        """
        Return a Deferred that fires once more can be sent of the past.
        """
        assert self._past is not None
        return self._past.ready()

    def caughtUp(self) -> None:
        """
        The past has been sent.
        """
        self._past = None
        if self._hasAll:
            self.transport.detachProducer()

    def failed(self, reason: str) -> None:
        """
        End: the room does not work.
        """
        self.close(_TRY_AGAIN_LATER, reason)
