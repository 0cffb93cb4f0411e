"""
All contact with the C{websockets} library. Its Sans-I/O layer does framing, masking, close codes
and permessage-deflate. The library makes frames, and this module makes messages of them. Only the
most common frames bypass the library (L{txhixie.dialects.messages}).

What we rely on in the library that its documentation does not promise:

 - C{Protocol.recv_frame} is called for each valid frame, and what it raises fails the connection;
 - C{Protocol.discard} makes the generator that reads once the library has stopped;
 - C{current_size} is the size of the unfinished message, or C{None};
 - a frame is not looked at again after C{recv_frame};
 - C{parser} is a generator that can be closed, and C{parser_exc} what ended it;
 - C{reader.buffer} has the beginning of an unfinished frame, and C{reader.discard} drops it;
 - C{parse} makes that generator, which calls C{reader.at_eof} between two frames, and
   C{reader.read_exact} for each part of a frame; C{reader.buffer} has what it did not take yet;
 - C{writes} is what C{data_to_send} returns;
 - C{PerMessageDeflate} keeps its inflater as C{decoder}, and renews it after each message if
   C{remote_no_context_takeover} is set.
"""

from __future__ import annotations

import codecs
import logging
import zlib
from collections.abc import Generator
from typing import TypeAlias

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension
from websockets.protocol import OPEN, SEND_EOF, Protocol, Side
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.uri import WebSocketURI

from txhixie.dialects.events import CloseCode, Closed, Event, Failed, Pong
from txhixie.dialects.frames import encode
from txhixie.dialects.head import HandshakeError
from txhixie.dialects.messages import CutMessage, cutMessage, readMessages
from txhixie.dialects.pieces import Pieces
from txhixie.settings import Settings

# The extension, as openings hand it to connections.
Deflate: TypeAlias = PerMessageDeflate

_TEXT, _BINARY, _CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE
_CONT, _PING, _PONG = Opcode.CONT, Opcode.PING, Opcode.PONG

_Decoder = codecs.getincrementaldecoder("utf-8")

# The connection logs in our own terms what the library would log.
_quiet = logging.Logger("txhixie.websockets", logging.CRITICAL + 1)

# Bytes of offers. No client sends many, and parsing them takes time.
_MOST_OFFERED = 8192

_negotiator = ServerProtocol(
    extensions=[
        ServerPerMessageDeflateFactory(
            # A server may do this unasked (RFC 7692 section 7.1.1.1). It may also limit its window
            # unasked, but some clients refuse that.
            server_no_context_takeover=True,
            client_max_window_bits=12,
        )
    ],
    logger=_quiet,
)

# The offer of the browsers, which servers know how to answer.
_offer = ClientPerMessageDeflateFactory(
    client_max_window_bits=True,
    compress_settings={"memLevel": 5},
)
# The library wants a URL where none is needed.
_asker = ClientProtocol(
    WebSocketURI(False, "localhost", 80, "/", ""), extensions=[_offer], logger=_quiet
)

# What a client offers, as the value of its Sec-WebSocket-Extensions.
DEFLATE_OFFER = build_extension([(_offer.name, _offer.get_request_params())]).encode("ascii")


def acceptDeflate(answers: list[bytes]) -> Deflate | None:
    """
    Read a server's answer to L{DEFLATE_OFFER}.

    @param answers: the values of C{Sec-WebSocket-Extensions} that the server sent.
    @return: the extension agreed on, or C{None} if the answer is not one to this offer.
    """
    value = b", ".join(answers).decode("iso-8859-1")
    try:
        extensions = _asker.process_extensions(Headers([("Sec-WebSocket-Extensions", value)]))
    except InvalidHandshake:
        return None
    for deflate in extensions:
        assert isinstance(deflate, PerMessageDeflate)
        return _withoutInflater(deflate)
    return None


def agreeOnDeflate(offers: list[bytes]) -> tuple[bytes | None, Deflate | None]:
    """
    Agree on permessage-deflate with a client (RFC 7692 section 7.1).

    @param offers: the values of C{Sec-WebSocket-Extensions} that the client sent.
    @return: the value for the answer and the extension, or C{None} for both if nothing was
        agreed on.
    @raise HandshakeError: 400 if the offers are malformed.
    """
    value = b", ".join(offers).decode("iso-8859-1")
    try:
        if len(value) > _MOST_OFFERED:
            raise InvalidHandshake
        answer, extensions = _negotiator.process_extensions(
            Headers([("Sec-WebSocket-Extensions", value)])
        )
    except InvalidHandshake:
        raise HandshakeError(400, "the Sec-WebSocket-Extensions are malformed") from None
    if answer is None:
        return None, None
    (deflate,) = extensions
    assert isinstance(deflate, PerMessageDeflate)
    return answer.encode("ascii"), _withoutInflater(deflate)


