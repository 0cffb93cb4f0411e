"""
Whole messages in one frame each, read past the C{websockets} library.

Nearly all messages come in one frame, and the library takes several microseconds for a frame, far
more than the rest of a small message. Everything else is left to the library. This module therefore
neither reports faults nor answers frames.
"""

from __future__ import annotations

from txhixie.dialects.events import Event
from txhixie.dialects.pieces import Pieces

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

    ACCELERATED = False
else:
    ACCELERATED = True

# The first bytes of the frames that are a whole message.
_WHOLE = (0x81, 0x82)
_TEXT = 0x81

# Bytes that are better not copied. Below, making a view takes longer.
_MUCH = 4096


def readMessages(
    data: bytes, position: int, isMasked: bool, limit: int, messages: list[Event]
) -> int:
    """
    Read messages from the start of a frame on, as long as each is whole and in one frame.

    @param isMasked: whether the peer has to mask its frames.
    @param limit: the most bytes of a message.
    @param messages: the messages are added to it.
    @return: the position of the first frame that is anything else.
    """
    maskBit, maskSize = (0x80, 4) if isMasked else (0, 0)
    end = len(data)
    while position + 1 < end:
        first, size = data[position], data[position + 1] ^ maskBit
        start = position + 2
        if size > 125:
            size, start = _longSize(data, start, size)
        stop = start + maskSize + size
        if first not in _WHOLE or not 0 <= size <= limit or stop > end:
            break
        payload = data[start:stop] if not isMasked else _unmasked(data, start, stop)
        if first == _TEXT:
            try:
                messages.append(payload.decode())
            except UnicodeDecodeError:
                break
        else:
            messages.append(payload)
        position = stop
    return position


class CutMessage:
    """
    A message in one frame, of which a part has not arrived. It holds only the bytes that have
    arrived.

    @ivar missing: the number of bytes that have not arrived.
    """

    __slots__ = ("_pieces", "missing")

    def __init__(self, beginning: bytes, missing: int) -> None:
        self._pieces = Pieces()
        self._pieces.add(beginning)
        self.missing = missing

    @property
    def held(self) -> int:
        """
        The bytes that have arrived.
        """
        return self._pieces.size

    def add(self, data: bytes) -> int:
        """
        Take what is missing from the start of C{data}.

        @return: the position after it.
        """
        taken = min(self.missing, len(data))
        self._pieces.add(data if taken == len(data) else data[:taken])
        self.missing -= taken
        return taken

    def takeFrame(self) -> bytes:
        """
        Return the part of the frame that has arrived, and drop it.
        """
        return self._pieces.take()


def cutMessage(data: bytes, position: int, isMasked: bool, limit: int) -> CutMessage | None:
    """
    Return the message at the end of C{data} that L{readMessages} stopped at. Its header must be
    complete, and L{readMessages} would have to read it if its end had arrived; otherwise return
    C{None}.

    @param position: where it begins. The other arguments are those of L{readMessages}.
    """
    if len(data) < position + 2 or data[position] not in _WHOLE:
        return None
    maskBit, maskSize = (0x80, 4) if isMasked else (0, 0)
    size, start = data[position + 1] ^ maskBit, position + 2
    if size > 125:
        size, start = _longSize(data, start, size)
    start += maskSize
    missing = start + size - len(data)
    if not 0 <= size <= limit or start > len(data) or missing <= 0:
        return None
    return CutMessage(data[position:], missing)


def _unmasked(data: bytes, start: int, stop: int) -> bytes:
    masked = data if stop - start < _MUCH else memoryview(data)
    return apply_mask(masked[start + 4 : stop], data[start : start + 4])


def _longSize(data: bytes, position: int, kind: int) -> tuple[int, int]:
    """
    Return the size of a payload of more than 125 bytes, and the position after it. The size is -1
    if it has more bytes than it needs, or if C{kind} stands for no size.

    @param kind: 126 or 127, for a size of 2 or 8 bytes.
    """
    if kind == 126:
        size = int.from_bytes(data[position : position + 2], "big")
        return (size if size > 125 else -1), position + 2
    size = int.from_bytes(data[position : position + 8], "big")
    return (size if kind == 127 and size > 0xFFFF else -1), position + 8
