"""
All contact with the C{websockets} library, whose Sans-I/O layer does framing, masking, close codes
and permessage-deflate. From it come frames; here they become messages.
"""

from __future__ import annotations

import codecs
import logging
import zlib
from io import BytesIO
from typing import Any

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SEND_EOF
from websockets.server import ServerProtocol

from txhixie.dialects.connection import CloseCode, Closed, Event, Failed, Pong
from txhixie.dialects.head import HandshakeError
from txhixie.settings import Settings

try:
    import websockets.speedups
except ImportError:
    ACCELERATED = False
else:
    ACCELERATED = websockets.speedups is not None

# The state that a connection has behind its opening handshake; and what comes behind the last bytes
# that it sends.
OPENED, END = OPEN, SEND_EOF

_TEXT, _BINARY, _CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE
_CONT, _PING, _PONG = Opcode.CONT, Opcode.PING, Opcode.PONG

_Decoder = codecs.getincrementaldecoder("utf-8")

# What the library would log, the protocol logs in our own terms.
_quiet = logging.Logger("txhixie.websockets", logging.CRITICAL + 1)

_deflate = ServerPerMessageDeflateFactory(
    server_max_window_bits=12,
    client_max_window_bits=12,
    compress_settings={"memLevel": 5},
)


class Framing(ServerProtocol):
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
        """
        @param more: for the library: C{state=OPENED} where the opening handshake is dealt with.
        """
        # The library refuses a frame by its length as it came, which may be a few bytes more
        # than its message has where it is compressed, and counts control frames between
        # fragments; so it has some room to spare, and the payload is held to the limit here.
        limit = settings.maxMessage
        room = limit // 32 + 1024 if "extensions" in more else 125
        super().__init__(max_size=limit + room, logger=_quiet, **more)
        self._maxMessage = limit
        self._maxFragments = settings.maxFragments
        self._received: list[Event] = []
        # Why we failed the connection, where the library would not have.
        self._fault = ""
        self._forget()

    @classmethod
    def negotiated(cls, settings: Settings, offers: list[bytes]) -> tuple[Framing, bytes | None]:
        """
        Let the library agree on permessage-deflate, in a handshake of which only that is kept.

        @param offers: the values of C{Sec-WebSocket-Extensions} that a client sent.
        @return: with the value for the answer, if something was agreed on.
        @raise HandshakeError: 400 if they are malformed.
        """
        framing = cls(settings, extensions=[_deflate])
        framing.receive_data(
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Extensions: " + b", ".join(offers) + b"\r\n\r\n"
        )
        requests = framing.events_received()
        response = framing.accept(requests[0]) if requests else None  # type: ignore[arg-type]
        if response is None or response.status_code != 101:
            raise HandshakeError(400, "the Sec-WebSocket-Extensions are malformed")
        framing.send_response(response)
        framing.data_to_send()
        agreed = response.headers.get("Sec-WebSocket-Extensions")
        if agreed is None:
            return framing, None
        framing._takeInflater()
        return framing, agreed.encode("ascii")

    # Sending. Not by the library's own methods: they refuse once the library has read a close
    # frame, when the messages before that one are yet to be answered.

    def deflatedText(self, text: str) -> bytes:
        """
        @return: a text message as a frame.
        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if it has lone surrogates.
        """
        return self._serialized(Frame(_TEXT, _encode(text)))

    def frameBytes(self, data: bytes) -> bytes:
        """
        @return: a bytes message as a frame.
        """
        return self._serialized(Frame(_BINARY, data))

    def _serialized(self, frame: Frame) -> bytes:
        return frame.serialize(mask=False, extensions=self.extensions)

    def closeFrame(self, code: int, reason: str) -> bytes | None:
        """
        @param reason: what exceeds the 123 bytes that fit is cut off.
        @return: the frame that starts the closing handshake; C{None} if the library has answered
            the peer's already.
        """
        if self.state is not OPEN:
            return None
        self.send_close(code, reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore"))
        (frame,) = self.data_to_send()
        return frame

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """
        @return: what C{data} means; what there is to answer is fetched with C{data_to_send}.
        """
        self.receive_data(data)
        # They hold the frames that our received events were made of.
        self.events_received()
        received, self._received = self._received, []
        return received

    def failure(self, hasClosed: bool) -> Failed | None:
        """
        @param hasClosed: whether a close frame was sent before.
        @return: what was wrong, once nothing more is read; C{None} if the peer closed.
        """
        if self.close_rcvd is not None and self.parser_exc is None:
            return None
        sent = self.close_sent
        code = CloseCode.PROTOCOL_ERROR if sent is None or hasClosed else sent.code
        return Failed(code, self._fault or str(self.parser_exc))

    def recv_frame(self, frame: Frame) -> None:
        """
        Make messages of frames: called by the library for each that is in order by itself.
        """
        opcode = frame.opcode
        if opcode is _TEXT and frame.fin and self.current_size is None and not self.extensions:
            # The most common frame: the library would check nothing and keep the frame.
            if len(frame.data) > self._maxMessage:
                raise PayloadTooBig(len(frame.data), self._maxMessage)
            self._received.append(str(frame.data, "utf-8"))
            return
        if opcode is _CLOSE:
            # A close frame may come between the fragments of a message (RFC 6455 section 5.4),
            # which then stays unfinished; the library takes that for an error.
            self.current_size = None
        elif opcode is not _PING and opcode is not _PONG:
            size = len(frame.data) + (self.current_size or 0)
            if size > self._maxMessage:
                raise PayloadTooBig(size, self._maxMessage)
            if self.extensions:
                self._checkInflater(frame.fin)
        super().recv_frame(frame)
        if opcode is _TEXT and frame.fin:
            self._received.append(str(frame.data, "utf-8"))
        elif opcode is _BINARY and frame.fin:
            self._received.append(bytes(frame.data))
        elif opcode is _PONG:
            self._received.append(Pong(bytes(frame.data)))
        elif opcode is _CLOSE:
            assert self.close_rcvd is not None
            self._received.append(Closed(self.close_rcvd.code, self.close_rcvd.reason))
        elif opcode is not _PING:
            self._addFragment(frame)

    def _addFragment(self, frame: Frame) -> None:
        if frame.opcode is not _CONT:
            self._message = BytesIO()
            self._check = _Decoder() if frame.opcode is _TEXT else None
        self._fragments += 1
        if self._fragments > self._maxFragments:
            self._fault = f"a message has more than {self._maxFragments} fragments"
            self.fail(CloseCode.POLICY, self._fault)
            return
        assert self._message is not None
        self._message.write(frame.data)
        if self._check is not None:
            self._check.decode(bytes(frame.data), frame.fin)
        if frame.fin:
            data = self._message.getvalue()
            self._received.append(data if self._check is None else str(data, "utf-8"))
            self._forget()

    def _takeInflater(self) -> None:
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


def _encode(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a text message is a str, not {type(text).__name__}")
    return text.encode("utf-8")


def frameText(text: str) -> bytes:
    """
    @return: a text message as a frame, not compressed.
    @raise TypeError: if C{text} is not a C{str}.
    @raise UnicodeEncodeError: if it has lone surrogates.
    """
    return Frame(_TEXT, _encode(text)).serialize(mask=False)


def framePing(payload: bytes) -> bytes:
    """
    @return: a ping as a frame.
    """
    return Frame(_PING, payload).serialize(mask=False)
