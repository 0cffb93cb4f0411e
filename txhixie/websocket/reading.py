"""
When a connection is read: pauses, and bytes that arrive in spite of a pause.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Pause(Enum):
    """
    The reasons why a connection is not read. Each ends independently.
    """

    DECISION = "the application has not decided yet whether it accepts the connection"
    PEER = "the peer does not read what it is sent"
    APPLICATION = "the application asked for it"
    TURN = "others have their turn"
    CALLBACK = "a callback of the application has not finished"

    # Enum's own looks up the name, and shows in the cost of a handshake.
    __hash__ = object.__hash__


# While one of these holds, nothing is delivered to the application either.
_SUSPENDING = frozenset({Pause.APPLICATION, Pause.CALLBACK})
_NONE: frozenset[Pause] = frozenset()


class Reading:
    """
    Pauses and resumes a transport, and keeps what it delivers in spite of a pause: TLS delivers all
    records of one read.

    @ivar isPaused: whether the transport is paused.
    @ivar isSuspended: whether nothing may be delivered to the application.
    @ivar parked: bytes that arrived and could not be handled yet.
    """

    __slots__ = ("_reasons", "_transport", "isPaused", "isSuspended", "parked")

    def __init__(self, transport: Any) -> None:
        """
        @param transport: TCP or TLS or such; an C{IPushProducer}.
        """
        self._transport = transport
        self._reasons = _NONE
        self.isPaused = self.isSuspended = False
        self.parked = b""

    def has(self, reason: Pause) -> bool:
        """
        Return whether reading is paused for a reason.
        """
        return reason in self._reasons

    @property
    def isFree(self) -> bool:
        """
        Whether there is no reason for a pause.
        """
        return not self._reasons

    def pause(self, reason: Pause) -> None:
        """
        Stop reading for a reason.
        """
        self._reasons |= {reason}
        self.isSuspended = not _SUSPENDING.isdisjoint(self._reasons)
        if not self.isPaused:
            self.isPaused = True
            self._transport.pauseProducing()

    def resume(self, reason: Pause) -> None:
        """
        Drop a reason. The transport resumes with L{restart}, once everything parked is handled.
        """
        # A separate empty set would take more memory than most parts of an idle connection.
        self._reasons = (self._reasons - {reason}) or _NONE
        self.isSuspended = not _SUSPENDING.isdisjoint(self._reasons)

    def resumeAll(self) -> None:
        """
        Drop all reasons.
        """
        self._reasons = _NONE
        self.isSuspended = False

    def restart(self) -> None:
        """
        Resume the transport, if no reason is left and nothing is parked.
        """
        if self.isPaused and not self._reasons and not self.parked:
            self.isPaused = False
            self._transport.resumeProducing()

    def release(self) -> None:
        """
        Drop all reasons and everything parked: the connection ends.
        """
        self.resumeAll()
        self.parked = b""
        self.restart()
