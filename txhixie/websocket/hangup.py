"""
The end of TCP in good order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from txhixie.websocket.shared import Shared


class Named(Protocol):
    """
    Something that has a name for the log.
    """

    def peerName(self) -> str:
        """
        Return the peer's address.
        """


class Hangup:
    """
    Ends a TCP connection step by step. The next step follows if the peer did not do its part in
    time.

    A client of RFC 6455 first gives the server time to end TCP. Then our direction ends, after
    everything that was written. What the peer still sends is read and dropped, because closing a
    socket with unread bytes resets the connection, and the peer would lose what it has not read
    yet. Then the transport is closed, which may have to wait until the peer reads. Finally it is
    aborted.
    """

    __slots__ = (
        "_endWriting",
        "_isHopeless",
        "_isLate",
        "_isWaiting",
        "_peer",
        "_shared",
        "_transport",
    )

    def __init__(
        self,
        shared: Shared,
        transport: Any,
        endWriting: Callable[[], bool],
        peer: Named,
        isHopeless: bool = False,
        isLate: bool = False,
    ) -> None:
        """
        @param endWriting: ends our direction, and returns whether the other one goes on.
        @param peer: names the connection in the log.
        @param isHopeless: whether the peer broke the protocol and does not read. It gets no time to
            read the rest.
        @param isLate: whether it has already been counted that the peer did not do its part.
        """
        self._shared = shared
        self._transport = transport
        self._endWriting = endWriting
        self._peer = peer
        self._isHopeless = isHopeless
        self._isLate = isLate
        self._isWaiting = False

    def wait(self) -> None:
        """
        Give the peer L{Settings.closeTimeout} to end TCP before we L{start}.
        """
        self._isWaiting = True
        self._shared.closing.start(self)

    def start(self) -> None:
        """
        End our direction, and give the peer L{Settings.closeTimeout} to end its own.
        """
        if self._endWriting():
            self._shared.closing.start(self)
        else:
            self.letGo()

    def letGo(self) -> None:
        """
        Close the transport, and give the peer L{Settings.lingerTimeout} to read the rest.
        """
        self._shared.closing.cancel(self)
        # The connection may be lost within the next call.
        self._shared.lingering.start(self)
        self._transport.loseConnection()

    def closeTimedOut(self) -> None:
        """
        The peer did not end its direction. Many clients wait until we end both.
        """
        if self._isWaiting:
            self._isWaiting = False
            self.start()
        elif self._isHopeless:
            self.lingerTimedOut()
        else:
            self.letGo()

    def lingerTimedOut(self) -> None:
        """
        The peer did not read the rest in time.
        """
        if not self._isLate:
            self._shared.countLateClose(self._peer.peerName())
        self._transport.abortConnection()

    def cancel(self) -> None:
        """
        Stop waiting: the connection is gone.
        """
        self._shared.closing.cancel(self)
        self._shared.lingering.cancel(self)
