"""
The messages that a server of RFC 6455 sends, as frames. They are not masked, and each one is
compressed independently, if at all. A frame is therefore the same for all receivers that agreed to
the same extension. The last frame is kept, so that a broadcast makes it once.
"""

from __future__ import annotations

import zlib
from functools import cache
from struct import Struct

from txhixie.dialects.connection import LastFrame

# The first bytes of frames that are a whole message, and the bit that marks a compressed one.
_TEXT, _BINARY = 0x81, 0x82
_COMPRESSED = 0x40

# The header of a frame without mask (RFC 6455 section 5.2), for sizes below 126, below 2^16, above.
_short = Struct("!BB").pack
_medium = Struct("!BBH").pack
_long = Struct("!BBQ").pack

# What a flush ends with, and a sender leaves out (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


def encode(text: str) -> bytes:
    """
    Return the payload of a text message.

    @raise TypeError: if C{text} is not a C{str}.
    @raise UnicodeEncodeError: if it has lone surrogates.
    """
    if not isinstance(text, str):
        raise TypeError(f"a text message is a str, not {type(text).__name__}")
    return text.encode()


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return _short(first, size) + payload
    if size < 65536:
        return _medium(first, 126, size) + payload
    return b"".join((_long(first, 127, size), payload))


class Frames:
    """
    Frames for receivers without compression.

    @ivar last: the last text. The connection looks at it before it asks for a frame.
    """

    __slots__ = ("_bytes", "_bytesFrame", "last")

    def __init__(self) -> None:
        self.last = LastFrame()
        self._bytes: bytes | None = None
        self._bytesFrame = b""

    def frameText(self, text: str) -> bytes:
        """
        Return a text message as a frame.

        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if it has lone surrogates.
        """
        return _frame(_TEXT, encode(text))

    def frameBytes(self, data: bytes) -> bytes:
        """
        Return a bytes message as a frame.
        """
        if data is not self._bytes:
            self._bytesFrame = self._frameNewBytes(data)
            self._bytes = data
        return self._bytesFrame

    def _frameNewBytes(self, data: bytes) -> bytes:
        return _frame(_BINARY, data)


class CompressedFrames(Frames):
    """
    Frames for receivers that agreed to permessage-deflate.

    One compressor serves them all. It is flushed fully after each message, so that no message
    depends on an earlier one. A new compressor would do the same, but costs more than a small
    message.
    """

    __slots__ = ("_bits", "_compressor")

    def __init__(self, bits: int) -> None:
        """
        @param bits: the size of the largest window that the receivers agreed to.
        """
        super().__init__()
        self._bits = bits
        self._compressor: zlib._Compress | None = None

    def frameText(self, text: str) -> bytes:
        return _frame(_TEXT | _COMPRESSED, self._compress(encode(text)))

    def _frameNewBytes(self, data: bytes) -> bytes:
        return _frame(_BINARY | _COMPRESSED, self._compress(data))

    def _compress(self, data: bytes) -> bytes:
        if not data:
            # Flushing an empty message gives no bytes. This is an empty block (section 7.2.3.6).
            return b"\x00"
        # If this fails halfway, for lack of memory, the compressor is not used again.
        compressor, self._compressor = self._compressor, None
        if compressor is None:
            compressor = zlib.compressobj(wbits=-self._bits)
        compressed = compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
        self._compressor = compressor
        return compressed.removesuffix(_TAIL)


@cache
def framesFor(bits: int | None) -> Frames:
    """
    Return the frames for receivers that agreed to the same extension.

    @param bits: the size of the receivers' largest window; C{None} without compression.
    """
    return Frames() if bits is None else CompressedFrames(bits)
