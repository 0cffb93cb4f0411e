"""
Limits how much is read at a time, so that one busy peer does not delay the others. Thousands of
frames fit into one read, and an application may take its time with each.
"""

from __future__ import annotations

from typing import Any

from txhixie.websocket.transports import bareTransport

# Bytes: smaller reads are not timed; the size of the first read; the size of Twisted's reads, which
# is large enough for large messages to be fast.
MUCH, FIRST, _MOST = 4096, 2**14, 2**16
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
