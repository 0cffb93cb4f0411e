"""
RFC 6455, and hybi-07 and hybi-08 on the way to it: an adapter over the Sans-I/O layer of the
C{websockets} library, which does framing, masking, close codes and permessage-deflate.

The opening handshake is our own, as the library knows version 13 only. From the library come
frames; here they become messages.
"""

from __future__ import annotations

import codecs
import logging
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from hashlib import sha1
from io import BytesIO
from typing import Any, ClassVar

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN as LIBRARY_OPEN
from websockets.protocol import SEND_EOF
from websockets.server import ServerProtocol

from txhixie.connection import (
    CloseCode,
    Closed,
    Connection,
    Event,
    Failed,
    LastFrame,
    Pong,
    State,
    checkOrigin,
)
from txhixie.head import HandshakeError, RequestHead
from txhixie.settings import Settings

try:
    import websockets.speedups
except ImportError:
    ACCELERATED = False
else:
    ACCELERATED = websockets.speedups is not None

_CONNECTING, _OPEN, _CLOSING, _CLOSED = State
_TEXT, _BINARY, _CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE
_CONT, _PING, _PONG = Opcode.CONT, Opcode.PING, Opcode.PONG

# RFC 6455 section 1.3.
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Every few bytes can inflate to a whole message, so compressed input is dealt with in slices.
_SLICE = 4096

_Decoder = codecs.getincrementaldecoder("utf-8")

# What the library would log, the protocol logs in our own terms.
_quiet = logging.Logger("txhixie.websockets", logging.CRITICAL + 1)

_deflate = ServerPerMessageDeflateFactory(
    server_max_window_bits=12,
    client_max_window_bits=12,
    compress_settings={"memLevel": 5},
)


class _Framing(ServerProtocol):
    """
    The library's state machine, with messages in place of frames.

    Text is checked while the library still reads: what it raises on then is the first fault in
    the stream, however the stream was cut.
    """

    # The message that is under way in fragments: its payload, not pieces of it, which would take
    # many times the memory if they are small; and what tells early that it is not UTF-8.
    _message: BytesIO | None
    _check: codecs.IncrementalDecoder | None
    _fragments: int
    # Whether the client compresses each message by itself.
    _inflatesAnew = False

    def __init__(self, settings: Settings, **more: Any) -> None:
        # The library refuses a frame by its length as it came, which may be a few bytes more
        # than its message has where it is compressed, and counts control frames between
        # fragments; so it has some room to spare, and the payload is held to the limit here.
        limit = settings.maxMessage
        room = limit // 32 + 1024 if "extensions" in more else 125
        super().__init__(max_size=limit + room, logger=_quiet, **more)
        self.maxMessage = limit
        self.maxFragments = settings.maxFragments
        self.received: list[Event] = []
        # Why we failed the connection, where the library would not have.
        self.fault = ""
        self._forget()

    def recv_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is _TEXT and frame.fin and self.current_size is None and not self.extensions:
            # The most common frame: the library would check nothing and keep the frame.
            if len(frame.data) > self.maxMessage:
                raise PayloadTooBig(len(frame.data), self.maxMessage)
            self.received.append(str(frame.data, "utf-8"))
            return
        if opcode is _CLOSE:
            # A close frame may come between the fragments of a message (RFC 6455 section 5.4),
            # which then stays unfinished; the library takes that for an error.
            self.current_size = None
        elif opcode is not _PING and opcode is not _PONG:
            size = len(frame.data) + (self.current_size or 0)
            if size > self.maxMessage:
                raise PayloadTooBig(size, self.maxMessage)
            if self.extensions:
                self._checkInflater(frame.fin)
        super().recv_frame(frame)
        if opcode is _TEXT and frame.fin:
            self.received.append(str(frame.data, "utf-8"))
        elif opcode is _BINARY and frame.fin:
            self.received.append(bytes(frame.data))
        elif opcode is _PONG:
            self.received.append(Pong(bytes(frame.data)))
        elif opcode is _CLOSE:
            assert self.close_rcvd is not None
            self.received.append(Closed(self.close_rcvd.code, self.close_rcvd.reason))
        elif opcode is not _PING:
            self._addFragment(frame)

    def _addFragment(self, frame: Frame) -> None:
        if frame.opcode is not _CONT:
            self._message = BytesIO()
            self._check = _Decoder() if frame.opcode is _TEXT else None
        self._fragments += 1
        if self._fragments > self.maxFragments:
            self.fault = f"a message has more than {self.maxFragments} fragments"
            self.fail(CloseCode.POLICY, self.fault)
            return
        assert self._message is not None
        self._message.write(frame.data)
        if self._check is not None:
            self._check.decode(bytes(frame.data), frame.fin)
        if frame.fin:
            data = self._message.getvalue()
            self.received.append(data if self._check is None else str(data, "utf-8"))
            self._forget()

    def deflateAgreed(self) -> None:
        """
        Take over the inflater from the library, which would drop it with each message where the
        client compresses them one by one, and with it what there is to check.
        """
        (deflate,) = self.extensions
        assert isinstance(deflate, PerMessageDeflate)
        self._inflatesAnew = deflate.remote_no_context_takeover
        deflate.remote_no_context_takeover = False
        self._renewInflater(deflate)

    def _renewInflater(self, deflate: PerMessageDeflate) -> None:
        deflate.decoder = zlib.decompressobj(wbits=-deflate.remote_max_window_bits)

    def _checkInflater(self, isLast: bool) -> None:
        """
        See after each frame whether the client's compressor ended its stream (RFC 7692 section
        7.2.3.4): zlib would take all that follows for something else, and keep it.
        """
        (deflate,) = self.extensions
        assert isinstance(deflate, PerMessageDeflate)
        inflater = deflate.decoder
        if inflater.eof:
            # What may be left is a byte of the compressor's, and the end of a block that the
            # library appends to every message.
            left = inflater.unused_data
            if len(left) > 5 or left.strip(b"\0") not in (b"", b"\xff\xff"):
                raise ProtocolError("there is data behind the end of a compressed stream")
        if isLast and (inflater.eof or self._inflatesAnew):
            self._renewInflater(deflate)

    def forgetAll(self) -> None:
        """
        Hold on to nothing that was received: nothing more is read. The parser is a generator that
        holds this object, and a frame with its exception; closed, they go without a collection.
        """
        self._forget()
        self.parser.close()
        self.parser_exc = None

    def _forget(self) -> None:
        """
        Have no message under way.
        """
        self._message = self._check = None
        self._fragments = 0


