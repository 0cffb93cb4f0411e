"""
What is sent while something is received: it goes out when all that is dealt with, in one write for
each connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from twisted.python.failure import Failure

from txhixie.websocket.ratelimit import LimitedLogger

if TYPE_CHECKING:
    from txhixie.server.sending import Sending

_P = ParamSpec("_P")


class Gathering:
    """
    A factory as far as it has its connections wait for each other.

    @ivar gathering: whether what is sent waits for the end of what is being received.
    """

    log: LimitedLogger

    def __init__(self) -> None:
        self.gathering = False
        self._unsent: list[Sending] = []
        self._whenReceived: list[Callable[[], object]] = []

    def gather(self, receive: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """
        Call C{receive}; what any connection sends meanwhile goes out after it, in one write
        each.
        """
        if self.gathering:
            receive(*args, **kwargs)
            return
        self.gathering = True
        try:
            receive(*args, **kwargs)
        finally:
            self.flushGathered()

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call something when all that is being received has been dealt with; at once if nothing is.
        """
        if self.gathering:
            self._whenReceived.append(call)
        else:
            self.gather(call)

    def catchUp(self) -> None:
        """
        Do now what L{whenReceived} put off.
        """
        while self._whenReceived:
            try:
                self._whenReceived.pop(0)()
            except Exception:
                self.log.failure("after receiving", Failure())

    def flushGathered(self) -> None:
        """
        End what L{gather} began.
        """
        if self._whenReceived:
            self.catchUp()
        self.gathering = False
        unsent, self._unsent = self._unsent, []
        for protocol in unsent:
            protocol.flush()

    def flushSoon(self, protocol: Sending) -> None:
        """
        Have a protocol flush now, or after what is gathered.
        """
        if self.gathering:
            self._unsent.append(protocol)
        else:
            protocol.flush()
