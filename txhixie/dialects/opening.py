"""
The contract of an opening handshake in every dialect, and what all of them check.

A L{ServerOpening} is made from a request head. It answers with a 101 head, may wait for a few
bytes after the request head (the tail) and answer those, and then makes the open
L{txhixie.dialects.connection.Connection}.

A L{ClientOpening} is the other half. It makes the request, checks the head of the answer, may wait
for a few bytes after that (the tail) and check those, and then makes the connection.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from random import Random, SystemRandom
from typing import ClassVar

from txhixie.dialects.connection import Connection
from txhixie.dialects.head import HandshakeError, RequestHead, ResponseHead, isField
from txhixie.dialects.url import WebSocketURL
from txhixie.settings import Settings

Fields = Iterable[tuple[bytes, bytes]]


class ServerOpening(ABC):
    """
    The server's half of one opening handshake.

    @cvar dialect: the name of the dialect.
    @cvar tailSize: how many bytes a client sends after the request head before it is open.
    @ivar requested: the subprotocols that the client asked for, best first.
    @ivar subprotocol: the subprotocol agreed on, or C{None}.
    """

    __slots__ = ("_settings", "requested", "subprotocol")

    dialect: ClassVar[str]
    tailSize: ClassVar[int] = 0
    # Whether a client that asked for subprotocols refuses an answer without one.
    needsSubprotocol: ClassVar[bool] = False

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        """
        Read the request.

        @param head: a request that this dialect C{recognizes}, with L{RequestHead.checkUpgrade}
            passed.
        @param settings: limits and policies.
        @param secure: whether the client uses TLS.
        @raise HandshakeError: if the request is refused.
        """
        self._settings = settings
        self.requested = self._readSubprotocols(head)
        self.subprotocol = next(
            (name for name in self.requested if name in settings.subprotocols), None
        )

    @classmethod
    @abstractmethod
    def recognizes(cls, head: RequestHead) -> bool:
        """
        Return whether a request speaks this dialect, well or badly, going by the names of its
        header fields.
        """

    @classmethod
    def switchedOff(cls, enabled: tuple[str, ...]) -> HandshakeError:
        """
        Return the refusal of a request in this dialect, which is switched off.

        @param enabled: the names of the dialects that are switched on.
        """
        return HandshakeError(400, f"{cls.dialect} is switched off here")

    @classmethod
    def checkUpgrade(cls, head: RequestHead) -> None:
        """
        Check that a request asks for an upgrade as this dialect demands it.

        @raise HandshakeError: if it does not.
        """
        if head.lostField is not None:
            raise HandshakeError(400, lost(head.lostField))
        if head.isAbsolute:
            raise HandshakeError(400, "the request target is not an absolute path")

    @abstractmethod
    def _readSubprotocols(self, head: RequestHead) -> list[str]:
        """
        Return the subprotocols that a client asked for, best first.
        """

    def chooseSubprotocol(self, name: str) -> None:
        """
        Choose a subprotocol instead of the one that L{Settings.subprotocols} chose.

        @raise ValueError: if the client did not ask for it.
        """
        if name not in self.requested:
            raise ValueError(f"the client did not ask for the subprotocol {name!r}")
        self.subprotocol = name

    def checkSubprotocol(self) -> None:
        """
        Check that the client accepts the subprotocol that was chosen, or that none was chosen.

        @raise HandshakeError: if it cannot.
        """
        if self.needsSubprotocol and self.requested and not self.subprotocol:
            raise HandshakeError(400, "this subprotocol is not spoken here")

    @abstractmethod
    def reply(self, fields: Fields = ()) -> bytes:
        """
        Return the head of the answer, to be sent as soon as the connection is accepted.

        @param fields: further header fields, such as cookies.
        """

    def complete(self, tail: bytes) -> bytes:
        """
        Return the answer to the bytes after the request head; the connection is open then.

        @param tail: L{tailSize} bytes.
        """
        return b""

    @abstractmethod
    def connection(self) -> Connection:
        """
        Return the connection that this handshake opens. Call it once.
        """


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What a client asks a server for.

    @ivar url: the WebSocket.
    @ivar origin: the page that asks, or C{None} for a client that is no browser.
    @ivar subprotocols: those that the client speaks, best first.
    @ivar headers: names and values of further header fields, such as cookies.
    """

    url: WebSocketURL
    origin: str | None = None
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()


