"""
Having the system watch over peers: it knows of a dead one when nobody says anything.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import lru_cache
from math import ceil
from typing import Any

from twisted.protocols.policies import ProtocolWrapper

from txhixie.settings import Settings

# How often an idle peer is asked within the time that it has to answer.
_PROBES = 3
# The longest times that Linux takes: seconds, and milliseconds.
_MOST_SECONDS = 32767
_MOST_MILLISECONDS = 2**31 - 1


def watchPeer(transport: Any, hasPing: bool, settings: Settings) -> None:
    """
    Have the system end a connection whose peer does not acknowledge what it is sent within
    L{Settings.pingInterval} and L{Settings.pingTimeout}; and, where the dialect has no pings, ask a
    peer that is idle. That is what Hixie-75 and Hixie-76 have in their place. Nothing happens where
    the system cannot do it, or the transport is not TCP.

    @param transport: the connection's, which may be wrapped for TLS or such.
    """
    if not settings.pingInterval:
        return
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if not isinstance(handle, socket.socket) or handle.family == getattr(socket, "AF_UNIX", None):
        return
    # A socket that is broken by now is noticed elsewhere.
    with suppress(OSError):
        for name, value in _options(settings.pingInterval, settings.pingTimeout, hasPing):
            if hasattr(socket, name):
                handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@lru_cache(maxsize=16)
def _options(interval: float, timeout: float, hasPing: bool) -> tuple[tuple[str, int], ...]:
    unacknowledged = min(ceil((interval + timeout) * 1000), _MOST_MILLISECONDS)
    if hasPing:
        return (("TCP_USER_TIMEOUT", unacknowledged),)
    return (
        ("TCP_USER_TIMEOUT", unacknowledged),
        ("TCP_KEEPIDLE", min(ceil(interval), _MOST_SECONDS)),
        ("TCP_KEEPINTVL", min(ceil(timeout / _PROBES), _MOST_SECONDS)),
        ("TCP_KEEPCNT", _PROBES),
    )
