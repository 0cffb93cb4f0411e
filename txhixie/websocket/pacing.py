"""
How much is read from a connection at a time: what one peer sends is not to keep all the others
waiting. Thousands of frames fit into one read, and an application may take its time with each.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper

# Bytes: a read of fewer is not looked at; what is read before anything is known of a peer; what
# Twisted reads, which is enough for large messages to be fast.
MUCH, FIRST, _MOST = 4096, 2**14, 2**16
# Seconds that a read may keep the others waiting: so many are aimed at, if it took too many.
_AIM, _TOO_MANY = 0.005, 0.01


def adaptRead(transport: Any, size: int, seconds: float) -> None:
    """
    Have less read at a time where that took long, and more where it did not.

    @param transport: the connection's, which may be wrapped for TLS or such.
    @param size: bytes that were read.
    @param seconds: how long it took to deal with them.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    most = getattr(transport, "bufferSize", None)
    if most is None:
        return
    if seconds > _TOO_MANY:
        transport.bufferSize = max(MUCH, min(most, int(size * _AIM / seconds)))
    elif seconds < _AIM / 2 and most < _MOST and 2 * size > most:
        transport.bufferSize = min(_MOST, 2 * most)