def acceptKey(key: bytes) -> bytes:
    """
    @param key: a C{Sec-WebSocket-Key}.
    @return: the C{Sec-WebSocket-Accept} that answers it (RFC 6455 section 4.2.2).
    """
    return b64encode(sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest())


_last = LastFrame()


def _encode(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a text message is a str, not {type(text).__name__}")
    return text.encode("utf-8")


def _frameText(text: str) -> bytes:
    return Frame(_TEXT, _encode(text)).serialize(mask=False)


class Rfc6455(Connection):
    """
    Version 13: RFC 6455, and hybi-13 to -17 before it.
    """

    __slots__ = (
        "_closeFrame",
        "_deflated",
        "_ended",
        "_library",
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
        self._library = (
            self._negotiate(offers, settings)
            if settings.compression and offers
            else _Framing(settings, state=LIBRARY_OPEN)
        )
        self._deflated = bool(self._library.extensions)
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

    def _negotiate(self, offers: list[bytes], settings: Settings) -> _Framing:
        """
        Let the library agree on permessage-deflate, in a handshake of which only that is kept.
        """
        library = _Framing(settings, extensions=[_deflate])
        library.receive_data(
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Extensions: " + b", ".join(offers) + b"\r\n\r\n"
        )
        requests = library.events_received()
        response = library.accept(requests[0]) if requests else None  # type: ignore[arg-type]
        if response is None or response.status_code != 101:
            raise HandshakeError(400, "the Sec-WebSocket-Extensions are malformed")
        library.send_response(response)
        library.data_to_send()
        agreed = response.headers.get("Sec-WebSocket-Extensions")
        if agreed is not None:
            library.deflateAgreed()
            self._reply.append((b"Sec-WebSocket-Extensions", agreed.encode("ascii")))
        return library

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
            return self._send(self._deflate(Frame(_TEXT, _encode(text))))
        last = _last
        if text is not last.text:
            last.frame = _frameText(text)
            last.text = text
        frame = last.frame
        if self.state is _OPEN:
            self._outgoing.append(frame)
            return len(frame)
        return self._send(frame)

    def sendTexts(self, texts: tuple[str, ...]) -> int:
        if self._deflated:
            return super().sendTexts(texts)
        return self._send(_last.framesOf(texts, _frameText))

    def sendBytes(self, data: bytes) -> int:
        if self.state > _OPEN:
            return 0
        return self._send(self._deflate(Frame(_BINARY, data)))

    def _deflate(self, frame: Frame) -> bytes:
        # Not by the library's own send methods: they refuse once the library has read a close
        # frame, when the messages before that one are yet to be answered.
        return frame.serialize(mask=False, extensions=self._library.extensions)

    def sendPing(self, payload: bytes = b"") -> None:
        if len(payload) > 125:
            raise ValueError("the payload of a ping is 125 bytes at the most")
        self._send(Frame(_PING, payload).serialize(mask=False))

    def sendClose(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self._sentClose:
            return
        library = self._library
        if library.state is LIBRARY_OPEN:
            text = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")
            library.send_close(code, text)
            (self._closeFrame,) = library.data_to_send()
        self._queue(self._closeFrame)
        self._sentClose = True
        self.state = _CLOSED if self._ended else _CLOSING

    def _takeAnswers(self) -> None:
        """
        Take what the library answers by itself. Pongs go out; its close frame is kept until the
        messages before the peer's have been dealt with.
        """
        answers = self._library.data_to_send()
        if answers and answers[-1] == SEND_EOF:
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
        library = self._library
        if self._ended:
            return []
        library.receive_data(data)
        # They hold the frames that our received events were made of.
        library.events_received()
        events, library.received = library.received, []
        self._takeAnswers()
        if self._ended:
            self._lastEvent(events)
        return events

    def _lastEvent(self, events: list[Event]) -> None:
        """
        See how it ended: the library stops to read after a close frame and after a fault.
        """
        library = self._library
        self._peerClosed = library.close_rcvd is not None and library.parser_exc is None
        if not self._peerClosed:
            sent = library.close_sent
            code = CloseCode.PROTOCOL_ERROR if sent is None or self._sentClose else sent.code
            events.append(Failed(code, library.fault or str(library.parser_exc)))
        library.forgetAll()
        if self._sentClose:
            self.state = _CLOSED

    # The end

    def abandon(self) -> None:
        super().abandon()
        self._ended = True
        self._library.forgetAll()

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
