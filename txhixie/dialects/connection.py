"""
The contract of every dialect: events, states and errors.

A L{Connection} is one WebSocket without its network: bytes received go in, events come out, and
the bytes to send are fetched. It never touches a reactor, a transport or a clock.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar, TypeAlias

from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.settings import Settings


class State(IntEnum):
    """
    How far a connection is: the C{readyState} of the browsers' WebSocket, with its numbers.
    """

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


# Looking a member up in an enum is slow enough to be seen in a message's cost.
_CONNECTING, _OPEN = State.CONNECTING, State.OPEN


class CloseCode(IntEnum):
    """
    Close codes (RFC 6455 section 7.4.1). No Hixie dialect sends them; there they only tell the
    application what happened.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011


def mayBeSent(code: int) -> bool:
    """
    @return: whether a close frame may carry C{code} (RFC 6455 section 7.4).
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


class UnsupportedMessage(TypeError):
    """
    A message was sent that the connection's dialect cannot carry: bytes, in Hixie-75 and
    Hixie-76. It is raised before anything is written, and the connection stays usable.
    """


@dataclass(frozen=True, slots=True)
class Opened:
    """
    The opening handshake is complete; what is sent now reaches the peer.
    """


@dataclass(frozen=True, slots=True)
class Pong:
    """
    The peer answered a ping, or sent a pong unasked.

    @ivar payload: the ping's payload.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class Discarded:
    """
    The first frame of a kind that the dialect reads but does not deliver.

    @ivar frameType: its type byte.
    """

    frameType: int


@dataclass(frozen=True, slots=True)
class Closed:
    """
    The peer closed: nothing follows. Answer it with L{Connection.sendClose}.

    @ivar code: the close code it sent, or L{CloseCode.NO_STATUS}.
    @ivar reason: the reason it sent.
    """

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """
    The peer broke the protocol or a limit: nothing more is read. End the connection with
    L{Connection.sendClose}.

    @ivar code: the close code that names the fault.
    @ivar reason: the fault in words.
    """

    code: int
    reason: str


# A text message is its str and a bytes message its bytes: the two that come by the million
# need no object around them.
Event: TypeAlias = str | bytes | Opened | Pong | Discarded | Closed | Failed


