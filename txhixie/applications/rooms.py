"""
Rooms, each at a path of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txhixie.applications.room import Room
from txhixie.applications.visiting import Member, Visitor
from txhixie.applications.wishes import Wish, checkName, readWish, segments
from txhixie.backplane.contract import Backplane
from txhixie.backplane.local import LocalBackplane
from txhixie.dialects.head import HandshakeError, comeAgain
from txhixie.settings import Settings

if TYPE_CHECKING:
    from twisted.web.server import Request

    from txhixie.application import WebSocketProtocol

# What a hook answers: a text replaces the message; None leaves it, False refuses.
Answer = str | bool | None
JoinHook = Callable[[Visitor], Answer | Awaitable[Answer]]
MessageHook = Callable[[Visitor, str], Answer | Awaitable[Answer]]
LeaveHook = Callable[[Visitor], str | Awaitable[str | None] | None]


class Rooms:
    """
    Sends everything that a client sends to a room to everybody in it: C{New Connection: ID}, C{ID:
    message}, C{Connection Closed: ID}. All get the same order.

    Below the path of the rooms, the next segment names the room: with the path C{/chat},
    C{/chat/red} leads to the room C{red}, and every other path to the room without a name.

    The query says what a client wants: C{?last=N} begins with the newest N entries, C{?since=ID}
    with the entries after that one, C{?format=json} makes each entry a JSON object, C{?presence}
    adds a list of the clients in the room.

    Hooks may be coroutines or return Deferreds. What a connection sends meanwhile waits. If a hook
    raises, the connection is refused or closed.
    """

    def __init__(
        self,
        path: str = "/",
        backplane: Backplane | None = None,
        maxRooms: int = Settings().maxRooms,
        *,
        onJoin: JoinHook | None = None,
        onMessage: MessageHook | None = None,
        onLeave: LeaveHook | None = None,
    ) -> None:
        """
        @param path: where the rooms are. Rooms of the same path and name on one backplane are one.
        @param backplane: by default that of the server, see L{useBackplane}, or else one in memory.
        @param maxRooms: rooms that may have clients at the same time.
        @param onJoin: asked about each client before its handshake is answered. C{False} refuses
            it with 403, and a L{txhixie.HandshakeError} with any status. A text goes with the news
            in the format C{json}.
        @param onMessage: asked about each message. A text is sent instead of it; C{False}: none.
        @param onLeave: called with each client that leaves. A text that it returns goes with the
            news.
        @raise ValueError: if C{path} is not a path.
        """
        self.setPath(path)
        self._backplane = backplane
        self._maxRooms = maxRooms
        self._onJoin = onJoin
        self._onMessage = onMessage
        self._onLeave = onLeave
        self._rooms: dict[str, Room] = {}

    def setPath(self, path: str) -> None:
        """
        Change where the rooms are, before there are any.

        @raise ValueError: if C{path} is no path.
        """
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not a path like /chat")
        self._base = segments(path.encode())
        self._prefix = "".join(f"/{each.decode('utf-8')}" for each in self._base)

    def useBackplane(self, backplane: Backplane, settings: Settings) -> None:
        """
        Use the backplane of the server, unless there is one already, and its limits. C{twistd
        hixie} calls this on every application that has it.
        """
        if self._backplane is None:
            self._backplane = backplane
            self._maxRooms = settings.maxRooms

    @property
    def path(self) -> str:
        """
        Where the rooms are.
        """
        return self._prefix or "/"

    @property
    def backplane(self) -> Backplane:
        """
        The backplane that carries the messages.
        """
        if self._backplane is None:
            self._backplane = LocalBackplane(maxRooms=self._maxRooms)
        return self._backplane

    # Called by the rest of the program

    def __len__(self) -> int:
        """
        Return how many rooms have clients in this process.
        """
        return len(self._rooms)

    def __bool__(self) -> bool:
        """
        Iterate over the names of the rooms that have clients in this process.
        """
        return True

    def __iter__(self) -> Iterator[str]:
        """
        Iterate over the names of the rooms that have clients in this process.
        """
        return iter(list(self._rooms))

    def send(self, room: str, text: str, sender: str = "", key: str = "") -> Deferred[str | None]:
        """
        Send a message to a room from outside. No hook is asked.

        @param sender: who says it; with an empty one, clients see the text alone.
        @param key: see L{Backplane.publish<txhixie.backplane.contract.Backplane.publish>}.
        @return: fires with the id of the entry, or fails with
            L{BackplaneError<txhixie.backplane.contract.BackplaneError>}.
        @raise TypeError: if C{text} is not a C{str}.
        @raise ValueError: if there cannot be such a room.
        @raise UnicodeEncodeError: if C{text} has lone surrogates.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text message is a str, not {type(text).__name__}")
        text.encode()
        found = self._rooms.get(checkName(room))
        if found is not None:
            found.gather()
        return self.backplane.publish(self._key(room), "message", sender, text, key)

    def members(self, room: str) -> Deferred[tuple[str, ...]]:
        """
        Return a Deferred that fires with the ids of those in a room, on any node.

        @raise ValueError: if there cannot be such a room.
        """
        return self.backplane.members(self._key(checkName(room)))

    # Called by the server and its resources

    def buildProtocol(
        self, request: Request
    ) -> WebSocketProtocol | Awaitable[WebSocketProtocol | None]:
        """
        Return what handles a new client.

        @raise HandshakeError: 404 or 400 if the path or the query means nothing, 503 if there are
            too many rooms or the backplane does not work at the moment.
        """
        wish = Wish() if request is None else readWish(self._base, request)
        self.checkPlace(wish.room)
        hasHooks = self._onJoin or self._onMessage or self._onLeave
        member = Member(self, wish, request if hasHooks else None)
        if self._onJoin is None:
            return member
        return self._admit(member)

    async def _admit(self, member: Member) -> Member:
        member.greeting = await self.asked(member)
        return member

    async def asked(self, visitor: Visitor) -> str:
        """
        Ask whether a visitor may come.

        @return: what goes with the news of it.
        @raise HandshakeError: if it may not.
        """
        answer = None if self._onJoin is None else self._onJoin(visitor)
        if isawaitable(answer):
            answer = await _inTwisted(answer)
        if answer is False:
            raise HandshakeError(403, "this room is closed to you")
        return str(_text(answer, ""))

    def checkPlace(self, room: str) -> None:
        """
        Check that a room is available now.

        @raise HandshakeError: 503 if not.
        """
        problem = self.backplane.problem
        if problem is not None:
            raise comeAgain(problem)
        if room not in self._rooms and len(self._rooms) >= self._maxRooms:
            raise comeAgain("there are too many rooms")

    def enter(self, name: str) -> Room | None:
        """
        Return a room, or C{None} if there are too many.
        """
        room = self._rooms.get(name)
        if room is None and len(self._rooms) < self._maxRooms:
            room = self._rooms[name] = Room(name, self._key(name), self.backplane, self._emptied)
        return room

    def heard(self, visitor: Visitor, message: str) -> Any:
        """
        Return what replaces a message, C{False} for nothing, or an awaitable.
        """
        if self._onMessage is None:
            return message
        answer = self._onMessage(visitor, message)
        if isawaitable(answer):
            return _textLater(answer, message)
        return _text(answer, message)

    def gone(self, visitor: Visitor) -> Any:
        """
        Return what goes with the news that a visitor left, or an awaitable.
        """
        answer = None if self._onLeave is None else self._onLeave(visitor)
        if isawaitable(answer):
            return _textLater(answer, "")
        return _text(answer, "")

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if name else self.path

    def _emptied(self, room: Room) -> None:
        room.close()
        del self._rooms[room.name]


def _text(answer: object, default: str) -> str | bool:
    """
    Return what a hook wants to send; C{False}: nothing.

    @param default: what there is already.
    @raise TypeError: if it is not a valid answer.
    @raise UnicodeEncodeError: if it has lone surrogates.
    """
    if answer is None or answer is True:
        return default
    if isinstance(answer, str):
        answer.encode()
    elif answer is not False:
        raise TypeError(f"a hook answers with a str, a bool or None, not {answer!r}")
    return answer


async def _textLater(answer: Awaitable[object], default: str) -> str | bool:
    return _text(await _inTwisted(answer), default)


def _inTwisted(answer: Awaitable[Any]) -> Awaitable[Any]:
    return Deferred.fromFuture(answer) if asyncio.isfuture(answer) else answer
