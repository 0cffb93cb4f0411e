"""
The frames of Hixie-75 and Hixie-76 (the latter is also known as hybi-00), the same on both sides.

"Draft 75" is draft-hixie-thewebsocketprotocol-75, "draft 76" its successor -76. Both put text
between a 0x00 and a 0xFF byte; 76 adds a closing handshake.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from txhixie.dialects.connection import Connection, LastFrame, State
from txhixie.dialects.events import CloseCode, Closed, Discarded, Event, Failed
from txhixie.dialects.pieces import Pieces
from txhixie.settings import Settings

_OPEN, _CLOSING, _CLOSED = State.OPEN, State.CLOSING, State.CLOSED

# Texts of at least this many bytes are faster to copy with a join.
_MUCH = 4096
_CLOSING_FRAME = b"\xff\x00"
# More length bytes than this cannot announce anything a limit would let pass.
_MAX_LENGTH_BYTES = 8


class _Reading(IntEnum):
    """
    What the next byte received belongs to.
    """

    TYPE = 1
    TEXT = 2
    DISCARDED_TEXT = 3
    LENGTH = 4
    DISCARDED_BYTES = 5
    NOTHING = 6


_TYPE, _TEXT, _DISCARDED_TEXT, _LENGTH, _DISCARDED_BYTES, _NOTHING = _Reading


def frameText(text: str) -> bytes:
    """
    @return: C{text} as a frame of either dialect (draft 75 and 76 section 5.3).
    @raise TypeError: if C{text} is not a C{str}.
    @raise UnicodeEncodeError: if it has lone surrogates. Ill-formed UTF-8 would let a message
        end a frame early, so it never gets out.
    """
    if not isinstance(text, str):
        raise TypeError(f"a text message is a str, not {type(text).__name__}")
    data = text.encode()
    if len(data) < _MUCH:
        return b"\x00%b\xff" % data
    # This makes fewer copies of a large text.
    return b"".join((b"\x00", data, b"\xff"))


_last = LastFrame()


class HixieConnection(Connection):
    """
    What the two dialects share: the frames, and how they are read.

    Frames are read by the client's algorithm of draft 76 section 4.2. The server's in section 5.3
    loses its place when a length ends in a zero byte.
    """

    __slots__ = (
        "_discarded",
        "_failed",
        "_frameType",
        "_length",
        "_lengthBytes",
        "_notedDiscard",
        "_partial",
        "_peerClosed",
        "_reading",
        "_strict",
    )

    hasBytes = False
    # The frame that ends a connection, both ways; empty in a dialect without one.
    closingFrame: ClassVar[bytes]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._strict = settings.strict
        self._reading = _TYPE
        self._partial: Pieces | None = None
        self._length = 0
        self._lengthBytes = 0
        self._frameType = 0
        self._discarded = 0
        self._notedDiscard = False
        self._peerClosed = False
        self._failed = False

    # Sending

    def sendText(self, text: str) -> int:
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
        return self._send(_last.framesOf(texts, frameText))

    def sendBytes(self, data: bytes) -> int:
        self.checkMessage(data)
        return 0

    def sendPing(self, payload: bytes = b"") -> None:
        pass

    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self.sentClose:
            return
        self.sentClose = True
        if self.closingFrame:
            self._outgoing.append(self.closingFrame)
        self.state = _CLOSED if self.finished else _CLOSING

    # Receiving

    def receiveData(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        position = 0
        end = len(data)
        if self._reading is _TYPE and not self._strict:
            position = self._readWholeTexts(data, events)
        while position < end and self._reading is not _NOTHING:
            reading = self._reading
            if reading is _TYPE:
                position = self._readType(data, position, events)
            elif reading is _TEXT:
                position = self._readText(data, position, events)
            elif reading is _DISCARDED_TEXT:
                position = self._discardText(data, position, events)
            elif reading is _LENGTH:
                position = self._readLength(data, position, events)
            else:
                position = self._discardBytes(data, position)
        return events

    def _readWholeTexts(self, data: bytes, events: list[Event]) -> int:
        """
        Read a whole batch of text frames at once, if there is nothing but text frames. 0xFF never
        occurs inside text, so this is the case if every 0xFF but the last is followed by 0x00,
        the type of the next frame.

        @return: the position after the batch; the rest is read frame by frame.
        """
        # Finding the first is much faster than counting, which matters for single messages.
        first = data.find(b"\xff")
        if first < 0 or data[0] != 0 or len(data) - 2 > self._maxMessage:
            return 0
        if first == len(data) - 1:
            events.append(data[1:-1].decode("utf-8", "replace"))
            return first + 1
        count = data.count(b"\xff", first)
        end = data.rindex(b"\xff") + 1
        # Large messages are faster one by one: a search for two bytes is much slower than for one.
        if end > 256 * count or data.count(b"\xff\x00", 0, end) != count - 1:
            return 0
        payloads = data[1 : end - 1].split(b"\xff\x00")
        events += [payload.decode("utf-8", "replace") for payload in payloads]
        return end

    def _readType(self, data: bytes, position: int, events: list[Event]) -> int:
        frameType = data[position]
        if frameType >= 0x80:
            self._frameType = frameType
            self._length = self._lengthBytes = 0
            self._reading = _LENGTH
        elif frameType == 0:
            self._reading = _TEXT
            self.unfinished = 1
        else:
            self._reading = _DISCARDED_TEXT
            self._discarded = 0
            self._noteDiscard(frameType, events)
        return position + 1

    def _readText(self, data: bytes, position: int, events: list[Event]) -> int:
        end = data.find(b"\xff", position)
        chunk = data[position : end if end >= 0 else len(data)]
        partial = self._partial
        size = len(chunk) + (partial.size if partial is not None else 0)
        if size > self._maxMessage:
            self._fail(CloseCode.TOO_BIG, self._tooBig("text message"), events)
            return position
        if end < 0:
            if partial is None:
                partial = self._partial = Pieces()
            partial.add(chunk)
            self.unfinished = size + 1
            return len(data)
        self._reading = _TYPE
        self._partial = None
        self.unfinished = 0
        payload = chunk
        if partial is not None:
            partial.add(chunk)
            payload = partial.take()
        try:
            events.append(payload.decode("utf-8", "strict" if self._strict else "replace"))
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "a text message is not UTF-8", events)
        return end + 1

    def _discardText(self, data: bytes, position: int, events: list[Event]) -> int:
        end = data.find(b"\xff", position)
        stop = end if end >= 0 else len(data)
        self._discarded += stop - position
        if self._discarded > self._maxMessage:
            self._fail(CloseCode.TOO_BIG, self._tooBig("discarded frame"), events)
            return stop
        if end < 0:
            return stop
        self._reading = _TYPE
        return end + 1

    def _readLength(self, data: bytes, position: int, events: list[Event]) -> int:
        byte = data[position]
        self._length = self._length * 128 + (byte & 0x7F)
        self._lengthBytes += 1
        if self._length > self._maxMessage:
            self._fail(CloseCode.TOO_BIG, self._tooBig("discarded frame"), events)
        elif byte & 0x80:
            if self._lengthBytes == _MAX_LENGTH_BYTES:
                self._fail(CloseCode.PROTOCOL_ERROR, "the length of a frame does not end", events)
        elif self._length == 0 and self._frameType == 0xFF and self.closingFrame:
            self._peerClosed = True
            self._reading = _NOTHING
            if self.sentClose:
                self.state = _CLOSED
            events.append(Closed(CloseCode.NO_STATUS, ""))
        else:
            self._reading = _DISCARDED_BYTES if self._length else _TYPE
            self._noteDiscard(self._frameType, events)
        return position + 1

    def _discardBytes(self, data: bytes, position: int) -> int:
        skipped = min(self._length, len(data) - position)
        self._length -= skipped
        if not self._length:
            self._reading = _TYPE
        return position + skipped

    def _noteDiscard(self, frameType: int, events: list[Event]) -> None:
        if self._strict:
            self._fail(
                CloseCode.PROTOCOL_ERROR, f"frame type 0x{frameType:02x} is not text", events
            )
        elif not self._notedDiscard:
            self._notedDiscard = True
            events.append(Discarded(frameType))

    def _tooBig(self, what: str) -> str:
        return f"a {what} is larger than {self._maxMessage} bytes"

    def _fail(self, code: CloseCode, reason: str, events: list[Event]) -> None:
        """
        Read no further.
        """
        self.stopReceiving()
        events.append(Failed(code, reason))

    def stopReceiving(self) -> None:
        self._failed = True
        self._partial = None
        self.unfinished = 0
        self._reading = _NOTHING


class Hixie75(HixieConnection):
    """
    Draft 75, of February 2010: there is no closing handshake.
    """

    __slots__ = ()

    dialect = "hixie-75"
    closingFrame = b""

    @property
    def finished(self) -> bool:
        return self.sentClose

    @property
    def clean(self) -> bool:
        return (self.sentClose and not self._failed) or self._reading is _TYPE


class Hixie76(HixieConnection):
    """
    Draft 76, of May 2010: C{FF 00} says that no more data will come.
    """

    __slots__ = ()

    dialect = "hixie-76"
    closingFrame = _CLOSING_FRAME

    @property
    def finished(self) -> bool:
        return self.sentClose and (self._peerClosed or self._failed)

    @property
    def clean(self) -> bool:
        return self.sentClose and self._peerClosed