class Connection(ABC):
    """
    The server's side of one WebSocket in one dialect.

    @cvar dialect: the name of the dialect, the same in logs, settings and documentation.
    @cvar hasPing: whether it has pings.
    @cvar hasBytes: whether it carries bytes messages.
    @ivar subprotocol: the subprotocol agreed on, or C{None}.
    @ivar state: how far the connection is.
    @ivar clean: whether it ended as its dialect says it should.
    """

    __slots__ = ("_early", "_maxMessage", "_outgoing", "_strict", "state", "subprotocol")

    dialect: ClassVar[str]
    hasPing: ClassVar[bool] = False
    hasBytes: ClassVar[bool] = True
    subprotocol: str | None
    state: State

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        """
        Read an opening handshake that this dialect L{recognizes}.

        @param head: the request, with L{RequestHead.checkUpgrade} passed.
        @param settings: limits and policies.
        @param secure: whether the client came by TLS.
        @raise HandshakeError: if the request is refused; nothing was sent then.
        """
        self._maxMessage = settings.maxMessage
        self._strict = settings.strict
        self._outgoing: list[bytes] = []
        # Frames sent before the handshake is complete; None from then on.
        self._early: list[bytes] | None = []
        self.state = State.CONNECTING
        self.subprotocol = None

    @classmethod
    @abstractmethod
    def recognizes(cls, head: RequestHead) -> bool:
        """
        @return: whether a request speaks this dialect, well or badly, going by the names of its
            header fields.
        """

    @classmethod
    def switchedOff(cls, enabled: tuple[str, ...]) -> HandshakeError:
        """
        @param enabled: the names of the dialects that are not.
        @return: the answer to a request in this dialect where it is switched off.
        """
        return HandshakeError(400, f"{cls.dialect} is switched off here")

    @abstractmethod
    def accept(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> list[Event]:
        """
        Answer the opening handshake.

        @param headers: further header fields of the answer, such as cookies.
        @return: L{Opened}, unless the dialect waits for more bytes first.
        """

    @abstractmethod
    def receiveData(self, data: bytes) -> Iterable[Event]:
        """
        @param data: what arrived after the request head, cut anywhere.
        @return: what it means, in order, to be gone through at once. Never raises for what a
            peer sends; after L{Closed} or L{Failed} the result is empty.
        """

    @abstractmethod
    def sendText(self, text: str) -> int:
        """
        Send a text message; before the handshake is complete it waits its turn.

        @return: the bytes that its frame has; 0 once the connection closes, as it is not sent.
        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if C{text} has lone surrogates; nothing is sent then.
        """

    def sendTexts(self, texts: tuple[str, ...]) -> int:
        """
        Send several text messages.

        @return: the bytes that their frames have; 0 as L{sendText}.
        @raise TypeError: as L{sendText}.
        @raise UnicodeEncodeError: likewise; some of them may be sent then.
        """
        return sum(map(self.sendText, texts))

    @abstractmethod
    def sendBytes(self, data: bytes) -> int:
        """
        Send a bytes message.

        @return: as L{sendText}.
        @raise UnsupportedMessage: if the dialect has none.
        """

    def checkMessage(self, message: str | bytes) -> None:
        """
        Raise for a message what L{sendText} or L{sendBytes} would.
        """
        if isinstance(message, str):
            message.encode("utf-8")
        elif not self.hasBytes:
            raise UnsupportedMessage(f"{self.dialect} carries text only")

    @abstractmethod
    def sendPing(self, payload: bytes = b"") -> None:
        """
        Send a ping; nothing happens in dialects without one.
        """

    @abstractmethod
    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Start the closing handshake, or answer the peer's. All that was sent before goes first;
        all that is sent later is dropped. Doing it again changes nothing.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """
        Whether nothing more is to be said by either side: TCP may end once the bytes of
        L{dataToSend} are out.
        """

    @property
    @abstractmethod
    def clean(self) -> bool:
        """
        Whether TCP may end now without anybody having missed something.
        """

    def abandon(self) -> None:
        """
        Do no more, for TCP is over.
        """
        self.state = State.CLOSED

    def _send(self, frame: bytes) -> int:
        if self.state is _OPEN:
            self._outgoing.append(frame)
            return len(frame)
        if self.state is _CONNECTING:
            self._queue(frame)
            return len(frame)
        return 0

    def _queue(self, frame: bytes) -> None:
        """
        Have a frame sent in its turn: behind the handshake's answer, if that is not out yet.
        """
        if self._early is None:
            self._outgoing.append(frame)
        else:
            self._early.append(frame)

    def _open(self) -> Opened:
        """
        Let out what had to wait for the handshake.
        """
        assert self._early is not None
        self._outgoing += self._early
        self._early = None
        if self.state is State.CONNECTING:
            self.state = State.OPEN
        return Opened()

    def dataToSend(self) -> bytes:
        """
        @return: the bytes to write since the last call.
        """
        outgoing = self._outgoing
        if not outgoing:
            return b""
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        return data


class LastFrame:
    """
    The last text that was framed, and its frame: a broadcast frames once for all the receivers of
    a dialect. The same of the last texts that were framed together.
    """

    __slots__ = ("_frames", "_texts", "frame", "text")

    def __init__(self) -> None:
        self.text: str | None = None
        self.frame = b""
        self._texts: tuple[str, ...] = ()
        self._frames = b""

    def framesOf(self, texts: tuple[str, ...], frameText: Callable[[str], bytes]) -> bytes:
        """
        @param frameText: what makes a frame, if they are others than last time.
        @return: the frames of C{texts}.
        """
        if texts is not self._texts:
            self._frames = b"".join(map(frameText, texts))
            self._texts = texts
        return self._frames


@lru_cache(maxsize=16)
def _originPattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    patterns = (re.escape(origin.lower()).replace(r"\*", "[^/]*") for origin in origins)
    return re.compile("|".join(patterns))


def originAllowed(origin: str, settings: Settings) -> bool:
    """
    @param origin: the C{Origin} a client sent.
    @return: whether L{Settings.origins} lets it in.
    """
    if not settings.origins or "*" in settings.origins:
        return True
    return _originPattern(settings.origins).fullmatch(origin.lower()) is not None


def checkOrigin(origin: bytes, settings: Settings) -> None:
    """
    @raise HandshakeError: 403 if L{Settings.origins} does not let C{origin} in.
    """
    if not originAllowed(origin.decode("iso-8859-1"), settings):
        raise HandshakeError(403, "this origin may not connect")
