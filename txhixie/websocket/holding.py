"""
What one connection holds: a message that is not complete, and what its peer does not read.
"""

from __future__ import annotations

from typing import Protocol

from txhixie.websocket.shared import Shared


class Owner(Protocol):
    """
    Whose connection it is.
    """

    def relieve(self) -> None:
        """
        Hold less: there is too much in all.
        """

    def messageTimedOut(self) -> None:
        """
        Close the connection: the peer did not complete a message in time.
        """


class Holding:
    """
    Reports what a connection holds, and watches over the time of a message that is not complete.
    There is one only for as long as there is something.
    """

    __slots__ = ("_message", "_owner", "_shared")

    def __init__(self, shared: Shared, owner: Owner) -> None:
        self._shared = shared
        self._owner = owner
        # Which of the peer's messages is not complete.
        self._message = -1

    def update(self, size: int, message: int) -> None:
        """
        @param size: bytes that are held.
        @param message: the number of the message that is not complete; -1 if there is none.
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
