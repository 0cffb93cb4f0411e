"""
Hixie-75 and Hixie-76 (the latter also known as hybi-00), the server's side.

"Draft 75" is draft-hixie-thewebsocketprotocol-75, "draft 76" its successor -76. Both put text
between a 0x00 and a 0xFF byte; 76 adds a challenge to the opening handshake and a closing one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from hashlib import md5
from typing import ClassVar

from txhixie.dialects.connection import (
    CloseCode,
    Closed,
    Connection,
    Discarded,
    Event,
    Failed,
    LastFrame,
    State,
    checkOrigin,
)
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.settings import Settings

_OPEN, _CLOSING, _CLOSED = State.OPEN, State.CLOSING, State.CLOSED

_CLOSING_FRAME = b"\xff\x00"
_NONCE_SIZE = 8
# More length bytes than this cannot announce anything a limit would let pass.
_MAX_LENGTH_BYTES = 8

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
_NOT_DIGITS = bytes(byte for byte in range(256) if byte not in b"0123456789")
_LARGEST_NUMBER = 2**32 - 1


class _Reading(IntEnum):
    """
    What the next byte received belongs to.
    """

    NONCE = 0
    TYPE = 1
    TEXT = 2
    DISCARDED_TEXT = 3
    LENGTH = 4
    DISCARDED_BYTES = 5
    NOTHING = 6


_NONCE, _TYPE, _TEXT, _DISCARDED_TEXT, _LENGTH, _DISCARDED_BYTES, _NOTHING = _Reading


def keyNumber(key: bytes) -> int:
    """
    The number hidden in a C{Sec-WebSocket-Key1} or C{-Key2}: its digits divided by the count of
    its spaces (draft 76 section 5.2, steps 4 to 7).

    @raise HandshakeError: 400 for a key that no conforming client can make.
    """
    digits = key.translate(None, _NOT_DIGITS)
    significant = digits.lstrip(b"0")
    spaces = key.count(b" ")
    # A client's product fits 32 bits (draft 76 section 4.1), so ten digits; checked before
    # int(), which is slow on long input and refuses very long input with an error of its own.
    if not digits or len(significant) > 10 or b"\t" in key:
        raise HandshakeError(400, "a key holds no number")
    number = int(significant or b"0")
    if not spaces or number > _LARGEST_NUMBER or number % spaces:
        raise HandshakeError(400, "a key was not made by a WebSocket client")
    return number // spaces


def challengeResponse(part1: int, part2: int, nonce: bytes) -> bytes:
    """
    @param part1: the L{keyNumber} of C{Sec-WebSocket-Key1}.
    @param part2: that of C{Sec-WebSocket-Key2}.
    @param nonce: the eight bytes that follow the head, sometimes called key3.
    @return: the 16 bytes that prove the request was read (draft 76 section 5.2, steps 8 and 9).
    """
    challenge = part1.to_bytes(4, "big") + part2.to_bytes(4, "big") + nonce
    return md5(challenge, usedforsecurity=False).digest()


def location(head: RequestHead, settings: Settings, secure: bool) -> bytes:
    """
    The URL of this request as the client knows it, which it compares byte for byte (draft 75 and
    76 section 3.1 and 3.2).

    @raise HandshakeError: 400 without exactly one well-formed C{Host}.
    """
    host = head.single(b"host")
    if host is None:
        raise HandshakeError(400, "there is no Host header field")
    match = _HOST.fullmatch(host)
    if match is None:
        raise HandshakeError(400, "the Host header field is malformed")
    name, port = match.groups()
    if port is not None and not 1 <= int(port) <= 65535:
        raise HandshakeError(400, "the port in the Host header field is out of range")
    if settings.location is not None:
        return settings.location.encode("ascii") + head.target
    scheme, defaultPort = (b"wss", 443) if secure else (b"ws", 80)
    suffix = b"" if port is None or int(port) == defaultPort else b":%d" % int(port)
    return b"%b://%b%b%b" % (scheme, name.lower(), suffix, head.target)


def frameText(text: str) -> bytes:
    """
    @return: C{text} as a frame of either dialect (draft 75 and 76 section 5.3).
    @raise TypeError: if C{text} is not a C{str}.
    @raise UnicodeEncodeError: if it has lone surrogates. Ill-formed UTF-8 would let a message
        end a frame early, so it never gets out.
    """
    if not isinstance(text, str):
        raise TypeError(f"a text message is a str, not {type(text).__name__}")
    return b"\x00" + text.encode() + b"\xff"


_last = LastFrame()


class HixieConnection(Connection):
    """
    What the two dialects share: the reply's fields, the frames, and how they are read.

    Frames are read as by the client's algorithm of draft 76 section 4.2; the server's in
    section 5.3 loses its place when a length ends in a zero byte.
    """

    __slots__ = (
        "_discarded",
        "_failed",
        "_frameType",
        "_length",
        "_lengthBytes",
        "_location",
        "_notedDiscard",
        "_origin",
        "_partial",
        "_peerClosed",
        "_reading",
        "_sentClose",
    )

    hasBytes = False
    fieldPrefix: ClassVar[bytes]
    statusLine: ClassVar[bytes]
    # The frame that ends a connection, both ways; empty in a dialect without one.
    closingFrame: ClassVar[bytes]
    # What a request may give as its Content-Length; its body is no HTTP body either way.
    contentLength: ClassVar[bytes]

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        super().__init__(head, settings, secure)
        self._readHandshake(head, settings, secure)
        self._reading = _TYPE
        self._partial: bytearray | None = None
        self._length = 0
        self._lengthBytes = 0
        self._frameType = 0
        self._discarded = 0
        self._notedDiscard = False
        self._sentClose = False
        self._peerClosed = False
        self._failed = False

    # The opening handshake

    def _readHandshake(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        head.checkNoBody(self.contentLength)
        self._location = location(head, settings, secure)
        self._origin = self._readOrigin(head, settings)
        requested = self._requestedSubprotocol(head)
        if requested is not None:
            self.subprotocol = self._chooseSubprotocol(requested, settings.subprotocols)

    def _readOrigin(self, head: RequestHead, settings: Settings) -> bytes | None:
        origin = head.single(b"origin")
        if origin is None:
            return None
        if b"\t" in origin or b"\x7f" in origin:
            raise HandshakeError(400, "there is a control character in the Origin header field")
        checkOrigin(origin, settings)
        return origin

    def _requestedSubprotocol(self, head: RequestHead) -> bytes | None:
        return head.single(self.fieldPrefix.lower() + b"protocol")

    def _chooseSubprotocol(self, requested: bytes, supported: tuple[str, ...]) -> str:
        name = requested.decode("iso-8859-1")
        if name not in supported:
            raise HandshakeError(400, "this subprotocol is not spoken here")
        return name

    def _reply(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """
        The answer's head. Its first 85 bytes are compared as they are by clients of draft 75
        (section 4.1), and names and values in this very spelling by some of draft 76.
        """
        prefix = self.fieldPrefix
        fields = [(b"Upgrade", b"WebSocket"), (b"Connection", b"Upgrade")]
        if self._origin is not None:
            fields.append((prefix + b"Origin", self._origin))
        fields.append((prefix + b"Location", self._location))
        if self.subprotocol is not None:
            fields.append((prefix + b"Protocol", self.subprotocol.encode("iso-8859-1")))
        fields.extend(headers)
        # Nobody needs them after this.
        self._origin, self._location = None, b""
        return self.statusLine + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"

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
        return self._send(frame)

    def sendTexts(self, texts: tuple[str, ...]) -> int:
        return self._send(_last.framesOf(texts, frameText))

    def sendBytes(self, data: bytes) -> int:
        self.checkMessage(data)
        return 0

    def sendPing(self, payload: bytes = b"") -> None:
        pass

    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self._sentClose:
            return
        self._sentClose = True
        if self.closingFrame:
            self._queue(self.closingFrame)
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
            elif reading is _DISCARDED_BYTES:
                position = self._discardBytes(data, position)
            else:
                position = self._readNonce(data, events)
        return events

    def _readNonce(self, data: bytes, events: list[Event]) -> int:
        """
        Read what comes before the first frame, in a dialect with such a thing.
        """
        raise NotImplementedError

    def _readWholeTexts(self, data: bytes, events: list[Event]) -> int:
        """
        Read text frames a whole batch at a time, where there are nothing but text frames: 0xFF
        never occurs inside of text, so that holds if every 0xFF but the last is followed by
        0x00, the type of the next.

        @return: how far that went; the rest is read frame by frame.
        """
        # To find the first is far faster than to count them, which is seen where it is the only.
        first = data.find(b"\xff")
        if first < 0 or data[0] != 0 or len(data) - 2 > self._maxMessage:
            return 0
        if first == len(data) - 1:
            events.append(data[1:-1].decode("utf-8", "replace"))
            return first + 1
        count = data.count(b"\xff", first)
        end = data.rindex(b"\xff") + 1
        # Only where it pays: a pattern of two bytes is much slower to look for than one byte.
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
        else:
            self._reading = _DISCARDED_TEXT
            self._discarded = 0
            self._noteDiscard(frameType, events)
        return position + 1

    def _readText(self, data: bytes, position: int, events: list[Event]) -> int:
        end = data.find(b"\xff", position)
        chunk = data[position : end if end >= 0 else len(data)]
        partial = self._partial
        size = len(chunk) + (len(partial) if partial is not None else 0)
        if size > self._maxMessage:
            return self._fail(CloseCode.TOO_BIG, self._tooBig("text message"), events)
        if end < 0:
            if partial is None:
                partial = self._partial = bytearray()
            partial += chunk
            return len(data)
        self._reading = _TYPE
        self._partial = None
        payload = chunk if partial is None else partial + chunk
        try:
            events.append(payload.decode("utf-8", "strict" if self._strict else "replace"))
        except UnicodeDecodeError:
            return self._fail(CloseCode.INVALID_DATA, "a text message is not UTF-8", events)
        return end + 1

    def _discardText(self, data: bytes, position: int, events: list[Event]) -> int:
        end = data.find(b"\xff", position)
        stop = end if end >= 0 else len(data)
        self._discarded += stop - position
        if self._discarded > self._maxMessage:
            return self._fail(CloseCode.TOO_BIG, self._tooBig("discarded frame"), events)
        if end < 0:
            return stop
        self._reading = _TYPE
        return end + 1

    def _readLength(self, data: bytes, position: int, events: list[Event]) -> int:
        byte = data[position]
        self._length = self._length * 128 + (byte & 0x7F)
        self._lengthBytes += 1
        if self._length > self._maxMessage:
            return self._fail(CloseCode.TOO_BIG, self._tooBig("discarded frame"), events)
        if byte & 0x80:
            if self._lengthBytes == _MAX_LENGTH_BYTES:
                return self._fail(
                    CloseCode.PROTOCOL_ERROR, "the length of a frame does not end", events
                )
        elif self._length == 0 and self._frameType == 0xFF and self.closingFrame:
            self._peerClosed = True
            self._reading = _NOTHING
            if self._sentClose:
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

    def _fail(self, code: CloseCode, reason: str, events: list[Event]) -> int:
        """
        Read no further.

        @return: a position behind everything.
        """
        self._failed = True
        self._partial = None
        self._reading = _NOTHING
        events.append(Failed(code, reason))
        return 1 << 62


class Hixie75(HixieConnection):
    """
    Draft 75, of February 2010: no challenge, no closing handshake.
    """

    __slots__ = ()

    dialect = "hixie-75"
    fieldPrefix = b"WebSocket-"
    statusLine = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
    closingFrame = b""
    contentLength = b"0"

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        # There is nothing to know it by but the absence of all that came later.
        return not any(name.startswith(b"sec-websocket-") for name in head.fields)

    def _readOrigin(self, head: RequestHead, settings: Settings) -> bytes | None:
        origin = super()._readOrigin(head, settings)
        if origin is None:
            raise HandshakeError(400, "there is no Origin header field")
        return origin

    def accept(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> list[Event]:
        self._outgoing.append(self._reply(headers))
        return [self._open()]

    @property
    def finished(self) -> bool:
        return self._sentClose

    @property
    def clean(self) -> bool:
        return (self._sentClose and not self._failed) or self._reading is _TYPE


class Hixie76(HixieConnection):
    """
    Draft 76, of May 2010: two keys and a nonce prove that each side read the other's handshake,
    and C{FF 00} says that no more data will come.
    """

    __slots__ = ("_nonce", "_parts")

    dialect = "hixie-76"
    fieldPrefix = b"Sec-WebSocket-"
    statusLine = b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
    closingFrame = _CLOSING_FRAME
    contentLength = b"8"

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        # One key without the other is a damaged request, not one of draft 75.
        fields = head.fields
        return (
            b"sec-websocket-key1" in fields
            or b"sec-websocket-key2" in fields
            or b"sec-websocket-draft" in fields
        )

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        super().__init__(head, settings, secure)
        self._reading = _NONCE
        self._nonce = b""

    def _readHandshake(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        if head.single(b"sec-websocket-draft") not in (None, b"0"):
            raise HandshakeError(400, "this draft of the protocol is not spoken here")
        key1 = head.single(b"sec-websocket-key1")
        key2 = head.single(b"sec-websocket-key2")
        if key1 is None or key2 is None:
            raise HandshakeError(400, "a hixie-76 handshake has two keys")
        self._parts: tuple[int, int] | None = keyNumber(key1), keyNumber(key2)
        super()._readHandshake(head, settings, secure)

    def _readOrigin(self, head: RequestHead, settings: Settings) -> bytes | None:
        origin = super()._readOrigin(head, settings)
        if origin is None and not settings.allowMissingOrigin:
            raise HandshakeError(403, "there is no Origin header field")
        return origin

    def _requestedSubprotocol(self, head: RequestHead) -> bytes | None:
        requested = super()._requestedSubprotocol(head)
        # The Flash fallback of the time asked by the older name until April 2011.
        return requested if requested is not None else head.single(b"websocket-protocol")

    def _chooseSubprotocol(self, requested: bytes, supported: tuple[str, ...]) -> str:
        # A name may hold commas, but the Flash fallback joins several names with them.
        names = [requested, *requested.split(b",")]
        for name in names:
            if name.strip().decode("iso-8859-1") in supported:
                return name.strip().decode("iso-8859-1")
        return super()._chooseSubprotocol(requested, supported)

    def accept(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> list[Event]:
        # The reply's head does not wait for the nonce: some proxies hold that back until they
        # have seen the 101.
        self._outgoing.append(self._reply(headers))
        return []

    def _readNonce(self, data: bytes, events: list[Event]) -> int:
        missing = _NONCE_SIZE - len(self._nonce)
        self._nonce += data[:missing]
        if len(self._nonce) == _NONCE_SIZE and self._parts is not None:
            self._outgoing.append(challengeResponse(*self._parts, self._nonce))
            self._parts, self._nonce = None, b""
            self._reading = _TYPE
            events.append(self._open())
        return min(missing, len(data))

    @property
    def finished(self) -> bool:
        return self._sentClose and (self._peerClosed or self._failed)

    @property
    def clean(self) -> bool:
        return self._sentClose and self._peerClosed
