"""
RFC 6455, and hybi-07 and hybi-08 on the way to it: what a connection makes of the frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from txhixie.dialects.connection import Connection, LastFrame, State
from txhixie.dialects.events import CloseCode, Event
from txhixie.dialects.framing import Framing, frameText
from txhixie.settings import Settings

_OPEN, _CLOSING, _CLOSED = State.OPEN, State.CLOSING, State.CLOSED

# Every few bytes can inflate to a whole message, so compressed input is read in slices.
_SLICE = 4096

_last = LastFrame()


class Rfc6455(Connection):
    """
    Version 13: RFC 6455, and hybi-13 to -17 before it.
    """

    __slots__ = (
        "_closeFrame",
        "_ended",
        "_framing",
        "_isCompressed",
        "_peerClosed",
        "_sentClose",
        "_sharesFrames",
    )

    dialect = "rfc6455"
    hasPing = True

    def __init__(self, settings: Settings, framing: Framing) -> None:
        """
        @param framing: makes messages of frames; it knows the extensions agreed on.
        """
        super().__init__(settings)
        self._framing = framing
        self._sharesFrames = framing.sharesFrames
        self._isCompressed = bool(framing.extensions)
        self._sentClose = False
        self._peerClosed = False
        self._ended = False
        self._closeFrame = b""

    # Sending

    def sendText(self, text: str) -> int:
        # The same steps as in Hixie, and not shared: a call more would show in the cost of every
        # small message.
        if not self._sharesFrames:
            return self._send(self._framing.frameText(text)) if self.state is _OPEN else 0
        last = _last
        if text is not last.text:
            last.frame = frameText(text)
            last.text = text
        frame = last.frame
        if self.state is _OPEN:
            self._outgoing.append(frame)
            return len(frame)
        return 0

    def sendTexts(self, texts: tuple[str, ...]) -> int:
        if not self._sharesFrames:
            return super().sendTexts(texts)
        return self._send(_last.framesOf(texts, frameText))

    def sendBytes(self, data: bytes) -> int:
        return self._send(self._framing.frameBytes(data)) if self.state is _OPEN else 0

    def sendPing(self, payload: bytes = b"") -> None:
        if len(payload) > 125:
            raise ValueError("the payload of a ping has at most 125 bytes")
        self._send(self._framing.framePing(payload))

    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self._sentClose:
            return
        self._outgoing.append(self._framing.closeFrame(code, reason) or self._closeFrame)
        self._sentClose = True
        self.state = _CLOSED if self._ended else _CLOSING

    # Receiving

    def receiveData(self, data: bytes) -> Iterable[Event]:
        if self._isCompressed:
            return self._receiveSlices(data)
        return self._receive(data)

    def _receiveSlices(self, data: bytes) -> Iterator[Event]:
        for start in range(0, len(data), _SLICE):
            yield from self._receive(data[start : start + _SLICE])

    def _receive(self, data: bytes) -> list[Event]:
        if self._ended:
            return []
        framing = self._framing
        events = framing.receive(data)
        answers = framing.takeAnswers()
        if framing.hasStopped:
            self._stop(answers, events)
        if answers and not self._sentClose:
            self._outgoing += answers
        return events

    def _stop(self, answers: list[bytes], events: list[Event]) -> None:
        """
        Note how reading ended: the library stops after a close frame and after a fault. Its close
        frame is kept until the messages before the peer's close have been handled.
        """
        self._ended = True
        failed = self._framing.failure(self._sentClose)
        if failed is None:
            self._peerClosed = True
        else:
            events.append(failed)
        self._framing.forgetAll()
        if self._sentClose:
            self.state = _CLOSED
        else:
            self._closeFrame = answers.pop()

    # The end

    def abandon(self) -> None:
        super().abandon()
        self._ended = True
        self._framing.forgetAll()

    @property
    def finished(self) -> bool:
        return self._sentClose and self._ended

    @property
    def clean(self) -> bool:
        return self._sentClose and self._peerClosed


class Hybi08(Rfc6455):
    """
    Version 8: hybi-08 to -12, in Firefox 7 to 10 and Chrome 14 and 15.
    """

    __slots__ = ()

    dialect = "hybi-08"


class Hybi07(Rfc6455):
    """
    Version 7: hybi-07, in Firefox 6.
    """

    __slots__ = ()

    dialect = "hybi-07"
