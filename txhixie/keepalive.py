"""
Having the system watch over peers: it knows of a dead one when nobody says anything.
"""

from __future__ import annotations

import socket
from math import ceil
from typing import Any

from twisted.protocols.policies import ProtocolWrapper

from txhixie.settings import Settings

# How often an idle peer is asked within the time that it has to answer.
_PROBES = 3


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
    interval, timeout = settings.pingInterval, settings.pingTimeout
    options = {"TCP_USER_TIMEOUT": (interval + timeout) * 1000}
    if not hasPing:
        options["TCP_KEEPIDLE"] = interval
        options["TCP_KEEPINTVL"] = timeout / _PROBES
        options["TCP_KEEPCNT"] = _PROBES
    for name, value in options.items():
        if hasattr(socket, name):
            handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), ceil(value))
