"""
The contract of an open connection in every dialect.

A L{Connection} is one open WebSocket without its network: received bytes go in, events come out,
and the bytes to send are fetched. It never touches a reactor, a transport or a clock. It is made
by an opening handshake (L{txhixie.dialects.opening}).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import IntEnum
from itertools import accumulate
from typing import ClassVar

from txhixie.dialects.events import CloseCode, Event
from txhixie.settings import Settings


class State(IntEnum):
    """
    The C{readyState} of the browsers' WebSocket, with the same numbers.
    """

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


# Looking up a member of an enum is slow enough to show in the cost of a message.
_OPEN = State.OPEN


class UnsupportedMessage(TypeError):
    """
    The dialect of the connection cannot carry this kind of message: bytes, in Hixie-75 and
    Hixie-76. It is raised before anything is written, and the connection stays usable.
    """


class Connection(ABC):
    """
    One side of an open WebSocket in one dialect.

    @cvar dialect: the name of the dialect, the same in logs, settings and documentation.
    @cvar hasPing: whether the dialect has pings.
    @cvar hasBytes: whether it carries bytes messages.
    @ivar state: L{State.OPEN} at first, then L{State.CLOSING} and L{State.CLOSED}.
    @ivar sentClose: whether this side's part of the closing handshake was sent.
    @ivar unfinished: bytes that are held of a message that is not complete.
    """

    __slots__ = ("_maxMessage", "_outgoing", "sentClose", "state", "unfinished")

    dialect: ClassVar[str]
    hasPing: ClassVar[bool] = False
    hasBytes: ClassVar[bool] = True
    state: State

    def __init__(self, settings: Settings) -> None:
        """
        @param settings: limits and policies.
        """
        self._maxMessage = settings.maxMessage
        self._outgoing: list[bytes] = []
        self.unfinished = 0
        self.sentClose = False
        self.state = _OPEN

    @abstractmethod
    def receiveData(self, data: bytes) -> Iterable[Event]:
        """
        Read bytes, however they are cut, that arrived after the opening handshake.

        @return: the events in order, to be consumed at once. It never raises for anything that a
            peer sends. After L{Closed <txhixie.dialects.events.Closed>} or L{Failed
            <txhixie.dialects.events.Failed>} the result is empty.
        """

    @abstractmethod
    def stopReceiving(self) -> None:
        """
        Drop what is held of a message that is not complete, and read no further: the connection
        fails, as after L{Failed <txhixie.dialects.events.Failed>}.
        """

    @abstractmethod
    def sendText(self, text: str) -> int:
        """
        Send a text message.

        @return: the size of its frame in bytes, or 0 if the connection is closing and the message
            is not sent.
        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if C{text} has lone surrogates; nothing is sent then.
        """

    def sendTexts(self, texts: tuple[str, ...]) -> int:
        """
        Send several text messages.

        @return: the size of their frames, as for L{sendText}.
        @raise TypeError: as L{sendText}.
        @raise UnicodeEncodeError: as L{sendText}; some of the messages may be sent then.
        """
        return sum(map(self.sendText, texts))

    @abstractmethod
    def sendBytes(self, data: bytes) -> int:
        """
        Send a bytes message.

        @return: as L{sendText}.
        @raise UnsupportedMessage: if the dialect has no bytes messages.
        """

    def checkMessage(self, message: str | bytes) -> None:
        """
        Raise what L{sendText} or L{sendBytes} would raise for a message.
        """
        if isinstance(message, str):
            message.encode("utf-8")
        elif not self.hasBytes:
            raise UnsupportedMessage(f"{self.dialect} carries text only")

    @abstractmethod
    def sendPing(self, payload: bytes = b"") -> None:
        """
        Send a ping. Nothing happens in dialects without pings.
        """

    @abstractmethod
    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Start the closing handshake, or answer the peer's. Everything sent before goes out first;
        everything sent later is dropped. A second call changes nothing.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """
        Whether neither side has anything more to say: TCP may end once the bytes of
        C{dataToSend} are out.
        """

    @property
    @abstractmethod
    def clean(self) -> bool:
        """
        Whether TCP may end now without either side missing anything.
        """

    @property
    def missing(self) -> int:
        """
        How many bytes at least belong to the frame that the peer has begun, if that is known.
        """
        return 0

    @property
    def peerEndsTCP(self) -> bool:
        """
        Whether the peer should end TCP once this connection has L{finished}.
        """
        return False

    def stopSending(self) -> None:
        """
        Drop everything that is sent from now on. Reading goes on.
        """
        self.state = State.CLOSED

    def abandon(self) -> None:
        """
        Stop: the TCP connection is gone.
        """
        self.stopSending()

    def sendFirst(self, data: bytes) -> None:
        """
        Send the end of the opening handshake, before everything sent so far.
        """
        if data:
            self._outgoing.insert(0, data)

    def _send(self, frame: bytes) -> int:
        if self.state is not _OPEN:
            return 0
        self._outgoing.append(frame)
        return len(frame)

    def dataToSend(self) -> bytes:
        """
        Return the bytes to write that were added since the last call.
        """
        outgoing = self._outgoing
        if not outgoing:
            return b""
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        return data

    @property
    def unsent(self) -> int:
        """
        How many bytes C{dataToSend} would return.
        """
        return sum(map(len, self._outgoing))

    def dropUnsent(self) -> int:
        """
        Drop the bytes that C{dataToSend} would return.

        @return: how many they are.
        """
        size = self.unsent
        self._outgoing.clear()
        return size


class LastFrame:
    """
    Keeps the last text and its frame, so that a broadcast frames a message once for all receivers
    of a dialect. It also keeps the last group of texts that were framed together; a receiver may
    get only the last ones of a group.
    """

    __slots__ = ("_all", "_allFrames", "_frames", "_starts", "_texts", "frame", "text")

    def __init__(self) -> None:
        self.text: str | None = None
        self.frame = b""
        # The texts that were framed last, and where the frame of each begins.
        self._all: tuple[str, ...] = ()
        self._allFrames = b""
        self._starts: list[int] = []
        # The part of them that was returned last.
        self._texts: tuple[str, ...] = ()
        self._frames = b""

    def framesOf(self, texts: tuple[str, ...], frameText: Callable[[str], bytes]) -> bytes:
        """
        Return the frames of several texts, joined.

        @param frameText: frames one text; called only if C{texts} changed.
        """
        if texts is self._texts:
            return self._frames
        first = len(self._all) - len(texts)
        if first > 0 and self._all[first:] == texts:
            frames = self._allFrames[self._starts[first] :]
        else:
            each = [*map(frameText, texts)]
            frames = b"".join(each)
            self._all, self._allFrames = texts, frames
            self._starts = [*accumulate(map(len, each), initial=0)]
        self._texts, self._frames = texts, frames
        return frames
