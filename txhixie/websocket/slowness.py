"""
Peers that do not read what is sent to them.
"""

from __future__ import annotations

from typing import Protocol

from txhixie.websocket.shared import Shared


class Backlog(Protocol):
    """
    What is sent to a peer.
    """

    @property
    def isHeld(self) -> bool:
        """
        Whether the peer cannot be sent anything yet.
        """

    @property
    def isReady(self) -> bool:
        """
        Whether what is sent is written at once.
        """

    @property
    def isBlocked(self) -> bool:
        """
        Whether the transport is full.
        """

    @property
    def backlog(self) -> int:
        """
        Bytes that were sent and not written.
        """

    def flush(self) -> None:
        """
        Write what was sent.
        """


class Owner(Protocol):
    """
    The connection that a L{Slowness} belongs to.
    """

    def closeSlow(self) -> None:
        """
        Close the connection: the peer does not read.
        """

    def resend(self, message: str | bytes) -> None:
        """
        Send the newest message to a peer that reads again.
        """

    def missed(self, count: int) -> None:
        """
        Report how many messages for the peer were dropped.
        """


class Slowness:
    """
    Decides what happens to messages for a peer whose backlog is over L{Settings.sendLimit}. It is
    made for the first such message.

    @ivar isSlow: whether messages are withheld from the peer.
    """

    __slots__ = (
        "_isSuspected",
        "_missed",
        "_newest",
        "_outgoing",
        "_owner",
        "_policy",
        "_sendLimit",
        "_shared",
        "isSlow",
    )

    def __init__(self, shared: Shared, outgoing: Backlog, owner: Owner) -> None:
        self._shared = shared
        self._policy = shared.settings.slowPolicy
        self._sendLimit = shared.settings.sendLimit
        self._outgoing = outgoing
        self._owner = owner
        self.isSlow = False
        self._isSuspected = False
        # How many messages were withheld from the peer, and the newest one if it will still be
        # sent.
        self._missed = 0
        self._newest: str | bytes | None = None

    @property
    def kept(self) -> int:
        """
        The size of the message that is kept for the peer.
        """
        return 0 if self._newest is None else len(self._newest)

    def admits(self, message: str | bytes) -> bool:
        """
        Return whether a message is sent although the backlog is over the limit. It is sent if the
        backlog was only waiting for the current read to finish, or if the peer has not had a chance
        to read it yet.
        """
        outgoing = self._outgoing
        if outgoing.isHeld:
            self._owner.closeSlow()
            return False
        if outgoing.isReady:
            outgoing.flush()
        if not self.isSlow:
            if outgoing.backlog > self._sendLimit and not self._isSuspected:
                self._isSuspected = True
                self._shared.afterNextTurn(self._judge)
            return True
        if self._policy != "latest" or self._newest is not None:
            self._missed += 1
            self._shared.count("messages dropped")
        if self._policy == "latest":
            self._newest = message
        return False

    def _judge(self) -> None:
        """
        Decide whether the peer is slow, now that the transport has had a chance to write.
        """
        self._isSuspected = False
        if self._outgoing.isBlocked and self._outgoing.backlog > self._sendLimit:
            self.isSlow = True
            if self._policy == "close":
                self._owner.closeSlow()

    def catchUp(self) -> None:
        """
        Resume sending to a peer that reads again, if it has read enough.
        """
        if not self.isSlow or self._outgoing.backlog > self._sendLimit:
            return
        missed, self._missed = self._missed, 0
        self.sendNewest()
        if missed:
            self._owner.missed(missed)

    def sendNewest(self) -> None:
        """
        Send the message that was kept for the peer, if there is one.
        """
        newest, self._newest = self._newest, None
        self.isSlow = False
        if newest is not None:
            self._owner.resend(newest)