# Makes keys that nobody can guess.
RANDOM = SystemRandom()
# What an Origin may look like.
_ORIGIN = re.compile("[!-~]+")
# Fields that only the opening handshake itself may set, and prefixes of such names.
_OWN_FIELDS = frozenset(
    {b"connection", b"content-length", b"host", b"origin", b"transfer-encoding", b"upgrade"}
)
_OWN_PREFIXES = (b"sec-websocket-", b"websocket-")


class ClientOpening(ABC):
    """
    The client's half of one opening handshake.

    @cvar dialect: the name of the dialect.
    @cvar tailSize: how many bytes a server sends after the head of its answer before it is open.
    @cvar takesInterim: whether answers with a status below 200 may come before the final one.
    @ivar subprotocol: the subprotocol agreed on, or C{None}.
    """

    __slots__ = ("_settings", "_wish", "subprotocol")

    dialect: ClassVar[str]
    tailSize: ClassVar[int] = 0
    takesInterim: ClassVar[bool] = True

    def __init__(self, wish: Wish, settings: Settings, random: Random = RANDOM) -> None:
        """
        @param settings: limits and policies.
        @param random: makes keys.
        @raise ValueError: if the dialect cannot ask for this.
        """
        for name, value in wish.headers:
            isOwn = name.lower() in _OWN_FIELDS or name.lower().startswith(_OWN_PREFIXES)
            if isOwn or not isField(name, value):
                raise ValueError(f"{name!r}: {value!r} is not a field that a client may add")
        if wish.origin is not None and not _ORIGIN.fullmatch(wish.origin):
            raise ValueError(f"{wish.origin!r} is not an origin such as http://example.com")
        self._wish = wish
        self._settings = settings
        self.subprotocol: str | None = None

    @abstractmethod
    def request(self) -> bytes:
        """
        Return the request, to be sent as soon as the server is connected.
        """

    @abstractmethod
    def check(self, head: ResponseHead) -> None:
        """
        Check the head of the answer, whose status is 101.

        @raise txhixie.OpeningError: if it does not open what was asked for.
        """

    def complete(self, tail: bytes) -> None:
        """
        Check the bytes after the head; the connection is open then.

        @param tail: L{tailSize} bytes.
        @raise txhixie.WrongChallenge: if they are not what they should be.
        """
        assert len(tail) == self.tailSize

    @abstractmethod
    def connection(self) -> Connection:
        """
        Return the connection that this handshake opens. Call it once.
        """

    def _requestWith(self, fields: Fields) -> bytes:
        lines = b"".join(b"%b: %b\r\n" % field for field in (*fields, *self._wish.headers))
        return b"GET %b HTTP/1.1\r\n%b\r\n" % (self._wish.url.target, lines)


def lost(field: str) -> str:
    """
    Return the reason for refusing a handshake without a field.
    """
    return f"the {field} header field does not ask for a WebSocket: a proxy may have changed it"


@lru_cache(maxsize=16)
def _originPatterns(origins: tuple[str, ...]) -> tuple[list[list[str]], ...]:
    """
    Split each origin at its slashes, and each part at its asterisks.
    """
    return tuple(
        [segment.split("*") for segment in origin.lower().split("/")] for origin in origins
    )


def _matches(text: str, parts: list[str]) -> bool:
    """
    Return whether a text has these parts, with anything between them. A regular expression would
    take polynomial time for a text that does not match.
    """
    if len(parts) == 1:
        return text == parts[0]
    first, *others, last = parts
    position, end = len(first), len(text) - len(last)
    if position > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in others:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def originAllowed(origin: str, settings: Settings) -> bool:
    """
    Return whether L{Settings.origins} admits an C{Origin} that a client sent.
    """
    if not settings.origins or "*" in settings.origins:
        return True
    segments = origin.lower().split("/")
    return any(
        len(segments) == len(pattern) and all(map(_matches, segments, pattern))
        for pattern in _originPatterns(settings.origins)
    )


def checkOrigin(origin: bytes, settings: Settings) -> None:
    """
    @raise HandshakeError: 403 if L{Settings.origins} does not admit C{origin}.
    """
    if not originAllowed(origin.decode("iso-8859-1"), settings):
        raise HandshakeError(403, "this origin may not connect")
