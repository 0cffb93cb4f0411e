"""
The pieces that a peer's stream is made of, most of them valid.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from tests.support import Deflater, frame
from tests.vectors import hixie, rfc6455

# Bytes that have a meaning somewhere, and text that is hard to decode.
INTERESTING = (b"\0", b"\xff", b"\x80", b"\x7f", b"\x81", b"\x82", b"\x88", b"\xfe", b"\r", b"\n")
TEXTS = (
    *(b"", b"A", b"Hello", b"x" * 19, b"x" * 20, b"x" * 21, b"x" * 125, b"x" * 126, b"x" * 300),
    *("\u00e9\u20ac\U0001f600".encode(), b"\xef\xbb\xbf", "\ufffe\uffff\U0010ffff".encode()),
    *rfc6455.ILL_FORMED,
    *rfc6455.UNFINISHED,
    *(payload for payload, _ in hixie.REPLACEMENTS),
)

# "Hello" in a final block (RFC 7692 section 7.2.3.4).
_ENDED = bytes.fromhex("f3 48 cd c9 c9 07 00")

_DEFLATERS: tuple[Callable[[], Deflater], ...] = (
    Deflater,
    partial(Deflater, clientBits=9),
    partial(Deflater, clientBits=12),
    partial(Deflater, clientTakeover=False),
    partial(Deflater, level=0),
)

# The masks of a client's frames; a server's have none.
CLIENTS_MASKS = (b"\0\0\0\0", b"\x37\xfa\x21\x3d", b"\xff\xff\xff\xff", b"\0\xff\x80A")
SERVERS_MASKS = (b"",)


class Pieces:
    """
    Makes random frames.
    """

    def __init__(self, generator: random.Random, masks: tuple[bytes, ...]) -> None:
        """
        @param masks: the masks of the peer's frames.
        """
        self._choice = generator.choice
        self._below = generator.randrange
        self._masks = masks

    def _text(self) -> bytes:
        text = self._choice(TEXTS)
        many = self._choice((0, 0, 0, 1, 2))
        for _ in range(many):
            text += self._choice(TEXTS)
        if not self._below(20):
            text *= self._choice((2, 10, 100))
        return text

    def hixiePiece(self) -> list[bytes]:
        """
        @return: a frame of a Hixie dialect.
        """
        kind = self._below(10)
        if kind < 5:
            return [b"\0" + self._text().replace(b"\xff", b"") + b"\xff"]
        if kind < 6:
            return [bytes([self._below(1, 128)]) + self._text().replace(b"\xff", b"") + b"\xff"]
        if kind < 9:
            length, encoded = self._choice(hixie.LENGTHS)
            return [bytes([self._below(128, 256)]) + encoded + bytes(min(length, 5000))]
        return [self._choice((b"\xff\x00", b"\xff\x80\x00", b"\x80" * self._below(1, 10)))]

    def _mask(self) -> bytes:
        return self._choice(self._masks)

    def hybiPieces(self) -> list[bytes]:
        """
        @return: frames of a later dialect.
        """
        kind = self._below(10)
        if kind < 4:
            return [frame(self._choice((0x81, 0x82)), self._text(), self._mask())]
        if kind < 7:
            return self._fragments(self._choice((1, 2)), self._text())
        if kind < 8:
            return [frame(self._choice((0x89, 0x8A)), self._text()[:125], self._mask())]
        if kind < 9:
            code = self._choice((*rfc6455.CLOSE_CODES,)).to_bytes(2, "big")
            return [frame(0x88, self._choice((b"", code, code + self._text()[:123])), self._mask())]
        first = self._below(256)
        return [frame(first, self._text(), self._choice((b"", CLIENTS_MASKS[1], self._mask())))]

    def _fragments(self, first: int, payload: bytes) -> list[bytes]:
        places = sorted(self._below(len(payload) + 1) for _ in range(self._below(1, 6)))
        pieces: list[bytes] = []
        for start, end in zip([0, *places], [*places, len(payload)], strict=True):
            last = 0x80 if len(pieces) == len(places) else 0
            pieces.append(frame(first | last, payload[start:end], self._mask()))
            first = 0
            if not self._below(8):
                pieces.append(frame(self._choice((0x89, 0x8A)), b"!", self._mask()))
        return pieces

    def deflated(self) -> Callable[[], list[bytes]]:
        """
        @return: a function that makes messages of one compressor.
        """
        deflater = self._choice(_DEFLATERS)()

        def make() -> list[bytes]:
            if not self._below(4):
                return self.hybiPieces()
            if not self._below(8):
                # A compressor that ended its stream, and more of the message nevertheless.
                rest = frame(0, bytes(self._below(1200)), self._mask())
                return [frame(0x42, _ENDED, self._mask()), *[rest] * self._below(1, 25)]
            payload = deflater.compress(self._text() * self._choice((1, 1, 5, 50)))
            if not self._below(8):
                payload = _ENDED + self._choice((b"", b"\0", payload))
            first = self._choice((0x41, 0x42))
            if self._below(2):
                return self._fragments(first, payload)
            return [frame(0x80 | first, payload, self._mask())]

        return make
