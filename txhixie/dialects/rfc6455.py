"""
RFC 6455, and hybi-07 and hybi-08 on the way to it: what a connection makes of the frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from txhixie.dialects.connection import Connection, State
from txhixie.dialects.events import CloseCode, Event
from txhixie.dialects.frames import Frames, framesFor
from txhixie.dialects.framing import Deflate, Framing, framePing
from txhixie.settings import Settings

_OPEN, _CLOSING, _CLOSED = State.OPEN, State.CLOSING, State.CLOSED

# A few compressed bytes can inflate to a whole message, so compressed input is read in slices.
_SLICE = 4096


class Rfc6455(Connection):
    """
    Version 13: RFC 6455, and hybi-13 to -17 before it.
    """

    __slots__ = (
        "_closeFrame",
        "_deflate",
        "_ended",
        "_frames",
        "_framing",
        "_isClient",
        "_peerClosed",
        "_settings",
    )

    dialect = "rfc6455"
    hasPing = True

    def __init__(
        self,
        settings: Settings,
        deflate: Deflate | None = None,
        isClient: bool = False,
    ) -> None:
        """
        @param deflate: the extension agreed on, if any.
        @param isClient: whether this is the client's side, which masks what it sends.
        """
        super().__init__(settings)
        self._settings = settings
        self._deflate = deflate
        self._isClient = isClient
        # A client masks each frame anew, so nothing can be shared there.
        self._frames: Frames | None = None
        if not isClient:
            self._frames = framesFor(None if deflate is None else deflate.local_max_window_bits)
        # It is made when it is needed: it takes half of the memory of an idle connection.
        self._framing: Framing | None = None
        self._peerClosed = False
        self._ended = False
        self._closeFrame = b""

    def _makeFraming(self) -> Framing:
        if self._framing is None:
            self._framing = Framing(self._settings, self._deflate, self._isClient)
        return self._framing

    # Sending

    def sendText(self, text: str) -> int:
        # The same steps as in Hixie, but not shared: one more call would show in the cost of every
        # small message.
        frames = self._frames
        if frames is None:
            if self.state is not _OPEN:
                return 0
            return self._send(self._makeFraming().frameText(text))
        last = frames.last
        if text is not last.text:
            last.frame = frames.frameText(text)
            last.text = text
        frame = last.frame
        if self.state is _OPEN:
            self._outgoing.append(frame)
            return len(frame)
        return 0

    def sendTexts(self, texts: tuple[str, ...]) -> int:
        frames = self._frames
        if frames is None:
            return super().sendTexts(texts)
        return self._send(frames.last.framesOf(texts, frames.frameText))

    def sendBytes(self, data: bytes) -> int:
        if self.state is not _OPEN:
            return 0
        return self._send((self._frames or self._makeFraming()).frameBytes(data))

    def sendPing(self, payload: bytes = b"") -> None:
        if len(payload) > 125:
            raise ValueError("the payload of a ping has at most 125 bytes")
        self._send(framePing(payload, self._isClient))

    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self.sentClose:
            return
        self._outgoing.append(self._makeFraming().closeFrame(code, reason) or self._closeFrame)
        self.sentClose = True
        self.state = _CLOSED if self._ended else _CLOSING

    # Receiving

    def receiveData(self, data: bytes) -> Iterable[Event]:
        if self._deflate is not None:
            return self._receiveSlices(data)
        return self._receive(data)

    def _receiveSlices(self, data: bytes) -> Iterator[Event]:
        for start in range(0, len(data), _SLICE):
            yield from self._receive(data[start : start + _SLICE])

    def _receive(self, data: bytes) -> list[Event]:
        if self._ended:
            return []
        framing = self._framing or self._makeFraming()
        events = framing.receive(data)
        self.unfinished = framing.unfinished
        answers = framing.takeAnswers()
        if framing.hasStopped:
            self._stop(framing, answers, events)
        if answers and not self.sentClose:
            self._outgoing += answers
        return events

    def _stop(self, framing: Framing, answers: list[bytes], events: list[Event]) -> None:
        """
        Note how reading ended: the library stops after a close frame and after a fault. Its close
        frame is kept until the messages before the peer's close have been handled.
        """
        self._ended = True
        failed = framing.failure(self.sentClose)
        if failed is None:
            self._peerClosed = True
        else:
            events.append(failed)
        framing.forgetAll()
        self.unfinished = 0
        if self.sentClose:
            self.state = _CLOSED
        else:
            self._closeFrame = answers.pop()

    # The end

    def stopReceiving(self) -> None:
        self._ended = True
        self.unfinished = 0
        if self._framing is not None:
            self._framing.forgetAll()

    def abandon(self) -> None:
        super().abandon()
        self.stopReceiving()

    @property
    def finished(self) -> bool:
        return self.sentClose and self._ended

    @property
    def clean(self) -> bool:
        return self.sentClose and self._peerClosed

    @property
    def missing(self) -> int:
        # Compressed bytes are read in slices, because each slice may become large.
        if self._framing is None or self._ended or self._deflate is not None:
            return 0
        return self._framing.missing

    @property
    def peerEndsTCP(self) -> bool:
        # The server ends TCP first (RFC 6455 section 7.1.1), so that the port of the client is free
        # again.
        return self._isClient


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
