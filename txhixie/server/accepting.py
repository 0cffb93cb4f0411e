"""
Limits how fast connections are accepted, and how many, so that there are descriptors left.
Connections that are not accepted yet wait in the system's queue.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from txhixie.server.listening import prepare
from txhixie.settings import Settings

_Port = TypeVar("_Port")

# Twisted's ports raise numberAccepts by this much while more connections wait.
_GROWTH = 20
# How many connections a port accepts in one turn, if nothing limits it.
_AT_ONCE = 100
# So many if other processes accept from the same socket: what one takes at once it has alone.
_AT_ONCE_SHARED = 4


def descriptorLimit() -> int | None:
    """
    @return: how many more descriptors this process may open; C{None} if that is not limited, or not
        known.
    """
    try:
        import resource

        inUse = len(os.listdir("/dev/fd"))
    except (ImportError, OSError):
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit - inUse


class Accepting:
    """
    Stops accepting connections while there are too many, or while they come too fast.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rate: float,
        paused: Callable[[], object],
        descriptors: Callable[[], int | None] = descriptorLimit,
    ) -> None:
        """
        @param rate: connections per second; 0: no limit.
        @param paused: called whenever accepting stops.
        @param descriptors: returns how many descriptors are left; called when the first port is
            added.
        """
        self._clock = clock
        self._rate = rate
        self._paused = paused
        self._descriptors = descriptors
        self._ports: list[FileDescriptor] = []
        self._connections = 0
        # How many connections there may be, and how many a port may accept at once.
        self._capacity: float = float("inf")
        self._most = self._atOnce = _AT_ONCE
        self._isPaused = False
        self._isLimited = rate > 0
        # How many connections the rate allows at once, and the time of that figure.
        self._allowance = 0.0
        self._asOf = 0.0
        self._timer: IDelayedCall | None = None

    def share(self) -> None:
        """
        Leave some connections to other processes that accept from the same sockets. Call this
        before there are ports.
        """
        self._most = _AT_ONCE_SHARED

    def add(self, port: _Port) -> _Port:
        """
        Take control of a port that listens.

        @return: the same port.
        """
        if isinstance(port, FileDescriptor):
            if not self._ports:
                self._measure()
            self._ports.append(port)
            self._limitAccepts(port)
            if self._isPaused:
                port.stopReading()
        return port

    def _measure(self) -> None:
        self._capacity = float("inf")
        self._atOnce = self._most
        self._isLimited = self._rate > 0 or self._most < _AT_ONCE
        descriptors = self._descriptors()
        if descriptors is not None:
            self._isLimited = True
            # Keep a part for files, and for connections that a port accepts before it notices that
            # it has to stop.
            reserve = min(128, descriptors // 4)
            self._capacity = self._connections + max(1, descriptors - reserve)
            self._atOnce = max(1, min(self._atOnce, reserve // 2))
        if self._rate:
            self._atOnce = max(1, min(self._atOnce, int(self._rate / 10)))
            self._allowance = float(self._atOnce)
            self._asOf = self._clock.seconds()

    def _limitAccepts(self, port: FileDescriptor) -> None:
        # Twisted's ports use this to decide how many connections they accept before others have
        # their turn.
        if hasattr(port, "numberAccepts"):
            port.numberAccepts = self._atOnce

    def _stopGrowth(self) -> None:
        """
        Keep a port that accepted as many as it may from accepting more in its next turn.
        """
        for port in self._ports:
            if hasattr(port, "numberAccepts") and port.numberAccepts + _GROWTH > self._atOnce:
                # Twisted then takes the number that it accepted in this turn.
                port.numberAccepts = 0

    def clear(self) -> None:
        """
        Release all ports: they stop listening.
        """
        self._ports = []
        self._isPaused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def connected(self) -> None:
        """
        A connection was accepted.
        """
        self._connections += 1
        if self._isLimited:
            self._stopGrowth()
        if self._rate and self._ports:
            now = self._clock.seconds()
            earned = (now - self._asOf) * self._rate
            self._allowance = min(self._atOnce, self._allowance + earned) - 1
            self._asOf = now
            if self._allowance < 1 and self._timer is None:
                wait = (1 - self._allowance) / self._rate
                self._timer = self._clock.callLater(wait, self._waited)
        if self._timer is not None or self._connections >= self._capacity:
            self._pause()

    def disconnected(self) -> None:
        """
        A connection is gone.
        """
        self._connections -= 1
        if self._isPaused:
            self._resume()

    def _waited(self) -> None:
        self._timer = None
        self._resume()

    def _pause(self) -> None:
        if self._isPaused or not self._ports:
            return
        self._isPaused = True
        self._ports = [port for port in self._ports if not port.disconnected]
        for port in self._ports:
            port.stopReading()
        self._paused()

    def _resume(self) -> None:
        if self._timer is not None or self._connections >= self._capacity:
            return
        self._isPaused = False
        # A port may have been stopped meanwhile.
        self._ports = [port for port in self._ports if not port.disconnected]
        for port in self._ports:
            self._limitAccepts(port)
            port.startReading()


@implementer(IStreamServerEndpoint)
class ControlledEndpoint:
    """
    An endpoint whose port is controlled by L{Accepting}, and which prepares the port for its
    connections (see L{prepare}).
    """

    def __init__(
        self, endpoint: IStreamServerEndpoint, accepting: Accepting, settings: Settings
    ) -> None:
        self._endpoint = endpoint
        self._accepting = accepting
        self._settings = settings

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen as the endpoint does.
        """
        listening: Deferred[IListeningPort] = self._endpoint.listen(protocolFactory)
        return listening.addCallback(prepare, self._settings).addCallback(self._accepting.add)
