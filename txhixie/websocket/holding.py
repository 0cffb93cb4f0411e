"""
What one connection holds: an incomplete message, and data that its peer has not read.
"""

from __future__ import annotations

from typing import Protocol

from txhixie.websocket.shared import Shared


class Owner(Protocol):
    """
    The connection that a L{Holding} belongs to.
    """

    def relieve(self) -> None:
        """
        Hold less: the total is over the limit.
        """

    def messageTimedOut(self) -> None:
        """
        Close the connection: the peer did not complete a message in time.
        """


class Holding:
    """
    Reports how much a connection holds, and limits the time for an incomplete message. It exists
    only while the connection holds something.
    """

    __slots__ = ("_message", "_owner", "_shared")

    def __init__(self, shared: Shared, owner: Owner) -> None:
        self._shared = shared
        self._owner = owner
        # The number of the incomplete message.
        self._message = -1

    def update(self, size: int, message: int) -> None:
        """
        @param size: bytes that are held.
        @param message: the number of the incomplete message; -1 if there is none.
        """
        if message != self._message:
            self._message = message
            if message < 0:
                self._shared.unfinished.cancel(self._owner)
            elif self._shared.settings.messageTimeout:
                self._shared.unfinished.start(self._owner)
        self._shared.budget.report(self._owner, size)

    def end(self) -> None:
        """
        Note that nothing is held any longer.
        """
        self.update(0, -1)
