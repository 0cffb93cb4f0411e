"""
RFC 6455, and hybi-07 and hybi-08 on the way to it: their opening handshake, which is our own as the
library that does the framing knows version 13 only, and what a connection makes of the frames.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from hashlib import sha1
from typing import ClassVar

from txhixie.dialects.connection import (
    CloseCode,
    Connection,
    Event,
    LastFrame,
    State,
    checkOrigin,
)
from txhixie.dialects.framing import END, OPENED, Framing, framePing, frameText
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.settings import Settings

_CONNECTING, _OPEN, _CLOSING, _CLOSED = State

# RFC 6455 section 1.3.
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Every few bytes can inflate to a whole message, so compressed input is dealt with in slices.
_SLICE = 4096


def acceptKey(key: bytes) -> bytes:
    """
    @param key: a C{Sec-WebSocket-Key}.
    @return: the C{Sec-WebSocket-Accept} that answers it (RFC 6455 section 4.2.2).
    """
    return b64encode(sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest())


_last = LastFrame()


class Rfc6455(Connection):
    """
    Version 13: RFC 6455, and hybi-13 to -17 before it.
    """

    __slots__ = (
        "_closeFrame",
        "_deflated",
        "_ended",
        "_framing",
        "_peerClosed",
        "_reply",
        "_sentClose",
    )

    dialect = "rfc6455"
    hasPing = True
    version: ClassVar[bytes] = b"13"
    # Where the origin is sent, best first.
    originFields: ClassVar[tuple[bytes, ...]] = (b"origin",)

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        # Also what no version is known for; the other versions are asked first.
        return b"sec-websocket-version" in head.fields or b"sec-websocket-key" in head.fields

    @classmethod
    def switchedOff(cls, enabled: tuple[str, ...]) -> HandshakeError:
        versions = [dialect.version for dialect in VERSIONS if dialect.dialect in enabled]
        if not versions:
            return super().switchedOff(enabled)
        return _otherVersions(versions)

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        super().__init__(head, settings, secure)
        self._reply = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", acceptKey(self._readHandshake(head, settings))),
        ]
        self.subprotocol = self._chooseSubprotocol(head, settings)
        if self.subprotocol is not None:
            self._reply.append((b"Sec-WebSocket-Protocol", self.subprotocol.encode("iso-8859-1")))
        offers = [offer for offer in head.fields.get(b"sec-websocket-extensions", ()) if offer]
        if settings.compression and offers:
            self._framing, agreed = Framing.negotiated(settings, offers)
            if agreed is not None:
                self._reply.append((b"Sec-WebSocket-Extensions", agreed))
        else:
            self._framing = Framing(settings, state=OPENED)
        self._deflated = bool(self._framing.extensions)
        self._sentClose = False
        self._peerClosed = False
        self._ended = False
        self._closeFrame = b""

    # The opening handshake

    def _readHandshake(self, head: RequestHead, settings: Settings) -> bytes:
        """
        @return: the key.
        """
        version = head.single(b"sec-websocket-version")
        if version is None or not version.isdigit():
            raise HandshakeError(400, "there is no version number")
        if version != self.version:
            enabled = settings.dialects
            raise _otherVersions(
                [v.version for v in VERSIONS if enabled is None or v.dialect in enabled]
            )
        if head.single(b"host") is None:
            raise HandshakeError(400, "there is no Host header field")
        head.checkNoBody(b"0")
        for origin in map(head.single, self.originFields):
            if origin is not None:
                checkOrigin(origin, settings)
                break
        key = head.single(b"sec-websocket-key") or b""
        try:
            nonce = b64decode(key, validate=True)
        except Base64Error:
            nonce = b""
        if len(nonce) != 16:
            raise HandshakeError(400, "the Sec-WebSocket-Key is not 16 bytes of base64")
        return key

    def _chooseSubprotocol(self, head: RequestHead, settings: Settings) -> str | None:
        for value in head.fields.get(b"sec-websocket-protocol", ()):
            for name in value.decode("iso-8859-1").split(","):
                if name.strip() in settings.subprotocols:
                    return name.strip()
        return None

    def accept(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> list[Event]:
        fields = b"".join(b"%b: %b\r\n" % field for field in [*self._reply, *headers])
        # Nobody needs them after this.
        self._reply = []
        self._outgoing.append(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n")
        return [self._open()]

    # Sending

    def sendText(self, text: str) -> int:
        if self._deflated:
            if self.state > _OPEN:
                return 0
            return self._send(self._framing.deflatedText(text))
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
        if self._deflated:
            return super().sendTexts(texts)
        return self._send(_last.framesOf(texts, frameText))

    def sendBytes(self, data: bytes) -> int:
        if self.state > _OPEN:
            return 0
        return self._send(self._framing.frameBytes(data))

    def sendPing(self, payload: bytes = b"") -> None:
        if len(payload) > 125:
            raise ValueError("the payload of a ping is 125 bytes at the most")
        self._send(framePing(payload))

    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self._sentClose:
            return
        self._queue(self._framing.closeFrame(code, reason) or self._closeFrame)
        self._sentClose = True
        self.state = _CLOSED if self._ended else _CLOSING

    def _takeAnswers(self, answers: list[bytes]) -> None:
        """
        Take what the library answers by itself. Pongs go out; its close frame is kept until the
        messages before the peer's have been dealt with.
        """
        if answers[-1] == END:
            self._ended = True
            answers.pop()
            if not self._sentClose:
                self._closeFrame = answers.pop()
        if not self._sentClose:
            for pong in answers:
                self._queue(pong)

    # Receiving

    def receiveData(self, data: bytes) -> Iterable[Event]:
        if self._deflated:
            return self._receiveSlices(data)
        return self._receive(data)

    def _receiveSlices(self, data: bytes) -> Iterator[Event]:
        for start in range(0, len(data), _SLICE):
            yield from self._receive(data[start : start + _SLICE])

    def _receive(self, data: bytes) -> list[Event]:
        if self._ended:
            return []
        events = self._framing.receive(data)
        answers = self._framing.data_to_send()
        if answers:
            self._takeAnswers(answers)
            if self._ended:
                self._lastEvent(events)
        return events

    def _lastEvent(self, events: list[Event]) -> None:
        """
        See how it ended: the library stops to read after a close frame and after a fault.
        """
        failed = self._framing.failure(self._sentClose)
        if failed is None:
            self._peerClosed = True
        else:
            events.append(failed)
        self._framing.forgetAll()
        if self._sentClose:
            self.state = _CLOSED

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
    version = b"8"
    # The last of these drafts had moved it already.
    originFields = (b"sec-websocket-origin", b"origin")

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        return cls.version in head.fields.get(b"sec-websocket-version", ())


class Hybi07(Hybi08):
    """
    Version 7: hybi-07, in Firefox 6.
    """

    __slots__ = ()

    dialect = "hybi-07"
    version = b"7"


# Newest first, as they are offered to a client of another version.
VERSIONS: tuple[type[Rfc6455], ...] = (Rfc6455, Hybi08, Hybi07)


def _otherVersions(versions: list[bytes]) -> HandshakeError:
    """
    @return: the answer that names the versions spoken (RFC 6455 section 4.4).
    """
    return HandshakeError(
        426,
        "this version of the WebSocket protocol is not spoken here",
        [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b", ".join(versions))],
    )
