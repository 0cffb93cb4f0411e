"""
Limits how much is read at a time, so that one busy peer does not delay the others. Thousands of
frames fit into one read, and an application may take its time with each.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper

from txhixie.websocket.transports import bareTransport

# In bytes: reads below this size are not timed; the size of the first read; the size of Twisted's
# reads, which is large enough to handle large messages fast.
MUCH, FIRST, _MOST = 4096, 2**14, 2**16
# The most bytes of a large frame that are read at a time.
_MOST_OF_FRAME = 2**20
# Seconds: the time that one read should take, and the time above which we read less.
_AIM, _TOO_LONG = 0.005, 0.01


def adaptRead(transport: Any, size: int, seconds: float) -> None:
    """
    Read less at a time if that took long, and more if it did not.

    @param transport: the connection's, which may be wrapped for TLS or such.
    @param size: bytes that were read.
    @param seconds: how long it took to handle them.
    """
    bare = bareTransport(transport)
    most = getattr(bare, "bufferSize", None)
    if most is None:
        return
    if seconds > _TOO_LONG:
        bare.bufferSize = max(MUCH, min(most, int(size * _AIM / seconds)))
    elif seconds < _AIM / 2 and most < _MOST and 2 * size > most:
        bare.bufferSize = min(_MOST, 2 * most)


def readFrame(transport: Any, missing: int) -> None:
    """
    Read the missing part of a large frame at once, and nothing after it. This delays nobody,
    because it is a part of one message. A read takes memory only for the bytes that have arrived,
    and not for the size that a peer announces. Nothing happens if there is something such as TLS
    between the connection and TCP.

    @param missing: bytes of the frame that has begun; 0 if there is none, or its size is not known.
    """
    if isinstance(transport, ProtocolWrapper) or not hasattr(transport, "bufferSize"):
        return
    if missing > _MOST:
        transport.bufferSize = min(missing, _MOST_OF_FRAME)
    elif transport.bufferSize > _MOST:
        # The time that small messages take has to be measured again.
        transport.bufferSize = MUCH