def _withoutInflater(deflate: PerMessageDeflate) -> Deflate:
    # The framing makes an inflater when the first bytes come. Until then it takes no memory.
    vars(deflate).pop("decoder", None)
    return deflate


class _Reader(StreamReader):
    """
    The library's buffer. It records what the parser waits for.

    @ivar wanted: the size of the part of a frame that the parser waits for; 0 between two frames.
    """

    wanted = 0

    def at_eof(self) -> Generator[None, None, bool]:
        self.wanted = 0
        return super().at_eof()

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        self.wanted = n
        return super().read_exact(n)


class Framing(Protocol):
    """
    The library's state machine, which yields messages instead of frames.

    Text is checked while the library is still reading. The first fault in the stream is therefore
    the one that is reported, however the stream was cut.

    @ivar hasStopped: whether the library has stopped reading: after a close frame or a fault.
    @ivar unfinished: bytes that are held of a message that is not complete.
    """

    # The unfinished message: its payload so far; and a decoder that finds early that it is not
    # UTF-8.
    _message: Pieces | None
    _check: codecs.IncrementalDecoder | None
    _fragments: int
    reader: _Reader
    hasStopped = False
    unfinished = 0
    # A message in one frame whose end has not arrived. The library has not seen any of it.
    _cut: CutMessage | None = None
    # Whether the peer compresses each message by itself.
    _inflatesAnew = False

    def __init__(
        self,
        settings: Settings,
        deflate: Deflate | None = None,
        isClient: bool = False,
    ) -> None:
        """
        @param deflate: the extension agreed on, if any.
        @param isClient: which side of the connection this is.
        """
        # The library refuses a frame by the length in its header. A compressed frame may be a few
        # bytes longer than its message, and the library also counts control frames between
        # fragments. The library therefore gets some room, and the payload is checked here.
        limit = settings.maxMessage
        room = 125 if deflate is None else limit // 32 + 1024
        side = Side.CLIENT if isClient else Side.SERVER
        super().__init__(side, max_size=limit + room, logger=_quiet)
        self._maxMessage = limit
        self._maxFragments = settings.maxFragments
        self._peerMasks = not isClient
        self._received: list[Event] = []
        # Why we failed the connection, if the library would not have failed it.
        self._fault = ""
        self._forget()
        if deflate is not None:
            self.extensions: list[Extension] = [deflate]
            self._takeInflater(deflate)

    # Sending does not use the library's methods. They refuse to send once the library has read a
    # close frame, and at that time the messages before the frame may not have been answered.

    def frameText(self, text: str) -> bytes:
        """
        Return a text message as a client's frame.

        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if it has lone surrogates.
        """
        return self._masked(Frame(_TEXT, encode(text)))

    def frameBytes(self, data: bytes) -> bytes:
        """
        Return a bytes message as a client's frame.
        """
        return self._masked(Frame(_BINARY, data))

    def _masked(self, frame: Frame) -> bytes:
        return frame.serialize(mask=True, extensions=self.extensions)

    def closeFrame(self, code: int, reason: str) -> bytes | None:
        """
        Return the frame that starts the closing handshake, or C{None} if the library has answered
        the peer's already.

        @param reason: only the first 123 bytes of it fit.
        """
        if self.state is not OPEN:
            return None
        self.send_close(code, reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore"))
        (frame,) = self.data_to_send()
        return frame

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """
        Return the events in C{data}. L{takeAnswers} has the library's own answers.

        A message in one frame bypasses the library if the library would return the same: the
        library is between two frames, and there is no unfinished fragmented message and no close in
        progress.
        """
        position, end = 0, len(data)
        if self._cut is not None:
            position = self._finishMessage(self._cut, data)
        elif self.reader.wanted:
            position = self._finishFrame(data)
        if self.state is OPEN and self.current_size is None and not self.extensions:
            position = readMessages(
                data, position, self._peerMasks, self._maxMessage, self._received
            )
            if position < end:
                self._cut = cutMessage(data, position, self._peerMasks, self._maxMessage)
                if self._cut is not None:
                    position = end
        if position < end:
            self.receive_data(data[position:])
        if self.events:
            # Drop the frames; the events have been made of them.
            self.events_received()
        received, self._received = self._received, []
        if self._cut is not None:
            self.unfinished = self._cut.held
        elif self.reader.buffer or self._message is not None:
            size = 0 if self._message is None else self._message.size
            # An empty message has begun, too.
            self.unfinished = size + len(self.reader.buffer) + 1
        elif self.unfinished:
            self.unfinished = 0
        return received

    @property
    def missing(self) -> int:
        """
        How many bytes at least belong to the frame that has begun.
        """
        if self._cut is not None:
            return self._cut.missing
        return max(0, self.reader.wanted - len(self.reader.buffer))

    def _finishMessage(self, cut: CutMessage, data: bytes) -> int:
        """
        Read to the end of the message that has begun.

        @return: the position after it.
        """
        position = cut.add(data)
        if not cut.missing:
            self._cut = None
            frame = cut.takeFrame()
            # We may have closed meanwhile. The library reports what is wrong with a message.
            if self.state is not OPEN or not readMessages(
                frame, 0, self._peerMasks, self._maxMessage, self._received
            ):
                self.receive_data(frame)
        return position

    def _finishFrame(self, data: bytes) -> int:
        """
        Have the library read to the end of the frame that it has begun.

        @return: the position after it.
        """
        reader = self.reader
        position, end = 0, len(data)
        while reader.wanted and position < end:
            part = data[position : position + reader.wanted - len(reader.buffer)]
            self.receive_data(part)
            position += len(part)
        return position

    def takeAnswers(self) -> list[bytes]:
        """
        Return the frames with which the library answers by itself: pongs, and its close as the
        last.
        """
        if not self.writes:
            return []
        answers = self.data_to_send()
        # The connection itself ends TCP, on either side.
        if answers and answers[-1] == SEND_EOF:
            answers.pop()
        return answers

    def parse(self) -> Generator[None]:
        """
        Return the parser, with a buffer of ours.
        """
        self.reader = _Reader()
        return super().parse()

    def discard(self) -> Generator[None]:
        """
        Note that the library has stopped reading.
        """
        self.hasStopped = True
        return super().discard()

    def failure(self, hasClosed: bool) -> Failed | None:
        """
        Return what was wrong after reading has stopped; C{None} if the peer closed.

        @param hasClosed: whether a close frame was sent before.
        """
        if self.close_rcvd is not None and self.parser_exc is None:
            return None
        sent = self.close_sent
        code = CloseCode.PROTOCOL_ERROR if sent is None or hasClosed else sent.code
        return Failed(code, self._fault or str(self.parser_exc))

    def recv_frame(self, frame: Frame) -> None:
        """
        Make messages of frames. The library calls it for each valid frame.
        """
        opcode = frame.opcode
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
        frame.data = b""

    def _addFragment(self, frame: Frame) -> None:
        if frame.opcode is not _CONT:
            self._message = Pieces()
            self._check = _Decoder() if frame.opcode is _TEXT else None
        self._fragments += 1
        if self._fragments > self._maxFragments:
            self._fault = f"a message has more than {self._maxFragments} fragments"
            self.fail(CloseCode.POLICY, self._fault)
            return
        assert self._message is not None
        self._message.add(bytes(frame.data))
        if self._check is not None:
            self._check.decode(bytes(frame.data), frame.fin)
        if frame.fin:
            data = self._message.take()
            self._received.append(data if self._check is None else str(data, "utf-8"))
            self._forget()

    def _takeInflater(self, deflate: PerMessageDeflate) -> None:
        """
        Take over the inflater from the library. If the peer compresses each message independently,
        the library would drop the inflater with each message, before it could be checked.
        """
        self._inflatesAnew = deflate.remote_no_context_takeover
        deflate.remote_no_context_takeover = False
        self._renewInflater(deflate)

    def _renewInflater(self, deflate: PerMessageDeflate) -> None:
        deflate.decoder = zlib.decompressobj(wbits=-deflate.remote_max_window_bits)

    def _checkInflater(self, isLast: bool) -> None:
        """
        Check after each frame whether the peer's compressor ended its stream (RFC 7692 section
        7.2.3.4): zlib would treat everything after it as unrelated data, and keep it.
        """
        (deflate,) = self.extensions
        assert isinstance(deflate, PerMessageDeflate)
        inflater = deflate.decoder
        if inflater.eof:
            # There may be a byte of the compressor's left, and the end of a block that the library
            # appends to every message.
            left = inflater.unused_data
            if len(left) > 5 or left.strip(b"\0") not in (b"", b"\xff\xff"):
                raise ProtocolError("there is data after the end of a compressed stream")
        if isLast and (inflater.eof or self._inflatesAnew):
            self._renewInflater(deflate)

    def forgetAll(self) -> None:
        """
        Drop everything that was received: nothing more is read. The parser is a generator that
        refers to this object, and to a frame by its exception. Closing it breaks that circle.
        """
        self._forget()
        self._cut = None
        self.reader.discard()
        self.parser.close()
        self.parser_exc = None
        for extension in self.extensions:
            # The window, and the data of a refused message that was not inflated.
            vars(extension).pop("decoder", None)

    def _forget(self) -> None:
        """
        Drop the unfinished message.
        """
        self._message = self._check = None
        self._fragments = 0


def framePing(payload: bytes, mask: bool) -> bytes:
    """
    Return a ping as a frame.

    @param mask: whether a client sends it.
    """
    return Frame(_PING, payload).serialize(mask=mask)
