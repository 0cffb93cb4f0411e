"""
Keeps track of the connections, closes them, and adds up what they did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from txhixie.settings import DIALECT_NAMES
from txhixie.websocket.shared import Shared
from txhixie.websocket.websocket import WebSocket

# Clients are let go in batches: the minimum batch size, the pause between batches in seconds, and
# the share of Settings.drainTimeout that all batches may take.
_BATCH, _BETWEEN_BATCHES, _PART_FOR_BATCHES = 100, 0.1, 0.8

# What each connection counts.
_COUNTERS = ("messagesReceived", "messagesSent", "bytesReceived", "bytesSent")
_GETTERS = [(counter, attrgetter(counter)) for counter in _COUNTERS]
# Adding up what all connections counted takes at most this share of the time.
_PART_FOR_SUMS = 0.01

# What the connections of each dialect counted.
Sums = dict[str, dict[str, int]]


class Member(Protocol):
    """
    A connection, of a WebSocket or of plain HTTP.
    """

    webSocket: WebSocket | None

    def shutDown(self) -> None:
        """
        Close because the server stops.
        """

    def abort(self) -> None:
        """
        End now.
        """


class Roster:
    """
    All connections of a factory.

    @ivar connections: the open WebSockets by their id.
    """

    _log = Logger()

    def __init__(self, shared: Shared, rest: Callable[[], object]) -> None:
        """
        @param rest: called when no connection is left, to cancel timers.
        """
        self._shared = shared
        self._rest = rest
        self._started = shared.seconds()
        self._all: set[Member] = set()
        self._open: dict[str, WebSocket] = {}
        self.connections: Mapping[str, WebSocket] = MappingProxyType(self._open)
        self._dialects = dict.fromkeys(DIALECT_NAMES, 0)
        self._handshakes = dict.fromkeys(DIALECT_NAMES, 0)
        # Totals of closed connections, by dialect.
        self._gone: Sums = {name: dict.fromkeys(_COUNTERS, 0) for name in DIALECT_NAMES}
        # Totals of all connections, when they were added up, and how many seconds they are valid.
        self._sums = self._gone
        self._summedAt = self._started
        self._sumsLast = 0.0
        # Connections that are closing, in groups, each with a Deferred that fires when the whole
        # group is gone.
        self._leaving: list[tuple[set[Member], Deferred[None]]] = []
        self._nextBatch: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._all)

    def connected(self, member: Member) -> None:
        """
        Add a connection.
        """
        self._all.add(member)

    def opened(self, webSocket: WebSocket) -> None:
        """
        Note that a connection completed its opening handshake.
        """
        self._open[webSocket.id] = webSocket
        self._dialects[webSocket.dialect] += 1
        self._handshakes[webSocket.dialect] += 1

    def closed(self, webSocket: WebSocket) -> None:
        """
        Note that an open connection is lost.
        """
        if self._open.pop(webSocket.id, None) is not None:
            self._dialects[webSocket.dialect] -= 1

    def gone(self, member: Member) -> None:
        """
        Remove a connection, after its application has been notified.
        """
        self._all.discard(member)
        for members, _ in self._leaving:
            members.discard(member)
        webSocket = member.webSocket
        if webSocket is not None:
            gone = self._gone[webSocket.dialect]
            for counter in _COUNTERS:
                gone[counter] += getattr(webSocket, counter)
        self._tellIfGone()

    @property
    def dialects(self) -> dict[str, int]:
        """
        How many connections of each dialect are open.
        """
        return dict(self._dialects)

    @property
    def handshakes(self) -> dict[str, int]:
        """
        How many connections of each dialect were opened.
        """
        return dict(self._handshakes)

    @property
    def backlog(self) -> int:
        """
        Bytes that were sent to open connections and wait to be written.
        """
        return sum(each.backlog for each in self._open.values())

    def statistics(self) -> dict[str, Any]:
        """
        Return totals of all connections, past and present. See L{HixieFactory.statistics
        <txhixie.HixieFactory.statistics>}.
        """
        sums = Counter[str]()
        for each in self.sums().values():
            sums.update(each)
        return {
            "uptime": self._shared.seconds() - self._started,
            "connections": self.dialects,
            "messages": {"received": sums["messagesReceived"], "sent": sums["messagesSent"]},
            "bytes": {"received": sums["bytesReceived"], "sent": sums["bytesSent"]},
            "events": self._shared.counters.counts(),
        }

    def sums(self) -> Sums:
        """
        Return what all connections counted, past and present. It is added up again unless that was
        just done, because some clients ask as often as they can.
        """
        now = self._shared.seconds()
        # Clocks are set back at times.
        if not 0 <= now - self._summedAt < self._sumsLast:
            self._sums = {name: dict(counters) for name, counters in self._gone.items()}
            for member in self._all:
                webSocket = member.webSocket
                if webSocket is not None:
                    sums = self._sums[webSocket.dialect]
                    for counter, get in _GETTERS:
                        sums[counter] += get(webSocket)
            self._summedAt = now
            self._sumsLast = (self._shared.seconds() - now) / _PART_FOR_SUMS
        return self._sums

    def close(self) -> Deferred[None]:
        """
        Close all connections with their closing handshakes, in batches, so that not all clients
        come back at once. Those that take longer than L{Settings.drainTimeout} are cut off.

        @return: fires when no connection is left, and all applications have been notified.
        """
        gone: Deferred[None] = Deferred()
        # The factory may be started again, and have other connections before these are gone.
        old = set(self._all)
        self._leaving.append((old, gone))
        self._cancelBatch()
        drainTimeout = self._shared.settings.drainTimeout
        cutOff = self._shared.clock.callLater(drainTimeout, self._abort, old)
        gone.addCallback(lambda _: cutOff.cancel() if cutOff.active() else None)
        for member in list(self._all):
            if member.webSocket is None or member.webSocket.id not in self._open:
                member.shutDown()
        webSockets = list(self._open.values())
        batches = drainTimeout * _PART_FOR_BATCHES / _BETWEEN_BATCHES
        self._closeBatch(webSockets, max(_BATCH, ceil(len(webSockets) / batches)))
        self._tellIfGone()
        return gone

    def _closeBatch(self, webSockets: list[WebSocket], size: int) -> None:
        for webSocket in webSockets[:size]:
            webSocket.shutDown()
        self._nextBatch = None
        if webSockets[size:]:
            self._nextBatch = self._shared.clock.callLater(
                _BETWEEN_BATCHES, self._closeBatch, webSockets[size:], size
            )

    def _cancelBatch(self) -> None:
        if self._nextBatch is not None:
            self._nextBatch.cancel()
            self._nextBatch = None

    def abort(self) -> None:
        """
        End all connections now.
        """
        self._abort(set(self._all))

    def _abort(self, members: set[Member]) -> None:
        left = members & self._all
        if left:
            self._log.info("{count} connections are cut off", count=len(left))
        for member in left:
            self._shared.count("connections cut off")
            member.abort()

    def _tellIfGone(self) -> None:
        if not self._all:
            self._rest()
            self._cancelBatch()
        gone = [each for members, each in self._leaving if not members]
        self._leaving = [pair for pair in self._leaving if pair[0]]
        for each in gone:
            each.callback(None)
