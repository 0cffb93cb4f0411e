"""
Whole messages in one frame each, read past the C{websockets} library.

That is nearly all that peers send, and the library takes several microseconds for a frame: far more
than all the rest of a small message. Anything else is left to the library. So nothing here says
what a fault is, or answers a frame.
"""

from __future__ import annotations

from txhixie.dialects.events import Event

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
