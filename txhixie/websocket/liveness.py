"""
Finds dead and idle peers: pings, heartbeats, and the keepalive of the system.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from functools import lru_cache
from math import ceil
from typing import Any, Protocol

from txhixie.settings import Settings
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.shared import Shared
from txhixie.websocket.transports import bareTransport

# How many times the system probes an idle peer within the time that it has to answer.
_PROBES = 3
# The position in Linux's TCP_INFO of the number of connections that wait to be accepted.
_WAITING = struct.Struct("@24xI")
# The largest values that Linux takes: seconds, and milliseconds.
_MOST_SECONDS = 32767
_MOST_MILLISECONDS = 2**31 - 1


class Watched(Protocol):
    """
    A connection that is watched.

    @ivar seenBytes: the bytes that had been received when the last ping was sent.
    @ivar seenMessages: the number of messages when the current idle time began.
    """

    hasPing: bool
    messagesSent: int
    seenBytes: int
    seenMessages: int

    @property
    def bytesReceived(self) -> int:
        """
        Bytes received so far.
        """

    @property
    def messagesReceived(self) -> int:
        """
        Messages received so far.
        """

    @property
    def isClosing(self) -> bool:
        """
        Whether the connection is closing.
        """

    @property
    def isPaused(self) -> bool:
        """
        Whether we do not read from it, or the peer does not read: it may not have seen a ping.
        """

    def ping(self) -> None:
        """
        Send a ping.
        """

    def sendHeartbeat(self, text: str) -> None:
        """
        Send a text that is not one of the application's messages.
        """

    def peerDied(self) -> None:
        """
        The peer answered neither ping nor heartbeat.
        """

    def idleTooLong(self) -> None:
        """
        No message was sent or received for too long.
        """


class Liveness:
    """
    Watches all connections of a factory.
    """

    def __init__(self, shared: Shared) -> None:
        settings, clock = shared.settings, shared.clock
        self._settings = settings
        self._heartbeat = settings.heartbeat
        self._quiet: Deadlines[Watched] = Deadlines(clock, settings.pingInterval, self._keepAlive)
        self._unanswered: Deadlines[Watched] = Deadlines(
            clock, settings.pingTimeout, self._pingTimedOut
        )
        self._idle: Deadlines[Watched] = Deadlines(clock, settings.idleTimeout, self._idleTimedOut)

    def watch(self, watched: Watched, transport: Any) -> None:
        """
        Watch a connection from now on.

        @param transport: its transport, which may be wrapped for TLS or such.
        """
        settings = self._settings
        watchPeer(transport, watched.hasPing, settings)
        if settings.pingInterval and (watched.hasPing or self._heartbeat is not None):
            self._quiet.start(watched)
        if settings.idleTimeout:
            self._idle.start(watched)

    def forget(self, watched: Watched) -> None:
        """
        Stop watching a connection.
        """
        for deadlines in (self._quiet, self._unanswered, self._idle):
            deadlines.cancel(watched)

    def rest(self) -> None:
        """
        Cancel timers that nothing waits for.
        """
        for deadlines in (self._quiet, self._unanswered, self._idle):
            deadlines.rest()

    def _keepAlive(self, watched: Watched) -> None:
        """
        Ping a peer, or send it the heartbeat.
        """
        if watched.isClosing:
            return
        watched.seenBytes = watched.bytesReceived
        if watched.hasPing:
            watched.ping()
        elif self._heartbeat is not None:
            watched.sendHeartbeat(self._heartbeat)
        self._unanswered.start(watched)

    def _pingTimedOut(self, watched: Watched) -> None:
        """
        Drop a peer that has not sent a byte since it was pinged. A peer that we do not read from
        is not blamed.
        """
        if watched.isClosing:
            return
        if watched.bytesReceived != watched.seenBytes or watched.isPaused:
            self._quiet.start(watched)
        else:
            watched.peerDied()

    def _idleTimedOut(self, watched: Watched) -> None:
        """
        Close a connection that had no message since the last call.
        """
        if watched.isClosing:
            return
        messages = watched.messagesReceived + watched.messagesSent
        if messages != watched.seenMessages:
            watched.seenMessages = messages
            self._idle.start(watched)
        else:
            watched.idleTooLong()


def watchAccepted(listening: socket.socket, settings: Settings) -> bool:
    """
    Set the options of all connections that a socket will accept: those of L{watchPeer} that also
    suit a dialect with pings, and those that every connection needs. On Linux, connections inherit
    them; setting them on each connection would take a noticeable part of a handshake.

    @return: whether all connections that are accepted from now on have them. If not, they have to
        be set on each connection.
    """
    if sys.platform != "linux" or listening.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if settings.pingInterval:
            for name, value in _options(settings.pingInterval, settings.pingTimeout, False):
                listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        # Connections that are already waiting were made without the options.
        info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
        (waiting,) = _WAITING.unpack(info)
    except (OSError, struct.error):
        return False
    return not waiting


def watchPeer(transport: Any, hasPing: bool, settings: Settings) -> None:
    """
    Let the system end a connection if the peer does not acknowledge what it is sent within
    L{Settings.pingInterval} and L{Settings.pingTimeout}. In dialects without pings the system also
    probes an idle peer. Nothing happens where the system cannot do it, or the transport is not TCP.

    @param transport: the connection's, which may be wrapped for TLS or such. If the transport below
        C{isWatched}, L{watchAccepted} did this.
    """
    if not settings.pingInterval:
        return
    bare = bareTransport(transport)
    if getattr(bare, "isWatched", False):
        return
    handle = bare.getHandle() if hasattr(bare, "getHandle") else None
    if not isinstance(handle, socket.socket) or handle.family == getattr(socket, "AF_UNIX", None):
        return
    # A socket that is already broken is noticed elsewhere.
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
